package proof

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kelian/workflow/flow"
)

// worlds are all combinations of guards that some form can bring about.
// Guards that share no field are independent, so they are kept in parts.
type worlds struct {
	parts []*part
	of    map[string]*part // by guard
}

// part is a set of guards that depend on common fields.
type part struct {
	guards  []string
	read    []*formula // of guards
	rules   []*formula // that touch the same fields
	dims    []*dim
	found   map[string][]cell // by the guards' answers, "10…"
	order   []string          // keys of found, in the order of discovery
	open    bool              // not enumerated: every combination is taken as possible
	assumed bool              // a condition outside the fragment takes part
}

// cell is a representative form, as far as the part's fields go.
type cell map[string]any

// perAnswer is how many cells are kept for each combination of answers: should
// a rule outside the fragment refuse the first as a witness, the next is tried.
const perAnswer = 6

// data reads the guards, enumerates the cells and judges every choice.
func (p *prover) data() *worlds {
	before := len(p.report.Findings)
	w, cells, bounded, err := p.enumerate()
	if err != nil {
		p.report.Data = Layer{Verdict: Skipped, Zh: "表单读不懂", En: err.Error()}
		return &worlds{of: map[string]*part{}}
	}
	j := &choices{prover: p, worlds: w}
	j.blocks(p.Flow.Blocks, nil)
	p.report.Data = Layer{Verdict: p.verdict(before, bounded), Explored: cells}
	if bounded {
		p.report.Data.Zh, p.report.Data.En = "有些条件涉及的字段太多，组合没有穷尽", "some conditions depend on too many fields to try every combination"
	}
	if slices.ContainsFunc(w.parts, func(x *part) bool { return x.assumed }) {
		p.report.Data.Zh, p.report.Data.En = "有些条件不在可判定的范围内，按真假都可能处理", "some conditions lie outside the decidable fragment and were taken as free"
	}
	return w
}

func (p *prover) enumerate() (*worlds, int, bool, error) {
	root, err := parseSchema(p.Schema)
	if err != nil {
		return nil, 0, false, err
	}
	r := &reader{fields: map[string]*field{}, params: p.Params, dims: map[string]*dim{}}
	for _, f := range root.members() {
		r.fields[f.name] = f
	}
	guards, rules := make([]formula, len(p.Guards)), make([]formula, len(p.Rules))
	for i, g := range p.Guards {
		guards[i] = r.read(g.AST)
	}
	for i, g := range p.Rules {
		rules[i] = r.read(g.AST)
	}
	for _, d := range r.order {
		d.represent()
	}
	w := divide(p.Guards, guards, rules)
	cells, bounded := 0, false
	for _, x := range w.parts {
		n := x.enumerate(p.Budget.Cells - cells)
		cells += n
		bounded = bounded || x.open
	}
	return w, cells, bounded, nil
}

// represent keeps one value of each cell: values on which all atoms agree are
// one.
func (d *dim) represent() {
	all := []any{true, false}
	if d.field != nil {
		all = d.field.candidates(d.cuts)
	}
	seen := map[string]bool{}
	for _, v := range all {
		sign := make([]byte, len(d.atoms))
		for i, a := range d.atoms {
			if a.test(v) {
				sign[i] = 1
			}
		}
		if !seen[string(sign)] {
			seen[string(sign)] = true
			d.values = append(d.values, v)
		}
	}
}

