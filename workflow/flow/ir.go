package flow

import "slices"

// Text is one wording in both languages.
type Text struct {
	Zh string `json:"zh"`
	En string `json:"en"`
}

// Definition is a published workflow in the form the engine reads. Seat
// expressions and guards are kept as their source text: the shell resolves
// them and hands the answers in as Facts.
type Definition struct {
	Key        string         `json:"key"`
	Hash       string         `json:"hash"` // content hash of its source, hex SHA-256
	Title      Text           `json:"title"`
	Params     map[string]any `json:"params,omitempty"` // int64, bool or string
	Blocks     []Block        `json:"blocks"`           // one after the other
	Policy     Policy         `json:"policy"`
	OnApproved []string       `json:"on_approved,omitempty"` // names of effects, in order
	// Expires is the JSON pointer of a date after which an approval is of no
	// use any more: a request that is not decided by then is closed. Empty:
	// none. The date is that of the last revision.
	Expires string `json:"expires,omitempty"`
	// CloseOut is what the requester owes after approval; nil: nothing.
	CloseOut *CloseOutRule `json:"close_out,omitempty"`
}

// CloseOutRule asks the requester for a report some time after a date of the
// form: the summary, the photos and the accounts of what was approved.
type CloseOutRule struct {
	After string `json:"after"` // JSON pointer of a date or date-time
	Due   Span   `json:"due"`
}

// BlockKind says how a Block's parts relate.
type BlockKind string

// The kinds of block. The tree is structured, so that it can neither deadlock
// nor leave a branch behind.
const (
	KindStep   BlockKind = "step"   // ask somebody
	KindSeq    BlockKind = "seq"    // Blocks one after the other
	KindPar    BlockKind = "par"    // Blocks at the same time, all must pass
	KindChoice BlockKind = "choice" // the first Branch whose guard holds; none: nothing
)

// Block is a node of the tree; which fields count depends on Kind.
type Block struct {
	Kind     BlockKind `json:"kind"`
	Step     *Step     `json:"step,omitempty"`
	Blocks   []Block   `json:"blocks,omitempty"`
	Choice   string    `json:"choice,omitempty"` // unique name of a choice, e.g. "c1"
	Branches []Branch  `json:"branches,omitempty"`
}

// Branch is one way of a choice. An empty Guard always holds (else).
type Branch struct {
	Guard  string  `json:"guard,omitempty"` // unique name, key of Facts.Guards
	When   string  `json:"when,omitempty"`  // its source, for readers
	Blocks []Block `json:"blocks"`
}

// Step asks the holders of some seats one question.
type Step struct {
	Name  string   `json:"name"` // unique in the definition, not "start"
	Title Text     `json:"title"`
	Ask   []string `json:"ask"` // seat expressions; all who are found are electors
	// Weights by seat expression of Ask; one that is missing weighs 1.
	Weights map[string]int `json:"weights,omitempty"`
	// Draw asks so many of the electors, by lot (see Draw); 0 asks all.
	Draw int  `json:"draw,omitempty"`
	Rule Rule `json:"rule"`
	// Reads are the JSON pointers a vote signs; empty means the whole form.
	Reads  []string     `json:"reads,omitempty"`
	Fields []FieldRight `json:"fields,omitempty"`
	Due    Span         `json:"due,omitzero"`
	OnDue  OnDue        `json:"on_due,omitzero"`
	// DistinctFrom names steps nobody may decide together with this one; it
	// holds in both directions.
	DistinctFrom []string `json:"distinct_from,omitempty"`
	// SendBack are the legal targets: "start" and names of earlier steps.
	SendBack  []string `json:"send_back,omitempty"`
	Link      bool     `json:"link,omitempty"`       // may be decided by link
	Strong    bool     `json:"strong,omitempty"`     // a link needs a second proof
	Paper     bool     `json:"paper,omitempty"`      // may be entered from paper
	AlwaysAsk bool     `json:"always_ask,omitempty"` // de-duplication never answers it
	// NotSameUnit keeps people of the requesting unit out of the step.
	NotSameUnit bool `json:"not_same_unit,omitempty"`
	// Fixed steps take no transfer and no added signers.
	Fixed bool `json:"fixed,omitempty"`
}

// Start is the send-back target that means the requester.
const Start = "start"

// Right is what the electors of a step may do with a field.
type Right string

// The rights; a field without one is readable.
const (
	Read    Right = "read"
	Edit    Right = "edit"
	Hide    Right = "hide"
	Require Right = "require" // edit, and an approval needs a value
)

// FieldRight gives a right for a JSON pointer and all below it.
type FieldRight struct {
	Field string `json:"field"`
	Right Right  `json:"right"`
}

// Right is what this step's electors may do with the field; the most exact
// pointer wins.
func (s *Step) Right(field string) Right {
	right, depth := Read, -1
	for _, f := range s.Fields {
		if within(field, f.Field) && len(f.Field) > depth {
			right, depth = f.Right, len(f.Field)
		}
	}
	return right
}

// Unit is what a Span counts.
type Unit string

// Working days and business hours are two things: 1bd is the end of the next
// working day, 8bh are eight hours of somebody's office time.
const (
	WorkingDays   Unit = "bd"
	BusinessHours Unit = "bh"
	Minutes       Unit = "m"
)

// Span is a length of time in one unit; the zero Span is none.
type Span struct {
	N    int  `json:"n"`
	Unit Unit `json:"unit"`
}

