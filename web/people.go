package web

import (
	"fmt"
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
)

// picked is whom a form names: by name, and chosen where several have it.
type picked struct {
	Text    string
	Choices []choice
}

// maxAlike is how many people of one name are shown to choose from.
const maxAlike = 10

// pick finds the people whom a form names in "who", by name, pinyin or initials,
// with 、 between them. Where a name is not clear, those who have it are
// shown to be chosen ("person").
func (c *call) pick(most int) ([]id.ID, error) {
	c.picked = picked{Text: c.in("who")}
	var out []id.ID
	unclear := false
	for _, name := range strings.FieldsFunc(c.picked.Text, func(r rune) bool { return strings.ContainsRune("、，,；;\n", r) }) {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		list, err := c.called(name)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, fault.Input("who", "没有找到“"+name+"”。请写全名，并确认他现在有岗位", "nobody called “"+name+"” was found; write the full name of somebody who holds a seat")
		}
		chosen := c.chosenOf(list)
		switch {
		case len(chosen) > 0:
			out = append(out, chosen...)
		case len(list) == 1:
			out = append(out, list[0].ID)
		default:
			unclear = true
		}
		if len(list) > 1 {
			c.offer(list, chosen)
		}
	}
	switch {
	case unclear:
		return nil, fault.Input("who", "这个名字不止一人，请勾选是哪一位", "more than one person has that name; tick whom you mean")
	case len(out) == 0:
		return nil, fault.Input("who", "请写姓名", "write a name")
	case len(out) > most:
		return nil, fault.Input("who", fmt.Sprintf("最多 %d 人", most), fmt.Sprintf("at most %d people", most))
	}
	return out, nil
}

// called are the people with a seat of that name, else those whose name holds
// it.
func (c *call) called(name string) ([]org.Profile, error) {
	list, err := c.Org.Find(c.ctx(), c.actor, name, maxAlike)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(p org.Profile) bool { return len(p.Tenures) == 0 || p.ID == c.actor.Person })
	var exact []org.Profile
	for _, p := range list {
		if p.Name == name {
			exact = append(exact, p)
		}
	}
	if len(exact) > 0 {
		return exact, nil
	}
	return list, nil
}

func (c *call) chosenOf(list []org.Profile) []id.ID {
	var out []id.ID
	for _, p := range list {
		if slices.Contains(c.r.PostForm["person"], p.ID.TypeID("per")) {
			out = append(out, p.ID)
		}
	}
	return out
}

func (c *call) offer(list []org.Profile, chosen []id.ID) {
	for _, p := range list {
		x := choice{Value: p.ID.TypeID("per"), Title: p.Name, Chosen: slices.Contains(chosen, p.ID)}
		for i, t := range p.Tenures {
			x.Title += text{map[bool]string{true: "：", false: "、"}[i == 0], map[bool]string{true: ": ", false: ", "}[i == 0]}.in(c.lang) + c.voice().seatName(t.Seat)
		}
		if !slices.Contains(c.picked.Choices, x) {
			c.picked.Choices = append(c.picked.Choices, x)
		}
	}
}