// divide joins guards and rules that share a field. A rule that touches no
// guard's field restricts no guard and is left out.
func divide(names []Guard, guards, rules []formula) *worlds {
	w := &worlds{of: map[string]*part{}}
	touched := func(x *part, f *formula) bool {
		return slices.ContainsFunc(f.dims(), func(d *dim) bool { return slices.Contains(x.dims, d) })
	}
	join := func(f *formula, name string) {
		x := &part{}
		for _, other := range slices.Clone(w.parts) {
			if !touched(other, f) {
				continue
			}
			w.parts = slices.DeleteFunc(w.parts, func(q *part) bool { return q == other })
			x.guards, x.read, x.rules = append(x.guards, other.guards...), append(x.read, other.read...), append(x.rules, other.rules...)
			x.dims = append(x.dims, other.dims...)
		}
		for _, d := range f.dims() {
			if !slices.Contains(x.dims, d) {
				x.dims = append(x.dims, d)
			}
		}
		if name != "" {
			x.guards, x.read = append(x.guards, name), append(x.read, f)
		} else {
			x.rules = append(x.rules, f)
		}
		w.parts = append(w.parts, x)
	}
	for i := range guards {
		join(&guards[i], names[i].Name)
	}
	left := make([]*formula, len(rules))
	for i := range rules {
		left[i] = &rules[i]
	}
	for again := true; again; {
		again = false
		for i, f := range left {
			if f != nil && slices.ContainsFunc(w.parts, func(x *part) bool { return touched(x, f) }) {
				join(f, "")
				left[i], again = nil, true
			}
		}
	}
	for _, x := range w.parts {
		x.assumed = slices.ContainsFunc(x.dims, func(d *dim) bool { return d.field == nil })
		for _, g := range x.guards {
			w.of[g] = x
		}
	}
	return w
}

// enumerate tries every cell and gives their number; more than the budget are
// not tried at all.
func (x *part) enumerate(budget int) int {
	total := 1
	for _, d := range x.dims {
		if total *= len(d.values); total > budget {
			x.open = true
			return 0
		}
	}
	x.found = map[string][]cell{}
	answers := make([]byte, len(x.read))
	for n := range total {
		for _, d := range x.dims {
			d.value = d.values[n%len(d.values)]
			n /= len(d.values)
		}
		if slices.ContainsFunc(x.rules, func(f *formula) bool { return !f.eval() }) {
			continue
		}
		for i, f := range x.read {
			answers[i] = '0'
			if f.eval() {
				answers[i] = '1'
			}
		}
		key := string(answers)
		if len(x.found[key]) == 0 {
			x.order = append(x.order, key)
		}
		if len(x.found[key]) < perAnswer {
			c := cell{}
			for _, d := range x.dims {
				if d.field != nil {
					c[d.name] = d.value
				}
			}
			x.found[key] = append(x.found[key], c)
		}
	}
	return total
}

// answers are guards with the answers they are wanted to give.
type answers map[string]bool

func (a answers) with(guard string, holds bool) answers {
	out := maps.Clone(a)
	if out == nil {
		out = answers{}
	}
	out[guard] = holds
	return out
}

// possible says that some form gives these answers.
func (w *worlds) possible(want answers) bool {
	for _, x := range w.parts {
		if !x.open && !slices.ContainsFunc(x.order, func(key string) bool { return x.agrees(key, want) }) {
			return false
		}
	}
	return true
}

func (x *part) agrees(key string, want answers) bool {
	for i, g := range x.guards {
		if holds, asked := want[g]; asked && holds != (key[i] == '1') {
			return false
		}
	}
	return true
}

// cells are representative forms that give the answers, at most perAnswer².
func (w *worlds) cells(want answers) []cell {
	out := []cell{{}}
	for _, x := range w.parts {
		var some []cell
		for _, key := range x.order {
			if x.agrees(key, want) && len(some) < perAnswer {
				some = append(some, x.found[key]...)
			}
		}
		var next []cell
		for _, a := range out {
			for _, b := range some {
				if len(next) < perAnswer*perAnswer {
					c := maps.Clone(a)
					maps.Copy(c, b)
					next = append(next, c)
				}
			}
		}
		if len(some) > 0 {
			out = next
		}
	}
	return out
}

// assumed says that the answers of these guards rest on free conditions.
func (w *worlds) assumed(guards answers) bool {
	for g := range guards {
		if x := w.of[g]; x != nil && (x.assumed || x.open) {
			return true
		}
	}
	return false
}

// choices judges every choice on the way through the tree.
type choices struct {
	*prover
	*worlds
}

