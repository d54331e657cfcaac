package proof

import "kelian/workflow/flow"

// Abstraction is what the control layer keeps of a state, for tests.
type Abstraction struct{ m *model }

// Abstract makes the abstraction of a definition.
func Abstract(def *flow.Definition) Abstraction { return Abstraction{newModel(def)} }

// Facts are those of every command; the guards are the test's.
func (a Abstraction) Facts() flow.Facts { return a.m.facts }

// Form is revision 1, Edits are the revisions that differ in whose votes fall.
func (a Abstraction) Form() flow.Form    { return a.m.form }
func (a Abstraction) Edits() []flow.Form { return a.m.edits }

// FilledIn is what an approver of the step fills in; nil: nothing.
func (a Abstraction) FilledIn(step string) *flow.Form {
	for _, x := range a.m.steps {
		if x.Name == step {
			return x.edit
		}
	}
	return nil
}

// Key is what is kept, State a request that has it.
func (a Abstraction) Key(st *flow.State) string   { return a.m.key(st) }
func (a Abstraction) State(key string) flow.State { return a.m.state(key) }
