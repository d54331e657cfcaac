package flow_test

import (
	"fmt"
	"slices"

	"kelian/workflow/flow"

	"pgregory.net/rapid"
)

var (
	people = []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6"}
	seats  = []string{"s0", "s1", "s2", "s3"}
	fields = []string{"/a", "/b", "/c"}
)

// editable is the field that some steps let their electors fill in.
const editable = "/c"

// drawDefinition makes a definition that passes Check.
func drawDefinition(t *rapid.T) *flow.Definition {
	g := &generator{t: t}
	var blocks []flow.Block
	blocks = append(blocks, g.step())
	for range rapid.SampledFrom([]int{2, 1, 3, 0}).Draw(t, "blocks") {
		blocks = append(blocks, g.block(0))
	}
	def := definition(blocks...)
	def.Policy = flow.Policy{NotRequester: rapid.Bool().Draw(t, "not requester"), Empty: rapid.SampledFrom([]string{"", "s3"}).Draw(t, "empty"),
		Dedupe:       rapid.SampledFrom([]flow.Dedupe{flow.DedupeOff, flow.DedupeConsecutive, flow.DedupeAnywhere}).Draw(t, "dedupe"),
		WithdrawDays: rapid.SampledFrom([]int{0, 2}).Draw(t, "withdraw days"), MaxSendBack: rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "max")}
	if rapid.Bool().Draw(t, "close out") {
		def.CloseOut = &flow.CloseOutRule{After: "/a", Due: flow.Span{N: 10, Unit: flow.WorkingDays}}
	}
	if rarely(g.t, "expires") {
		def.Expires = "/a"
	}
	def.Policy.Stop, def.Policy.CC = []string{"s3"}, []string{"s2"}
	g.relate(def)
	return def
}

type generator struct {
	t     *rapid.T
	steps int
	forks int
}

// rarely is true once in about ten times: small numbers are drawn more often.
func rarely(t *rapid.T, label string) bool { return rapid.IntRange(0, 5).Draw(t, label) == 5 }

func (g *generator) step() flow.Block {
	g.steps++
	s := &flow.Step{Name: fmt.Sprintf("s%d", g.steps), Title: flow.Text{Zh: "步", En: "step"},
		Ask:       rapid.SliceOfNDistinct(rapid.SampledFrom(seats), 1, 2, rapid.ID[string]).Draw(g.t, "ask"),
		Reads:     rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 0, 2, rapid.ID[string]).Draw(g.t, "reads"),
		Rule:      drawRule(g.t, 3),
		Draw:      rapid.SampledFrom([]int{0, 0, 0, 3}).Draw(g.t, "draw"),
		AlwaysAsk: rapid.Bool().Draw(g.t, "always ask"),
		Paper:     rapid.Bool().Draw(g.t, "paper"),
		Fixed:     rarely(g.t, "fixed")}
	s.Rule.InTurn = rarely(g.t, "in turn")
	if rarely(g.t, "points") {
		s.Rule.Score, s.Rule.Mean = 10, rapid.IntRange(0, 10).Draw(g.t, "mean")
	}
	if rarely(g.t, "window") {
		s.Rule = flow.Rule{Kind: flow.Objection}
		s.Due, s.OnDue = flow.Span{N: 1, Unit: flow.WorkingDays}, flow.OnDue{Then: flow.ThenPass}
		return flow.Block{Kind: flow.KindStep, Step: s}
	}
	if rarely(g.t, "fields") {
		s.Fields = []flow.FieldRight{{Field: editable, Right: rapid.SampledFrom([]flow.Right{flow.Edit, flow.Require}).Draw(g.t, "right")}}
	}
	if rapid.Bool().Draw(g.t, "has due") {
		s.Due = flow.Span{N: 1, Unit: flow.WorkingDays}
		then := []flow.Then{flow.ThenEscalate, flow.ThenWiden, flow.ThenAbstain, flow.ThenRemind, flow.ThenReject}
		if s.Draw > 0 {
			then = append(then, flow.ThenReplace, flow.ThenReplace, flow.ThenReplace)
		}
		s.OnDue = flow.OnDue{Remind: []int{50}, Then: rapid.SampledFrom(then).Draw(g.t, "then"), Escalate: "s3"}
	}
	return flow.Block{Kind: flow.KindStep, Step: s}
}

func (g *generator) block(depth int) flow.Block {
	kind := rapid.SampledFrom([]flow.BlockKind{flow.KindStep, flow.KindSeq, flow.KindPar, flow.KindChoice}).Draw(g.t, "kind")
	if depth > 1 || g.steps > 6 {
		kind = flow.KindStep
	}
	list := func() []flow.Block {
		out := []flow.Block{g.block(depth + 1)}
		if rapid.Bool().Draw(g.t, "two") {
			out = append(out, g.block(depth+1))
		}
		return out
	}
	switch kind {
	case flow.KindSeq, flow.KindPar:
		return flow.Block{Kind: kind, Blocks: list()}
	case flow.KindChoice:
		g.forks++
		name := fmt.Sprintf("c%d", g.forks)
		b := flow.Block{Kind: kind, Choice: name, Branches: []flow.Branch{{Guard: name + ".1", Blocks: list()}}}
		if rapid.Bool().Draw(g.t, "else") {
			b.Branches = append(b.Branches, flow.Branch{Blocks: list()})
		}
		return b
	}
	return g.step()
}

// relate adds send-back targets and distinctness between the steps.
func (g *generator) relate(def *flow.Definition) {
	all := def.Steps()
	for _, s := range all {
		s.SendBack = []string{flow.Start}
		for _, o := range all {
			if def.Precedes(o.Name, s.Name) && rapid.Bool().Draw(g.t, "target") {
				s.SendBack = append(s.SendBack, o.Name)
			}
			if o != s && rarely(g.t, "apart") {
				s.DistinctFrom = append(s.DistinctFrom, o.Name)
			}
		}
	}
}

// nextVersion is a version of the definition in which one step has another
// name and another, perhaps, comes on top; it gives what Migrate is told.
func nextVersion(t *rapid.T, def *flow.Definition, n int) (*flow.Definition, map[string]string) {
	old := rapid.SampledFrom(def.Steps()).Draw(t, "renamed").Name
	renamed := map[string]string{old: fmt.Sprintf("m%d", n)}
	rename := func(names []string) []string {
		out := slices.Clone(names)
		for i, name := range out {
			if to, ok := renamed[name]; ok {
				out[i] = to
			}
		}
		return out
	}
	next := *def
	next.Hash, next.Blocks = fmt.Sprintf("h%d", n), copyBlocks(def.Blocks)
	for _, s := range next.Steps() {
		s.Name, s.SendBack, s.DistinctFrom = rename([]string{s.Name})[0], rename(s.SendBack), rename(s.DistinctFrom)
	}
	if rapid.Bool().Draw(t, "one more") {
		next.Blocks = append(next.Blocks, step(fmt.Sprintf("x%d", n), rapid.SampledFrom(seats).Draw(t, "asks")))
	}
	return &next, renamed
}

func copyBlocks(blocks []flow.Block) []flow.Block {
	out := slices.Clone(blocks)
	for i := range out {
		if s := out[i].Step; s != nil {
			again := *s
			out[i].Step = &again
		}
		out[i].Blocks, out[i].Branches = copyBlocks(out[i].Blocks), slices.Clone(out[i].Branches)
		for k := range out[i].Branches {
			out[i].Branches[k].Blocks = copyBlocks(out[i].Branches[k].Blocks)
		}
	}
	return out
}
