package web

import (
	"fmt"
	"slices"

	"kelian/internal/fault"
)

// demoPage is the tour: what Kelian is, the network as it is now, one button
// for each step.
type demoPage struct {
	Net      DemoNetwork
	Picture  picture
	Seconds  int
	Accounts []DemoAccount
	Steps    []DemoStep
	Mails    []DemoMail
}

func (c *call) demo() error {
	c.Demo.Touch()
	net, err := c.Demo.Picture(c.ctx())
	if err != nil {
		return err
	}
	mails, err := c.Demo.Mails(c.ctx())
	if err != nil {
		return err
	}
	d := demoPage{Net: net, Picture: draw(net.Hosts, c.lang), Seconds: int(net.Age.Seconds()), Accounts: c.Demo.Accounts(), Steps: c.Demo.Steps(c.lang), Mails: mails}
	return c.write("demo", &page{Title: c.t("demo.title"), Refresh: 5, D: d})
}

// demoBack is for those who reload the address of a button.
func (c *call) demoBack() error { return c.to("/demo", "") }

func (c *call) demoPost() error {
	c.Demo.Touch()
	var err error
	switch c.r.PathValue("act") {
	case "outage":
		err = c.Demo.Outage(c.ctx())
	case "recovery":
		err = c.Demo.Recover(c.ctx())
	case "sign-in":
		return c.demoSignIn()
	default:
		return fault.Missing()
	}
	if err != nil {
		return c.refused(err, c.demo)
	}
	return c.to("/demo", "")
}

func (c *call) demoSignIn() error {
	token, err := c.Demo.SignIn(c.ctx(), c.in("login"))
	if err != nil {
		return c.refused(err, c.demo)
	}
	if old := c.cookie().Token(c.r); old != "" {
		if err := c.Auth.SignOut(c.ctx(), old); err != nil {
			return err
		}
	}
	c.setCookie(token, false)
	next := local(c.in("next"))
	if next == "/" {
		next = "/inbox"
	}
	return c.to(next, "")
}

// picture is the network drawn: boxes with places in a field of Width × Height.
type picture struct {
	Width, Height int
	Boxes         []box
	Lines         []line
}

type box struct {
	X, Y  int // of the middle
	Name  string
	State string // up, down, dark (受牵连), suspect, unknown
}

type line struct {
	X1, Y1, X2, Y2 int
	Dark           bool
}

const (
	pictureWidth = 360 // the width of a phone
	rowHeight    = 62
)

// draw puts the roots on top, with what hangs from them and carries nothing
// itself beside them, then what carries others, and below each of those its own
// in two columns.
func draw(hosts []DemoHost, lang string) picture {
	at, carries := map[string]int{}, map[string][]int{}
	for i, h := range hosts {
		at[h.ID] = i
		for _, n := range h.Needs {
			carries[n] = append(carries[n], i)
		}
	}
	var top, middle []int
	below := map[int][]int{}
	for i, h := range hosts {
		switch parent, depth := ancestor(hosts, at, i); {
		case depth == 0:
			top = append(top, i)
		case depth == 1 && len(carries[h.ID]) == 0:
			top = append(top, i)
		case depth == 1:
			middle = append(middle, i)
		default:
			below[parent] = append(below[parent], i)
		}
	}
	// The root stands in the middle of what stands beside it.
	slices.SortStableFunc(top, func(a, b int) int { return len(hosts[b].Needs) - len(hosts[a].Needs) })
	if n := len(top); n > 2 {
		root := top[n-1]
		top = slices.Insert(top[:n-1], (n-1)/2, root)
	}
	p := picture{Width: pictureWidth}
	spots := make([][2]int, len(hosts))
	place := func(list []int, y int) {
		for k, i := range list {
			spots[i] = [2]int{pictureWidth * (2*k + 1) / (2 * len(list)), y}
		}
	}
	place(top, rowHeight/2)
	place(middle, rowHeight*3/2+10)
	deepest := 0
	for k, parent := range middle {
		width := pictureWidth / len(middle)
		for j, i := range below[parent] {
			spots[i] = [2]int{k*width + width*(2*(j%2)+1)/4, rowHeight*(5+2*(j/2))/2 + 24}
			deepest = max(deepest, j/2+1)
		}
	}
	p.Height = rowHeight*(2+deepest) + 24
	for i, h := range hosts {
		p.Boxes = append(p.Boxes, box{X: spots[i][0], Y: spots[i][1], Name: text{h.NameZh, h.NameEn}.in(lang), State: h.look()})
		for _, n := range h.Needs {
			if j, ok := at[n]; ok {
				p.Lines = append(p.Lines, line{spots[j][0], spots[j][1], spots[i][0], spots[i][1], hosts[j].look() != "up"})
			}
		}
	}
	return p
}

// ancestor is the device of the first level above (or equal to) a device, and
// how deep the device hangs.
func ancestor(hosts []DemoHost, at map[string]int, i int) (parent, depth int) {
	parent = i
	for range hosts { // a drawing with a circle ends all the same
		h := hosts[i]
		if len(h.Needs) == 0 {
			return parent, depth
		}
		j, ok := at[h.Needs[0]]
		if !ok {
			return parent, depth
		}
		parent, i, depth = i, j, depth+1
	}
	return parent, depth
}

// look is how a device is drawn.
func (h DemoHost) look() string {
	switch {
	case h.Suppressed:
		return "dark"
	case h.State == "UP":
		return "up"
	case h.State == "DOWN" || h.State == "RECOVERING":
		return "down"
	case h.State == "SUSPECT":
		return "suspect"
	}
	return "unknown"
}

// Sign is a mark for those who do not tell the colours apart.
func (b box) Sign() string {
	return map[string]string{"up": "✓", "down": "✗", "dark": "–", "suspect": "…", "unknown": "?"}[b.State]
}

// Long says that the name has to be squeezed into its box.
func (b box) Long() bool {
	width := 0 // in halves of a Chinese character
	for _, r := range b.Name {
		if width++; r >= 0x2E80 {
			width++
		}
	}
	return width > 13
}

// Left and Top are the corner of the box's rectangle.
func (b box) Left() int { return b.X - 38 }

// Top is the upper edge.
func (b box) Top() int { return b.Y - 20 }

// View is the SVG's field.
func (p picture) View() string { return fmt.Sprintf("0 0 %d %d", p.Width, p.Height) }
