package web_test

import (
	"context"
	"encoding/xml"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/testkit"
	"kelian/web"
	"kelian/workflow"
)

// tour is a demo whose buttons are remembered.
type tour struct {
	w     *world
	acts  []string
	touch int
}

func (d *tour) Accounts() []web.DemoAccount {
	return []web.DemoAccount{{Login: "zhouhang", Name: "周航", TitleZh: "信息中心干事", TitleEn: "member of the information centre", AboutZh: "修网络", AboutEn: "mends the network"}}
}

func (d *tour) SignIn(ctx context.Context, login string) (string, error) {
	if login != "zhouhang" {
		return "", fault.Missing()
	}
	b := d.w.in(login, "zh")
	return b.cookies["__Host-kelian"], nil
}

func (d *tour) Outage(context.Context) error  { d.acts = append(d.acts, "outage"); return nil }
func (d *tour) Recover(context.Context) error { d.acts = append(d.acts, "recovery"); return nil }
func (d *tour) Touch()                        { d.touch++ }

func (d *tour) Picture(context.Context) (web.DemoNetwork, error) {
	n := web.DemoNetwork{Round: 37, Answered: 10, Asked: 17, Age: 3 * time.Second, Mode: "raw", Cut: true}
	n.Hosts = append(n.Hosts, web.DemoHost{ID: "core", NameZh: "核心交换机", NameEn: "core switch", State: "UP"},
		web.DemoHost{ID: "web", NameZh: "网站", NameEn: "web", State: "UP", Needs: []string{"core"}}, web.DemoHost{ID: "dns", NameZh: "DNS", NameEn: "DNS", State: "UP", Needs: []string{"core"}})
	for _, s := range []string{"1", "2"} {
		state, dark := "UP", s == "2"
		if dark {
			state = "DOWN"
		}
		n.Hosts = append(n.Hosts, web.DemoHost{ID: "sw" + s, NameZh: "接入交换机 " + s, NameEn: "access switch " + s, State: state, Needs: []string{"core"}})
		for i := range 6 {
			id := "h" + s + strconv.Itoa(i)
			n.Hosts = append(n.Hosts, web.DemoHost{ID: id, NameZh: "宿舍 " + s + strconv.Itoa(i), NameEn: "dorm " + s + strconv.Itoa(i), State: state, Suppressed: dark, Needs: []string{"sw" + s}})
		}
	}
	return n, nil
}

func (d *tour) Mails(context.Context) ([]web.DemoMail, error) {
	return []web.DemoMail{{ID: "1", To: "zhouhang@example.edu.cn", Subject: "新报修等你接单", Text: "<b>请在 11:00 前接单</b>", At: testkit.Start}}, nil
}

func (d *tour) Steps(lang string) []web.DemoStep {
	if lang == "en" {
		return []web.DemoStep{{N: 2, Title: "Cut access switch 2", Text: "Within 15 s one incident.", Action: "outage"}, {N: 3, Title: "The ticket", Text: "Given to somebody.", Login: "zhouhang", Name: "周航", Path: "/tickets"}}
	}
	return []web.DemoStep{{N: 2, Title: "切断接入交换机 2", Text: "15 秒内一条故障。", Action: "outage"}, {N: 3, Title: "报修单", Text: "派给了谁。", Login: "zhouhang", Name: "周航", Path: "/tickets"}}
}

func TestTour(t *testing.T) {
	d := &tour{}
	w := open(t, func(deps *web.Deps) { deps.Demo = d })
	d.w = w
	b := w.browser("zh")
	b.get("/demo").want(200, "第 37 轮，10/17，3 秒前", "切断接入交换机 2", "周航", "新报修等你接单", "受牵连").lacks("<b>请在")
	if n := strings.Count(b.body, "<rect"); n != 17 {
		t.Fatalf("%d devices are drawn", n)
	}
	if n := strings.Count(b.body, `<g class="dark">`); n != 6 {
		t.Fatalf("%d devices are grey", n)
	}
	b.post("/demo/outage").follow().want(200)
	b.post("/demo/recovery").follow().want(200)
	if !slices.Equal(d.acts, []string{"outage", "recovery"}) || d.touch < 3 {
		t.Fatalf("the demo heard %v and was touched %d times", d.acts, d.touch)
	}
	b.post("/demo/sign-in", "login", "zhouhang", "next", "/tickets").want(303)
	if b.header.Get("Location") != "/tickets" {
		t.Fatal("the step does not open its page")
	}
	b.get("/inbox").want(200, "周航")
	b.post("/demo/nothing").want(404)
	plain := open(t)
	plain.browser("zh").get("/demo").want(404)
}

