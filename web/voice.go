package web

import (
	"fmt"
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kelian/desk/property"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// text is one text in both languages; both are needed to write one.
type text struct{ zh, en string }

func (t text) in(lang string) string {
	if lang == "en" {
		return t.en
	}
	return t.zh
}

// say gives a text of the dictionary, with its places filled.
func say(lang, key string, args ...any) (string, error) {
	for _, d := range []map[string]text{commonWords, publicWords, workWords, flowWords, deskWords} {
		if w, ok := d[key]; ok {
			if len(args) > 0 {
				return fmt.Sprintf(w.in(lang), args...), nil
			}
			return w.in(lang), nil
		}
	}
	return "", fmt.Errorf("web: no text for %q", key)
}

// sayHTML is say for templates: times among the arguments stay marked up, and
// everything else is escaped.
func sayHTML(lang, key string, args ...any) (any, error) {
	marked := false
	for _, a := range args {
		_, is := a.(template.HTML)
		marked = marked || is
	}
	if !marked {
		return say(lang, key, args...)
	}
	safe := make([]any, len(args))
	for i, a := range args {
		switch x := a.(type) {
		case template.HTML:
			safe[i] = string(x)
		case string:
			safe[i] = template.HTMLEscapeString(x)
		default:
			safe[i] = a
		}
	}
	out, err := say(lang, key, safe...)
	return template.HTML(out), err
}

// voice spells things for a reader of one language.
type voice struct {
	s    *Site
	lang string
}

// words chooses one of the texts that the services give in both languages.
func (v voice) words(x any) (string, error) {
	switch w := x.(type) {
	case struct{ Zh, En string }:
		return text{w.Zh, w.En}.in(v.lang), nil
	case org.Text:
		return text{w.Zh, w.En}.in(v.lang), nil
	case flow.Text:
		return text{w.Zh, w.En}.in(v.lang), nil
	}
	return "", fmt.Errorf("web: %T is no text in two languages", x)
}

// rule is a threshold as everybody understands it.
func (v voice) rule(r flow.Rule) string {
	said := r.Say()
	return text{said.Zh, said.En}.in(v.lang)
}

// condition is that of a branch in words, with the names of units and seats.
func (v voice) condition(def *workflow.Definition, b flow.Branch) string {
	said := def.Condition(b, v.codeNames)
	return text{said.Zh, said.En}.in(v.lang)
}

// codeNames spells the code of a unit or a seat; zero: none.
func (v voice) codeNames(code string) flow.Text {
	if u, ok := v.s.names().units[code]; ok {
		return flow.Text{Zh: u.NameZh, En: u.NameEn}
	}
	if x, ok := v.s.names().seats[code]; ok {
		return flow.Text{Zh: x.TitleZh, En: x.TitleEn}
	}
	return flow.Text{}
}

var weekdays = [2][7]string{{"周日", "周一", "周二", "周三", "周四", "周五", "周六"}, {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}}

// monthText spells a month: 2026年11月.
func (v voice) monthText(t time.Time) string {
	if v.lang == "en" {
		return t.Format("January 2006")
	}
	return fmt.Sprintf("%d年%d月", t.Year(), t.Month())
}

// weekdays are the heads of a calendar, from Monday on.
func (v voice) weekdays() []string {
	if v.lang == "en" {
		return append(append([]string{}, weekdays[1][1:]...), weekdays[1][0])
	}
	return []string{"一", "二", "三", "四", "五", "六", "日"}
}

// dayText spells a day as people on a campus say it: 10月14日 第6周 周三.
func (v voice) dayText(t time.Time) string {
	t = t.In(v.s.Location)
	week := 0
	if cal := v.s.names().cal; cal != nil {
		week = cal.TeachingWeek(t)
	}
	other := t.Year() != v.s.Clock.Now().In(v.s.Location).Year()
	if v.lang == "en" {
		out := weekdays[1][t.Weekday()] + t.Format(" 2 Jan")
		if other {
			out += t.Format(" 2006")
		}
		if week > 0 {
			out += fmt.Sprintf(" (week %d)", week)
		}
		return out
	}
	out := fmt.Sprintf("%d月%d日 ", t.Month(), t.Day())
	if other {
		out = fmt.Sprintf("%d年", t.Year()) + out
	}
	if week > 0 {
		out += fmt.Sprintf("第%d周 ", week)
	}
	return out + weekdays[0][t.Weekday()]
}

// whenText is a day and the minute; "" for no time.
func (v voice) whenText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return v.dayText(t) + t.In(v.s.Location).Format(" 15:04")
}

// when is a time for the page, exact to machines.
func (v voice) when(t time.Time) template.HTML { return v.stamp(t, v.whenText(t)) }

func (v voice) day(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	return v.stamp(t, v.dayText(t))
}

func (v voice) stamp(t time.Time, shown string) template.HTML {
	if t.IsZero() {
		return ""
	}
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + template.HTMLEscapeString(shown) + `</time>`)
}

// span is a length of time, as exact as anybody wants to know it.
func (v voice) span(d time.Duration) string {
	units := []struct {
		d      time.Duration
		zh, en string
	}{{24 * time.Hour, "天", "day"}, {time.Hour, "小时", "hour"}, {time.Minute, "分钟", "minute"}}
	for i, u := range units {
		if d < u.d && i < len(units)-1 {
			continue
		}
		n := int((d + u.d/2) / u.d)
		if v.lang != "en" {
			return fmt.Sprintf("%d %s", n, u.zh)
		}
		if n == 1 {
			return "1 " + u.en
		}
		return fmt.Sprintf("%d %ss", n, u.en)
	}
	return ""
}

