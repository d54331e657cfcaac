// Package render draws a workflow: as Mermaid text, as BPMN 2.0 XML with its
// diagram, and as SVG. All three are printed from one laid-out graph, which is
// a pure function of the definition.
package render

import (
	"fmt"
	"slices"
	"strings"

	"kelian/workflow/flow"
)

// Lang chooses the wording of a drawing.
type Lang string

// The languages of a drawing.
const (
	Zh Lang = "zh"
	En Lang = "en"
)

func (l Lang) of(t flow.Text) string {
	if l == En {
		return t.En
	}
	return t.Zh
}

// Kind is the shape of a node.
type Kind string

// The shapes, in BPMN's terms.
const (
	Start Kind = "start"
	End   Kind = "end"
	Task  Kind = "task"
	Split Kind = "split"  // exclusive: one way is taken
	Merge Kind = "merge"  // exclusive
	Fork  Kind = "fork"   // parallel: all ways are taken
	Join  Kind = "join"   // parallel
	Timer Kind = "window" // an objection window
)

// Node is a shape with its place, in pixels from the upper left corner.
type Node struct {
	ID         string // an XML name, unique in the graph
	Kind       Kind
	Title      string
	Lines      []string   // who is asked, by which rule, how long
	Step       *flow.Step // of Task and Timer
	X, Y, W, H int
}

// Edge is an arrow; When is its condition's source, Said what stands beside it.
type Edge struct {
	ID, From, To string
	When, Said   string
}

// Words spell what a definition names for those who know the people and the
// form; a nil one leaves it as it is written.
type Words struct {
	Seat func(expr string) string
	When func(flow.Branch) string
}

// Graph is a drawing.
type Graph struct {
	Title string
	Nodes []Node
	Edges []Edge
	W, H  int
}

// Sizes of the drawing.
const (
	taskW, taskH = 180, 76
	dotW         = 36
	gateW        = 40
	gapX, gapY   = 48, 28
	margin       = 24
)

// Of lays a definition out from left to right.
func Of(def *flow.Definition, lang Lang, words Words) *Graph {
	b := &builder{lang: lang, words: words, g: &Graph{Title: lang.of(def.Title)}}
	h := b.height(def.Blocks)
	mid := margin + h/2
	start := b.node(Start, map[Lang]string{Zh: "提交", En: "Submit"}[lang], margin, mid, dotW, dotW)
	last, x := b.seq(def.Blocks, margin+dotW+gapX, mid, exit{from: start})
	end := b.node(End, map[Lang]string{Zh: "通过", En: "Approved"}[lang], x, mid, dotW, dotW)
	b.join(last, end)
	b.g.W, b.g.H = x+dotW+margin, h+2*margin
	return b.g
}

type builder struct {
	lang  Lang
	words Words
	g     *Graph
}

// exit is a way out of a block that waits for the next one; when is the
// condition under which it is taken, said in words.
type exit struct{ from, when, said string }

func (b *builder) node(kind Kind, title string, x, mid, w, h int) string {
	id := fmt.Sprintf("%s_%d", kind, len(b.g.Nodes)+1)
	b.g.Nodes = append(b.g.Nodes, Node{ID: id, Kind: kind, Title: title, X: x, Y: mid - h/2, W: w, H: h})
	return id
}

func (b *builder) join(e exit, to string) {
	b.g.Edges = append(b.g.Edges, Edge{ID: fmt.Sprintf("flow_%d", len(b.g.Edges)+1), From: e.from, To: to, When: e.when, Said: e.said})
}

// seq draws blocks one after the other around the line mid and gives the way
// out and the next free column.
func (b *builder) seq(blocks []flow.Block, x, mid int, in exit) (exit, int) {
	for i := range blocks {
		in, x = b.block(&blocks[i], x, mid, in)
	}
	return in, x
}