// TestEveryPage visits every page in both languages and reads its source: no
// script, no inline style, nothing from elsewhere, labels, one title, the
// language, and no text that was not translated.
func TestEveryPage(t *testing.T) {
	d := &tour{}
	w := open(t, func(deps *web.Deps) { deps.Demo = d })
	d.w = w
	w.outage()
	stranger := w.browser("zh")
	stranger.post("/repair", "act", "send", "kind", "NETWORK", "building", "7舍", "text", "断网", "name", "王伟", "contact-kind", "phone", "contact-value", "13800001234", "consent", repair.ConsentVersion)
	ticket := strings.Split(stranger.header.Get("Location"), "?")[0]
	z := w.in("zhouhang", "zh")
	z.post("/requests/new/office.property", append(module("860"), "act", "send")...).follow()
	req := strings.Split(z.at, "?")[0]
	company, err := w.deps.Sponsor.CreateOrganisation(bg, w.actor("shenyue"), organisation("星河科技"))
	if err != nil {
		t.Fatal(err)
	}
	w.agreed(company)
	a := w.in("ayinuer", "zh")
	a.post("/requests/new/supervision.activity", "act", "send", "/host", "society.robotics", "/title", "机器人开放日", "/kind", "open_day", "/start", "2026-11-15T09:00", "/end", "2026-11-15T17:00", "/place", "体育馆", "/people", "40", "/budget", "500").follow()
	activity := strings.Split(a.at, "?")[0]
	which := parse(t, "req", activity)
	if _, err := w.deps.Workflow.Publish(bg, w.actor("hejing"), workflow.PublishInput{Source: visit, Understaffed: true, IdempotencyKey: "v"}); err != nil {
		t.Fatal(err)
	}
	trip, granted := z.visit("访问浙大"), z.visit("访问复旦")
	w.in("shenyue", "zh").act(granted, "act", "approve").want(303)
	w.in("hejing", "zh").act(granted, "act", "approve", "/grant", "500").want(303)
	z.post(granted+"/close-out", "act", "send", "/summary", "去了三天").want(303)
	z.get(trip + "/print")
	code := strings.Split(strings.Split(z.body, public+"/verify/")[1], "<")[0]
	w.drain()
	board := w.in("techhead", "zh").get("/tickets").link(`/tickets/tkt_\w+`)

	visits := map[string][]string{
		"":         {"/", "/status", "/privacy", "/repair", "/sign-in", "/sign-in/forgot", "/sign-out", "/demo", ticket, "/d/" + w.link("han", which), "/nothing", "/t/zzzz"},
		"zhouhang": {"/inbox", "/account", "/requests", "/requests?all=1", req, req + "/edit", req + "/print", "/requests/new/office.property", "/purchases", "/", "/workflows", "/workflows/office.property", "/workflows/supervision.activity", "/calendar", trip, granted, granted + "/amend", granted + "/close-out"},
		"hejing":   {"/paper", "/paper/" + code, "/verify/" + code, "/requests", "/workflows/office.seal", "/workflows/draft"}, "liu": {granted},
		"songlan":  {req, "/inbox", "/purchases"},
		"ayinuer":  {activity, "/requests/new/supervision.activity", "/requests/new/technical.training", "/requests/new/liaison.sponsor"},
		"techhead": {"/tickets", board, "/incidents", "/incidents/" + w.incident.TypeID("inc"), "/trace/" + w.incident.TypeID("inc"), "/to-tell"},
		"shenyue":  {"/pledges", trip, "/inbox"}, "caiwu": {"/pledges"},
	}
	for who, paths := range visits {
		for _, lang := range []string{"zh", "en"} {
			b := w.browser(lang)
			if who != "" {
				b = w.in(who, lang)
			}
			for _, p := range paths {
				t.Run(lang+" "+who+p, func(t *testing.T) { inspect(t, b.get(p), lang) })
			}
		}
	}
	g := w.in("zhouhang", "en").get("/graphiql").want(200)
	if csp := g.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe-eval") {
		t.Errorf("the policy of /graphiql: %s", csp)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(g.body, -1) {
		if x := w.browser("en").get(m[1]); x.code != 200 || !strings.HasPrefix(m[1], "/") {
			t.Errorf("/graphiql needs %s: %d", m[1], x.code)
		}
	}
	w.browser("en").get("/graphiql").want(303)
}

var (
	attr    = regexp.MustCompile(`\s(href|src|action)="([^"]*)"`)
	control = regexp.MustCompile(`(?s)<(input|select|textarea)\b([^>]*)>`)
	idAttr  = regexp.MustCompile(`\sid="([^"]*)"`)
	allIDs  = regexp.MustCompile(`\sid="([^"]*)"`)
	han     = regexp.MustCompile(`\p{Han}`)
)