// yuan spells fen.
func (v voice) yuan(fen int64) string {
	if v.lang == "en" {
		return "¥" + property.Yuan(fen)
	}
	return property.Yuan(fen) + " 元"
}

// unitName is a unit by its code; the code itself for one that is gone.
func (v voice) unitName(code string) string {
	u, ok := v.s.names().units[code]
	if !ok {
		return code
	}
	return text{u.NameZh, u.NameEn}.in(v.lang)
}

var (
	seatCall = regexp.MustCompile(`^(seat|vice_of|outside)\((.+)\)$`)
	ofCall   = regexp.MustCompile(`^college_of\((.+)\)\.(\w+)$`)
)

// seatName spells a seat, or a seat expression of a definition.
func (v voice) seatName(expr string) string {
	if x, ok := v.s.names().seats[expr]; ok {
		unit, _, _ := cutLast(expr, ".")
		return v.unitName(unit) + map[string]string{"zh": " ", "en": ", "}[v.lang] + text{x.TitleZh, x.TitleEn}.in(v.lang)
	}
	if m := seatCall.FindStringSubmatch(expr); m != nil {
		switch m[1] {
		case "seat":
			return v.seatName(m[2])
		case "vice_of":
			return text{"分管" + v.unitName(m[2]) + "的副主席", "the vice-chair in charge of " + v.unitName(m[2])}.in(v.lang)
		}
		return m[2]
	}
	if m := ofCall.FindStringSubmatch(expr); m != nil || expr == "college(in_charge)" {
		return text{"业务指导学院负责人", "the college in charge"}.in(v.lang)
	}
	if unit, role, ok := cutLast(expr, "."); ok {
		title := roleTitles[role]
		if title != (text{}) {
			if _, known := v.s.names().units[unit]; known {
				return v.unitName(unit) + map[string]string{"zh": "", "en": ", "}[v.lang] + title.in(v.lang)
			}
			return text{"申请单位的" + title.zh, title.en + " of the unit"}.in(v.lang)
		}
	}
	return expr
}

// seatOf is seatName for an expression of a version: a unit that the form names
// is called as the form calls it.
func (v voice) seatOf(def *workflow.Definition, expr string) string {
	e := def.Seats[expr]
	if e.Kind == workflow.SeatOutside {
		return v.unitName("outside." + e.Role)
	}
	f, ok := def.Form.Field(e.Unit.Field)
	if e.Unit.Kind != workflow.UnitField || !ok {
		return v.seatName(expr)
	}
	title := text{f.Title.Zh, f.Title.En}.in(v.lang)
	if e.Kind == workflow.SeatVice {
		return text{"分管该" + title + "的副主席", "the vice-chair in charge of it (" + title + ")"}.in(v.lang)
	}
	role := roleTitles[e.Role]
	if role == (text{}) {
		role = text{e.Role, e.Role}
	}
	return text{title + "的" + role.zh, role.en + " of it (" + title + ")"}.in(v.lang)
}

// roleTitles are the roles as they are called at any unit.
var roleTitles = map[string]text{"head": {"负责人", "head"}, "deputy": {"副职", "deputy"}, "advisor": {"指导老师", "advisor"}, "chair": {"会长", "chair"},
	"member": {"干事", "member"}, "teacher": {"老师", "teacher"}, "vice": {"副会长", "vice-president"}, "secretary": {"书记", "secretary"}}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// fen reads yuan as people write them: 860, 860.5, ¥1,200.
func fen(s string) (int64, bool) {
	s = strings.NewReplacer(",", "", "，", "", " ", "", "¥", "", "￥", "", "元", "").Replace(s)
	whole, cents, _ := strings.Cut(s, ".")
	if len(cents) > 2 || whole == "" || len(whole) > 13 {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+(cents + "00")[:2], 10, 64)
	return n, err == nil && !strings.HasPrefix(s, "-") && !strings.HasPrefix(s, "+")
}

// paperDate is a date as it stands on a form: 2026年10月14日.
func (v voice) paperDate(t time.Time) string {
	t = t.In(v.s.Location)
	if v.lang == "en" {
		return t.Format("2 January 2006")
	}
	return fmt.Sprintf("%d年%d月%d日", t.Year(), t.Month(), t.Day())
}

// exact is the moment of a probe, to the tenth of a second.
func (v voice) exact(epoch int64, after time.Duration) string {
	return time.Unix(epoch, 0).Add(after).In(v.s.Location).Format("01-02 15:04:05.0")
}

// fact spells what a desk knew when the request was sent.
func (v voice) fact(j flow.JSON) string {
	switch raw := strings.Trim(string(j), `"`); raw {
	case "true":
		return text{"是", "yes"}.in(v.lang)
	case "false", "0":
		return text{"无", "no"}.in(v.lang)
	case "", "null":
		return text{"不详", "unknown"}.in(v.lang)
	default:
		return raw
	}
}

// account spells an account of the ledger: pledge:… as 赞助 plg_….
func (v voice) account(name string) string {
	kind, which, _ := strings.Cut(name, ":")
	w, err := say(v.lang, "ledger."+kind)
	if err != nil {
		return name
	}
	if len(which) > 8 {
		which = "…" + which[len(which)-6:]
	}
	return strings.TrimSpace(w + " " + which)
}

// stateSets name the words for the states of a trace's objects, by their kind.
var stateSets = map[string]string{"inc": "incstate", "hst": "host", "trn": "host", "tkt": "ticket", "asg": "asked", "req": "status", "dec": "verdict", "pur": "purchase", "plg": "pledge"}

// anyState spells a state of any domain, for traces; one without a text is a
// code for programs and not shown.
func (v voice) anyState(kind, state string) string {
	if w, err := say(v.lang, stateSets[kind]+"."+state); err == nil {
		return w
	}
	return ""
}