func (b *builder) block(blk *flow.Block, x, mid int, in exit) (exit, int) {
	switch blk.Kind {
	case flow.KindStep:
		return b.step(blk.Step, x, mid, in)
	case flow.KindSeq:
		return b.seq(blk.Blocks, x, mid, in)
	case flow.KindPar:
		ways := make([]way, len(blk.Blocks))
		for i := range blk.Blocks {
			ways[i] = way{blocks: blk.Blocks[i : i+1]}
		}
		return b.branches(Fork, Join, ways, x, mid, in)
	}
	ways := make([]way, 0, len(blk.Branches)+1)
	open := true // nothing says what happens otherwise
	otherwise := b.lang.of(flow.Text{Zh: "其他情形", En: "otherwise"})
	for _, br := range blk.Branches {
		w := way{blocks: br.Blocks, when: br.When, said: br.When}
		if br.Guard == "" {
			w.when, w.said, open = "else", otherwise, false
		} else if b.words.When != nil {
			w.said = b.words.When(br)
		}
		ways = append(ways, w)
	}
	if open {
		ways = append(ways, way{when: "else", said: otherwise})
	}
	return b.branches(Split, Merge, ways, x, mid, in)
}

// way is one branch between two gates.
type way struct {
	blocks     []flow.Block
	when, said string
}

func (b *builder) branches(open, shut Kind, ways []way, x, mid int, in exit) (exit, int) {
	gate := b.node(open, "", x, mid, gateW, gateW)
	b.join(in, gate)
	total := (len(ways) - 1) * gapY
	for _, w := range ways {
		total += b.height(w.blocks)
	}
	y, far := mid-total/2, x+gateW+gapX
	exits := make([]exit, 0, len(ways))
	for _, w := range ways {
		h := b.height(w.blocks)
		out, end := b.seq(w.blocks, x+gateW+gapX, y+h/2, exit{from: gate, when: w.when, said: w.said})
		exits, far, y = append(exits, out), max(far, end), y+h+gapY
	}
	last := b.node(shut, "", far, mid, gateW, gateW)
	for _, e := range exits {
		b.join(e, last)
	}
	return exit{from: last}, far + gateW + gapX
}

func (b *builder) step(s *flow.Step, x, mid int, in exit) (exit, int) {
	kind := Task
	if s.Rule.Kind == flow.Objection {
		kind = Timer
	}
	id := b.node(kind, b.lang.of(s.Title), x, mid, taskW, taskH)
	n := &b.g.Nodes[len(b.g.Nodes)-1]
	n.Step, n.Lines = s, b.lines(s)
	b.join(in, id)
	return exit{from: id}, x + taskW + gapX
}

// height is what blocks need, side by side where they branch.
func (b *builder) height(blocks []flow.Block) int {
	h := taskH
	for i := range blocks {
		blk, sum, n := &blocks[i], 0, 0
		switch blk.Kind {
		case flow.KindSeq:
			sum, n = b.height(blk.Blocks), 1
		case flow.KindPar:
			for k := range blk.Blocks {
				sum, n = sum+b.height(blk.Blocks[k:k+1]), n+1
			}
		case flow.KindChoice:
			open := true
			for _, br := range blk.Branches {
				sum, n, open = sum+b.height(br.Blocks), n+1, open && br.Guard != ""
			}
			if open {
				sum, n = sum+taskH, n+1
			}
		}
		h = max(h, sum+max(0, n-1)*gapY)
	}
	return h
}

// lines are the small print of a step: who, by which rule, how long.
func (b *builder) lines(s *flow.Step) []string {
	asked := slices.Clone(s.Ask)
	for i := range asked {
		if b.words.Seat != nil {
			asked[i] = b.words.Seat(asked[i])
		}
	}
	who := strings.Join(asked, b.lang.of(flow.Text{Zh: "、", En: ", "}))
	rule := b.lang.of(s.Rule.Say())
	if s.Draw > 0 {
		rule += map[Lang]string{Zh: fmt.Sprintf(" · 抽签 %d 人", s.Draw), En: fmt.Sprintf(" · lot of %d", s.Draw)}[b.lang]
	}
	if s.Due.N > 0 {
		rule += " · " + b.lang.of(s.Due.Say())
	}
	return []string{who, rule}
}
