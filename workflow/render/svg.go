package render

import (
	"fmt"
	"html"
	"strings"
)

// SVG is the graph as a picture that needs no script and no style sheet; its
// colours follow the page's text.
func (g *Graph) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="13">`+"\n",
		g.W, g.H, g.W, g.H)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(g.Title))
	b.WriteString(`<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>` + "\n")
	for _, e := range g.Edges {
		g.line(&b, e)
	}
	for i := range g.Nodes {
		g.Nodes[i].shape(&b)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (g *Graph) line(b *strings.Builder, e Edge) {
	pts := g.points(e)
	list := make([]string, len(pts))
	for i, p := range pts {
		list[i] = fmt.Sprintf("%d,%d", p.X, p.Y)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="currentColor" marker-end="url(#a)"/>`+"\n", strings.Join(list, " "))
	if e.Said != "" {
		to := g.node(e.To)
		x, y := pts[0].X+gapX/2+6, pts[len(pts)-1].Y-6
		if to.Step != nil {
			x, y = to.X, to.Y-6 // above the box: the arrow is too short for it
		}
		text(b, x, y, "start", 11, e.Said, 30)
	}
}

func (n *Node) shape(b *strings.Builder) {
	cx, cy := n.X+n.W/2, n.Y+n.H/2
	switch n.Kind {
	case Start, End:
		width := 1
		if n.Kind != Start {
			width = 3
		}
		fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="%d" fill="none" stroke="currentColor" stroke-width="%d"/>`+"\n", cx, cy, n.W/2, width)
		text(b, cx, n.Y+n.H+14, "middle", 11, n.Title, 24)
		return
	case Split, Merge, Fork, Join:
		fmt.Fprintf(b, `<path d="M%d %d %d %d %d %d %d %dz" fill="none" stroke="currentColor"/>`+"\n", cx, n.Y, n.X+n.W, cy, cx, n.Y+n.H, n.X, cy)
		sign := "×"
		if n.Kind == Fork || n.Kind == Join {
			sign = "+"
		}
		text(b, cx, cy+6, "middle", 18, sign, 2)
		return
	}
	dash := ""
	if n.Kind == Timer {
		dash = ` stroke-dasharray="6 3"`
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="none" stroke="currentColor"%s/>`+"\n", n.X, n.Y, n.W, n.H, dash)
	text(b, cx, n.Y+26, "middle", 13, n.Title, 24)
	for i, l := range n.Lines {
		text(b, cx, n.Y+46+18*i, "middle", 11, l, 28)
	}
}

// text writes as much as the columns hold; the whole is its title.
func text(b *strings.Builder, x, y int, anchor string, size int, s string, columns int) {
	cut, title := short(s, columns), ""
	if cut != s {
		title = "<title>" + html.EscapeString(s) + "</title>"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" font-size="%d" fill="currentColor">%s%s</text>`+"\n", x, y, anchor, size, title, html.EscapeString(cut))
}

// short cuts a text to a width in half-width columns; a Han character takes
// two.
func short(s string, columns int) string {
	used := 0
	for i, r := range s {
		w := 1
		if r > 0x2e80 {
			w = 2
		}
		if used += w; used > columns {
			return s[:i] + "…"
		}
	}
	return s
}
