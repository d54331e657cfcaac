package render

import (
	"fmt"
	"strings"
)

// Mermaid is the graph as a Mermaid flowchart.
func (g *Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %s%s\n", n.ID, n.mermaid())
	}
	for _, e := range g.Edges {
		arrow := "-->"
		if e.Said != "" {
			arrow += "|\"" + escapeMermaid(e.Said) + "\"|"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", e.From, arrow, e.To)
	}
	return b.String()
}

func (n Node) mermaid() string {
	text := escapeMermaid(n.Title)
	for _, l := range n.Lines {
		text += "<br/>" + escapeMermaid(l)
	}
	switch n.Kind {
	case Start, End:
		return `(["` + text + `"])`
	case Split, Merge:
		return `{"×"}`
	case Fork, Join:
		return `{"+"}`
	case Timer:
		return `[/"` + text + `"/]`
	}
	return `["` + text + `"]`
}

// escapeMermaid writes what would end a quoted label as Mermaid's entities.
func escapeMermaid(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}
