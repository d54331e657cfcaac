package netmon

import (
	"fmt"
	"regexp"
	"strings"

	"kelian/netmon/judge"
)

// mark stands for a host's or check's name in the judge's texts, which know
// one name each.
func mark(id string) string { return "{" + id + "}" }

var marks = regexp.MustCompile(`\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?`)

// words puts each language's names into the judge's texts.
func (t *topology) words(zh, en string) Words {
	return Words{
		marks.ReplaceAllStringFunc(zh, func(m string) string { return t.nameOf(strings.Trim(m, "{}")).Zh }),
		marks.ReplaceAllStringFunc(en, func(m string) string { return t.nameOf(strings.Trim(m, "{}")).En }),
	}
}

// nameOf names a host or a check.
func (t *topology) nameOf(id string) Words {
	if h := t.hosts[id]; h != nil {
		return h.name
	}
	if c := t.checks[id]; c != nil {
		return c.name
	}
	return Words{"已移除的检测项", "a removed check"}
}

// said names who said that there is no route; not everybody may see addresses.
func (t *topology) said(by string) Words {
	switch h := t.hosts[by]; {
	case by == "":
		return Words{}
	case h != nil:
		return h.name
	}
	return Words{"未登记的路由器", "a router that is not listed"}
}

// fullName names a node; a check together with its host.
func (t *topology) fullName(id string) Words {
	if c := t.checks[id]; c != nil {
		return Words{c.host.name.Zh + " · " + c.name.Zh, c.host.name.En + " · " + c.name.En}
	}
	return t.nameOf(id)
}

const titleNames = 2

// title is an incident in a few words, at most 300 characters, without any
// address.
func (t *topology) title(roots, suppressed []string) Words {
	var zh, en []string
	page := false
	for _, r := range roots[:min(len(roots), titleNames)] {
		n := t.fullName(r)
		zh, en = append(zh, n.Zh), append(en, n.En)
		page = page || t.checks[r] != nil
	}
	w := Words{strings.Join(zh, "、"), strings.Join(en, " and ")}
	if len(roots) > titleNames {
		w.Zh += fmt.Sprintf("等 %d 处", len(roots))
		w.En = fmt.Sprintf("%s and %d more", strings.Join(en, ", "), len(roots)-titleNames)
	}
	verb := Words{"无响应", plural(len(roots), "does not answer", "do not answer")}
	if page {
		verb = Words{"不正常", plural(len(roots), "is not well", "are not well")}
	}
	w.Zh, w.En = w.Zh+verb.Zh, w.En+" "+verb.En
	if n := len(suppressed); n > 0 {
		w.Zh += fmt.Sprintf("，%d 台设备受牵连", n)
		w.En += fmt.Sprintf(", %d %s affected", n, plural(n, "device", "devices"))
	}
	return Words{clip(w.Zh), clip(w.En)}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func clip(s string) string {
	if r := []rune(s); len(r) > 300 {
		return string(r[:299]) + "…"
	}
	return s
}

var stateWords = map[judge.State]Words{
	judge.Unknown: {"未知", "unknown"}, judge.Up: {"正常", "up"}, judge.Suspect: {"可疑", "suspect"},
	judge.Down: {"故障", "down"}, judge.Recovering: {"恢复中", "recovering"}, judge.Sick: {"自身异常", "sick"},
}

// moved says in words what a transition of a host or check was.
func (t *topology) moved(x judge.Transition) Words {
	n, from, to := t.fullName(x.ID), stateWords[x.From], stateWords[x.To]
	w := Words{n.Zh + "：" + from.Zh + " → " + to.Zh, n.En + ": " + from.En + " → " + to.En}
	if x.Now&judge.Unreachable != 0 && len(x.Roots) > 0 {
		var zh, en []string
		for _, r := range x.Roots[:min(len(x.Roots), titleNames)] {
			root := t.fullName(r)
			zh, en = append(zh, root.Zh), append(en, root.En)
		}
		w.Zh += "，受 " + strings.Join(zh, "、") + " 牵连"
		w.En += ", cut off by " + strings.Join(en, ", ")
	}
	return w
}