func (c *choices) blocks(blocks []flow.Block, path answers) {
	for i := range blocks {
		b := &blocks[i]
		c.blocks(b.Blocks, path)
		if b.Kind == flow.KindChoice {
			c.choice(b, path)
		}
	}
}

func (c *choices) choice(b *flow.Block, path answers) {
	rest := path // none of the branches before holds
	for i := range b.Branches {
		br := &b.Branches[i]
		taken := rest
		if br.Guard != "" {
			taken = rest.with(br.Guard, true)
		}
		if !c.possible(taken) {
			c.dead(b, i)
		} else {
			c.blocks(br.Blocks, taken)
			c.overlaps(b, i, taken, rest)
		}
		if br.Guard == "" {
			return
		}
		rest = rest.with(br.Guard, false)
	}
	switch {
	case !c.possible(rest) && len(b.Branches) == 1 && !strings.Contains(b.Branches[0].When, "params."): // a parameter is there to be changed
		if c.possible(path.with(b.Branches[0].Guard, true)) {
			c.at(b, 0, Finding{Code: "GUARD_ALWAYS", Severity: Warning,
				Zh: "条件“" + b.Branches[0].When + "”对任何表单都成立", En: "the condition “" + b.Branches[0].When + "” holds for every form"})
		}
	case len(b.Branches) > 1 && c.possible(rest):
		c.witnessed(b, 0, rest, Finding{Code: "GUARD_GAP", Zh: "有的表单不符合任何一个分支，谁也不会被问到", En: "there are forms that take none of the branches, so nobody is asked"})
	}
}

// dead reports a branch that no form takes, with the steps nobody is asked.
func (c *choices) dead(b *flow.Block, i int) {
	br := &b.Branches[i]
	when := br.When
	if br.Guard == "" {
		when = "else"
	}
	c.at(b, i, Finding{Code: "GUARD_DEAD", Severity: Error,
		Zh: fmt.Sprintf("没有表单会走到分支“%s”，其中的步骤永远不会问到", when),
		En: fmt.Sprintf("no form takes the branch “%s”; its steps are never asked", when)})
}

// overlaps reports a later branch that the same form fits as well, unless the
// earlier one is a special case of it (a cascade of thresholds).
func (c *choices) overlaps(b *flow.Block, i int, taken, rest answers) {
	first := &b.Branches[i]
	for k := i + 1; k < len(b.Branches); k++ {
		other := &b.Branches[k]
		if other.Guard == "" || !c.possible(taken.with(other.Guard, true)) || !c.possible(taken.with(other.Guard, false)) ||
			!c.possible(rest.with(first.Guard, false).with(other.Guard, true)) {
			continue
		}
		c.witnessed(b, k, taken.with(other.Guard, true), Finding{Code: "GUARD_OVERLAP",
			Zh: fmt.Sprintf("有的表单同时符合“%s”和“%s”，只会走前一个", first.When, other.When),
			En: fmt.Sprintf("there are forms for which “%s” and “%s” both hold; only the first is taken", first.When, other.When)})
	}
}

// witnessed makes the finding an error if a form that the real validator and
// the real guards accept shows it, else a doubt.
func (c *choices) witnessed(b *flow.Block, branch int, want answers, f Finding) {
	form, shown := c.witness(c.worlds, want)
	f.Severity = Error
	if form != nil {
		f.Witness = &Witness{Form: form}
	}
	if !shown {
		f.Severity, f.Assumed = Warning, true
	}
	c.at(b, branch, f)
}

// at places a finding at a branch's guard and its first step.
func (c *choices) at(b *flow.Block, branch int, f Finding) {
	br := &b.Branches[branch]
	name := br.Guard
	if name == "" && branch > 0 {
		name = b.Branches[branch-1].Guard
	}
	for _, g := range c.Guards {
		if g.Name == name {
			f.Line, f.Col = g.Line, g.Col
		}
	}
	inner := flow.Definition{Blocks: br.Blocks}
	if steps := inner.Steps(); len(steps) > 0 {
		f.Step = steps[0].Name
	}
	c.add(f)
}