func inspect(t *testing.T, b *browser, lang string) {
	t.Helper()
	if b.code != 200 && b.code != 404 {
		t.Fatalf("%d: %s", b.code, b.text())
	}
	for _, bad := range []string{"<script", "<style", " style=", "javascript:", "ZgotmplZ", "%!", "&lt;time", "<no value>"} {
		if strings.Contains(b.body, bad) {
			t.Errorf("it holds %s", bad)
		}
	}
	for event := range strings.SplitSeq("onclick onload onsubmit onchange onerror", " ") {
		if strings.Contains(b.body, " "+event+"=") {
			t.Errorf("it holds %s", event)
		}
	}
	if !strings.Contains(b.body, `<html lang="`+map[string]string{"zh": "zh-CN", "en": "en"}[lang]+`">`) {
		t.Error("it does not name its language")
	}
	if n := strings.Count(b.body, "<title>"); n == 0 || strings.Contains(b.body, "<title> ·") {
		t.Error("it has no title")
	}
	if strings.Count(b.body, "<h1>") != 1 {
		t.Error("it has not one heading")
	}
	for _, m := range attr.FindAllStringSubmatch(b.body, -1) {
		if u := m[2]; !strings.HasPrefix(u, "/") && !strings.HasPrefix(u, "#") && !strings.HasPrefix(u, "data:image/png;base64,") && !strings.HasPrefix(u, public) && !strings.HasPrefix(u, "tel:") {
			t.Errorf("it leads to %s", u)
		}
	}
	labelled(t, b.body)
	if csp := b.header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") {
		t.Errorf("its policy is %s", csp)
	}
	if b.header.Get("Cache-Control") != "no-store" {
		t.Error("a proxy may keep it")
	}
	dec := xml.NewDecoder(strings.NewReader(b.body))
	dec.Strict, dec.AutoClose, dec.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := dec.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Errorf("its markup: %v", err)
			}
			break
		}
	}
	_ = lang
}

// labelled demands that every control has a label of its own and that no
// identifier occurs twice.
func labelled(t *testing.T, body string) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range allIDs.FindAllStringSubmatch(body, -1) {
		if seen[m[1]] {
			t.Errorf("two elements are called %s", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range control.FindAllStringSubmatch(body, -1) {
		if strings.Contains(m[2], `type="hidden"`) {
			continue
		}
		id := idAttr.FindStringSubmatch(m[2])
		if id == nil || !strings.Contains(body, `for="`+id[1]+`"`) {
			t.Errorf("a control without a label: %s", m[0])
		}
	}
}

// TestEveryTextIsThere finds every text that a page or a handler names.
func TestEveryTextIsThere(t *testing.T) {
	words := map[string][2]string{}
	for _, f := range glob(t, "words_*.go") {
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			pair, ok := kv.Value.(*ast.CompositeLit)
			if !ok || len(pair.Elts) != 2 {
				return true
			}
			key := str(kv.Key)
			if _, twice := words[key]; twice {
				t.Errorf("%s stands twice", key)
			}
			words[key] = [2]string{str(pair.Elts[0]), str(pair.Elts[1])}
			return true
		})
	}
	verbs := regexp.MustCompile(`%[sd]`)
	for key, w := range words {
		if w[0] == "" || w[1] == "" {
			t.Errorf("%s lacks a language", key)
		}
		if han.MatchString(w[1]) {
			t.Errorf("%s is Chinese in English: %s", key, w[1])
		}
		if !slices.Equal(verbs.FindAllString(w[0], -1), verbs.FindAllString(w[1], -1)) {
			t.Errorf("%s has other places in English", key)
		}
	}
	named := regexp.MustCompile(`\bt "([^"]+)"`)
	for _, f := range glob(t, "page/*.html") {
		for _, m := range named.FindAllStringSubmatch(read(t, f), -1) {
			if _, ok := words[m[1]]; !ok {
				t.Errorf("%s names %s", f, m[1])
			}
		}
	}
	code := regexp.MustCompile(`\.t\("([^"]+[^.])"|Text: "(nav\.\w+)"|c\.to\([^\n]*, "(\w+)"\)`)
	for _, f := range glob(t, "*.go") {
		for _, m := range code.FindAllStringSubmatch(read(t, f), -1) {
			key := m[1] + m[2]
			if m[3] != "" {
				key = "done." + m[3]
			}
			if _, ok := words[key]; !ok {
				t.Errorf("%s names %s", f, key)
			}
		}
	}
}

func str(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil || len(list) == 0 {
		t.Fatal(pattern, err)
	}
	return slices.DeleteFunc(list, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

func read(t *testing.T, f string) string {
	t.Helper()
	b, err := os.ReadFile(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
