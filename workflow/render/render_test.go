package render_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kelian/workflow"
	"kelian/workflow/flow"
	"kelian/workflow/render"
)

func builtin(t *testing.T) []*workflow.Definition {
	t.Helper()
	files, err := filepath.Glob("../definitions/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d definitions: %v", len(files), err)
	}
	var out []*workflow.Definition
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := workflow.LoadPublished(src, workflow.Known{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// shape is one element of a document with its attributes and its parent.
type shape struct {
	name   string
	attrs  map[string]string
	parent string
}

func parse(t *testing.T, doc string) []shape {
	t.Helper()
	var out []shape
	var stack []string
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			s := shape{name: x.Name.Local, attrs: map[string]string{}}
			for _, a := range x.Attr {
				s.attrs[a.Name.Local] = a.Value
			}
			if len(stack) > 0 {
				s.parent = stack[len(stack)-1]
			}
			out, stack = append(out, s), append(stack, x.Name.Local)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}

// A BPMN reader finds every step as a task that is reached from the start and
// from which the end is reached, and every element in the diagram once.
func TestBPMNIsAConnectedProcess(t *testing.T) {
	for _, d := range builtin(t) {
		raw, err := render.Of(d.Flow, render.Zh, render.Words{}).BPMN(d.Flow.Key)
		if err != nil {
			t.Fatal(err)
		}
		next, names, drawn := map[string][]string{}, map[string]string{}, map[string]int{}
		var start, end string
		for _, s := range parse(t, string(raw)) {
			switch {
			case s.name == "sequenceFlow":
				next[s.attrs["sourceRef"]] = append(next[s.attrs["sourceRef"]], s.attrs["targetRef"])
				names[s.attrs["id"]] = ""
			case s.parent == "process":
				names[s.attrs["id"]] = s.attrs["name"]
			}
			switch s.name {
			case "startEvent":
				start = s.attrs["id"]
			case "endEvent":
				end = s.attrs["id"]
			case "BPMNShape", "BPMNEdge":
				drawn[s.attrs["bpmnElement"]]++
			}
		}
		reached := map[string]bool{}
		var walk func(string)
		walk = func(id string) {
			if !reached[id] {
				reached[id] = true
				for _, n := range next[id] {
					walk(n)
				}
			}
		}
		walk(start)
		titles := map[string]bool{}
		for id, name := range names {
			if drawn[id] != 1 {
				t.Errorf("%s: %s is drawn %d times", d.Flow.Key, id, drawn[id])
			}
			if titles[name] = true; !reached[id] && !strings.HasPrefix(id, "flow_") {
				t.Errorf("%s: %s is not reached", d.Flow.Key, id)
			}
		}
		if !reached[end] {
			t.Errorf("%s: the end is not reached", d.Flow.Key)
		}
		for _, s := range d.Flow.Steps() {
			if !titles[s.Title.Zh] {
				t.Errorf("%s: the step %s is missing", d.Flow.Key, s.Name)
			}
		}
	}
}

func TestNothingIsDrawnOnTopOfAnother(t *testing.T) {
	for _, d := range builtin(t) {
		g := render.Of(d.Flow, render.En, render.Words{})
		for i, a := range g.Nodes {
			if a.X < 0 || a.Y < 0 || a.X+a.W > g.W || a.Y+a.H > g.H {
				t.Errorf("%s: %s is outside of the picture", d.Flow.Key, a.ID)
			}
			for _, b := range g.Nodes[:i] {
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %s and %s overlap", d.Flow.Key, a.ID, b.ID)
				}
			}
		}
	}
}

func TestTextOfADefinitionCannotBreakADrawing(t *testing.T) {
	evil := `<script>"x"</script> & # |`
	def := &flow.Definition{Title: flow.Text{Zh: evil, En: evil}, Blocks: []flow.Block{
		{Kind: flow.KindChoice, Choice: "c1", Branches: []flow.Branch{{Guard: "c1.1", When: `a < 1 && b == "y"`, Blocks: []flow.Block{
			{Kind: flow.KindStep, Step: &flow.Step{Name: "s", Title: flow.Text{Zh: evil, En: evil}, Ask: []string{evil}, Rule: flow.Rule{Kind: flow.Any}}}}}}}}}
	g := render.Of(def, render.En, render.Words{})
	raw, err := g.BPMN("x.y")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range []string{string(raw), g.SVG()} {
		for _, s := range parse(t, doc) {
			if s.name == "script" {
				t.Fatalf("a script got into\n%s", doc)
			}
		}
	}
	if m := g.Mermaid(); strings.Contains(m, "<script>") || strings.Count(m, `"`)%2 != 0 {
		t.Fatal(m)
	}
}

func TestMermaidNamesWhoWhenAndHowLong(t *testing.T) {
	for _, d := range builtin(t) {
		m := render.Of(d.Flow, render.Zh, render.Words{}).Mermaid()
		for _, s := range d.Flow.Steps() {
			if !strings.Contains(m, s.Title.Zh) || !strings.Contains(m, s.Rule.Say().Zh) {
				t.Errorf("%s: %s is missing in\n%s", d.Flow.Key, s.Name, m)
			}
		}
	}
}