// Then is what happens to a step when it is due.
type Then string

// A step that asks for approval is never approved by itself; ThenPass ends an
// objection window (Rule Objection) in which nobody objected.
const (
	ThenNothing  Then = ""
	ThenRemind   Then = "remind"
	ThenEscalate Then = "escalate"
	ThenAbstain  Then = "abstain"
	ThenReject   Then = "reject"
	ThenWiden    Then = "widen" // ask OnDue.Escalate too
	ThenPass     Then = "pass"
	ThenReplace  Then = "replace" // ask the next of the lot instead of the silent
)

// OnDue says when the electors are reminded (percent of the time that has
// passed) and what happens when it is over.
type OnDue struct {
	Remind   []int  `json:"remind,omitempty"` // rising, 1–100
	Then     Then   `json:"then,omitempty"`
	Escalate string `json:"escalate,omitempty"` // seat expression of ThenEscalate and ThenWiden
}

// Dedupe says when somebody who has approved already is not asked again.
type Dedupe string

// The modes of de-duplication; none ever answers a step that must be distinct.
const (
	DedupeOff         Dedupe = "off"
	DedupeConsecutive Dedupe = "consecutive" // approved the step right before
	DedupeAnywhere    Dedupe = "anywhere"    // approved any step of this request
)

// Mode says what a send-back asks again.
type Mode string

// The modes of sending back.
const (
	// Redo asks everything from the target on again.
	Redo Mode = "redo"
	// ReturnToMe asks only those whose fields changed, then the sender.
	ReturnToMe Mode = "return_to_me"
)

// Policy holds the rules that concern the whole request.
type Policy struct {
	// NotRequester keeps the requester out of every step.
	NotRequester bool   `json:"not_requester"`
	Dedupe       Dedupe `json:"dedupe,omitempty"`
	// Empty is the seat asked when a step finds nobody; without one the step
	// opens blocked and Explain says so.
	Empty       string `json:"empty,omitempty"`
	Mode        Mode   `json:"mode,omitempty"`          // of a send-back that names none
	MaxSendBack int    `json:"max_send_back,omitempty"` // 0: no limit
	// WithdrawDays is how many days after approval the requester may still
	// withdraw; 0: not at all.
	WithdrawDays int `json:"withdraw_days,omitempty"`
	// Interest names relations to the request that keep somebody out of every
	// step (conflict of interest); the shell knows them.
	Interest []string `json:"interest,omitempty"`
	// CC are seat expressions whose holders are told and may read.
	CC []string `json:"cc,omitempty"`
	// Stop are seat expressions whose holders may stop the approved thing,
	// beside those who decided it.
	Stop []string `json:"stop,omitempty"`
}

// Steps lists the steps in the order of the text.
func (d *Definition) Steps() []*Step {
	var out []*Step
	eachStep(d.Blocks, func(s *Step) { out = append(out, s) })
	return out
}

// Step finds a step by name, or nil.
func (d *Definition) Step(name string) *Step {
	var found *Step
	eachStep(d.Blocks, func(s *Step) {
		if s.Name == name {
			found = s
		}
	})
	return found
}

// Guards lists the names of all guards in the order of the text.
func (d *Definition) Guards() []string {
	var out []string
	eachBranch(d.Blocks, func(b *Branch) {
		if b.Guard != "" {
			out = append(out, b.Guard)
		}
	})
	return out
}

// Apart says whether one person may not decide both steps.
func (d *Definition) Apart(a, b string) bool {
	x, y := d.Step(a), d.Step(b)
	return x != nil && slices.Contains(x.DistinctFrom, b) || y != nil && slices.Contains(y.DistinctFrom, a)
}

func eachStep(blocks []Block, f func(*Step)) {
	for i := range blocks {
		b := &blocks[i]
		if b.Step != nil {
			f(b.Step)
		}
		eachStep(b.Blocks, f)
		for k := range b.Branches {
			eachStep(b.Branches[k].Blocks, f)
		}
	}
}

func eachBranch(blocks []Block, f func(*Branch)) {
	for i := range blocks {
		b := &blocks[i]
		eachBranch(b.Blocks, f)
		for k := range b.Branches {
			f(&b.Branches[k])
			eachBranch(b.Branches[k].Blocks, f)
		}
	}
}

// Precedes says whether step a is always over before step b begins.
func (d *Definition) Precedes(a, b string) bool { return precedes(d.Blocks, a, b) }

// precedes treats blocks as a sequence.
func precedes(blocks []Block, a, b string) bool {
	at := func(name string) int {
		return slices.IndexFunc(blocks, func(x Block) bool { return holds(&x, name) })
	}
	i, k := at(a), at(b)
	if i < 0 || k < 0 || i != k {
		return i >= 0 && k >= 0 && i < k
	}
	x := &blocks[i]
	switch x.Kind {
	case KindSeq:
		return precedes(x.Blocks, a, b)
	case KindPar:
		for n := range x.Blocks {
			if holds(&x.Blocks[n], a) && holds(&x.Blocks[n], b) {
				return precedes(x.Blocks[n:n+1], a, b)
			}
		}
	case KindChoice:
		for n := range x.Branches {
			if precedes(x.Branches[n].Blocks, a, b) {
				return true
			}
		}
	}
	return false
}

func holds(b *Block, name string) bool {
	found := false
	eachStep([]Block{*b}, func(s *Step) { found = found || s.Name == name })
	return found
}
