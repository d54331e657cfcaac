package web

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/org"

	"rsc.io/qr"
)

//go:embed page/*.html
var pageFiles embed.FS

// page is what a template gets.
type page struct {
	Title      string
	Lang       string
	Federation string
	Me         *me
	Nav        []navItem
	Langs      []navItem
	Err        *fault.Error
	Done       string
	Request    string // the request's number, on pages that say that something broke
	Refresh    int    // seconds; 0 = the page stays
	Plain      bool   // without header and footer: the printed form
	D          any
}

type navItem struct {
	Path, Text string
	Lang       string
	Here       bool
	Count      int
}

// shared is what every page may name and nobody needs to read for each
// request: public names and the calendar.
type shared struct {
	at    time.Time
	units map[string]org.Unit
	seats map[string]org.Seat
	order []org.Unit
	cal   *org.Calendar
}

const sharedFor = 20 * time.Second

// refresh reads the shared names anew when they are old.
func (s *Site) refresh(ctx context.Context) error {
	now := s.Clock.Now()
	if p := s.public.Load(); p != nil && now.Sub(p.at) < sharedFor && !now.Before(p.at) {
		return nil
	}
	next := &shared{at: now, units: map[string]org.Unit{}, seats: map[string]org.Seat{}}
	stranger := org.Stranger("zh", "")
	var err error
	if next.order, err = s.Org.Units(ctx, stranger); err != nil {
		return err
	}
	for _, u := range next.order {
		next.units[u.Code] = u
	}
	seats, err := s.Org.Seats(ctx, stranger, "")
	if err != nil {
		return err
	}
	for _, x := range seats {
		next.seats[x.Name] = x
	}
	if next.cal, err = s.Org.Calendar(ctx); err != nil {
		return err
	}
	s.public.Store(next)
	return nil
}

func (s *Site) names() *shared {
	if p := s.public.Load(); p != nil {
		return p
	}
	return &shared{}
}

// load parses every page in both languages. A page that does not parse stops
// the program at its start.
func (s *Site) load() map[string]map[string]*template.Template {
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		panic(err)
	}
	out := map[string]map[string]*template.Template{}
	for _, lang := range []string{"zh", "en"} {
		out[lang] = map[string]*template.Template{}
		base := template.Must(template.New("base").Funcs(s.funcs(lang)).Option("missingkey=error").ParseFS(pageFiles, "page/layout.html", "page/part-*.html"))
		for _, f := range files {
			name := strings.TrimSuffix(f.Name(), path.Ext(f.Name()))
			if name == "layout" || strings.HasPrefix(name, "part-") {
				continue
			}
			out[lang][name] = template.Must(template.Must(base.Clone()).ParseFS(pageFiles, "page/"+f.Name()))
		}
	}
	return out
}

// funcs are the templates' words and shapes in one language.
func (s *Site) funcs(lang string) template.FuncMap {
	v := voice{s, lang}
	return template.FuncMap{
		"t": func(key string, args ...any) (any, error) { return sayHTML(lang, key, args...) },
		// name says a value of a closed set, e.g. name "status" .Status; loose one
		// of a set that others may add to: an unknown one is shown as it is.
		"name": func(set string, value any) (string, error) { return say(lang, set+"."+fmt.Sprint(value)) },
		"loose": func(set string, value any) string {
			if w, err := say(lang, set+"."+fmt.Sprint(value)); err == nil {
				return w
			}
			return fmt.Sprint(value)
		},
		"words": v.words, "when": v.when, "day": v.day, "span": v.span, "yuan": v.yuan, "unit": v.unitName, "seat": v.seatName, "rule": v.rule,
		"month": v.monthText, "weekdays": v.weekdays,
		"key":  func() string { return id.Secret(16) },
		"ref":  func(kind string, x id.ID) string { return x.TypeID(kind) },
		"bad":  func(e *fault.Error, field ...string) string { return bad(lang, e, field...) },
		"qr":   qrImage,
		"dict": dict,
		"both": func(zh, en string) string { return text{zh, en}.in(lang) },
		// refusal is what the top of the page says of a refusal.
		"refusal": func(e *fault.Error) string { return e.Message(lang) },
		// rel is an address of this site without its host.
		"rel":       func(link string) string { return local(strings.TrimPrefix(link, s.PublicURL)) },
		"deref":     func(n *int64) int64 { return *n },
		"points":    func(n *int) (string, error) { return say(lang, "score.given", *n) },
		"bare":      property.Yuan,
		"least":     func(a, b int64) int64 { return min(a, b) },
		"fact":      v.fact,
		"anystate":  v.anyState,
		"paperdate": v.paperDate,
		"exact":     v.exact,
		"ms":        func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) },
		"account":   v.account,
		"plainact":  func(a repair.Action) bool { return slices.Contains(plainActs, a) },
		"mainact":   func(a repair.Action) bool { return slices.Contains(mainActs, a) },
		"badact":    func(a repair.Action) bool { return slices.Contains(badActs, a) },
		"next":      func(i int) int { return i + 1 },
		"some":      func(x id.ID) bool { return !x.IsZero() },
		"lang":      func() string { return map[string]string{"zh": "zh-CN", "en": "en"}[lang] },
	}
}

// Acts on a ticket that one button does, and how the button looks.
var (
	plainActs = []repair.Action{repair.ActAccept, repair.ActDecline, repair.ActClaim, repair.ActRelease, repair.ActTakeOver, repair.ActPartsArrived, repair.ActWaitOwner,
		repair.ActResume, repair.ActFix, repair.ActUnfixable, repair.ActClose, repair.ActCancel, repair.ActReopen, repair.ActNote}
	mainActs = []repair.Action{repair.ActAccept, repair.ActClaim, repair.ActFix, repair.ActClose, repair.ActPartsArrived, repair.ActResume}
	badActs  = []repair.Action{repair.ActDecline, repair.ActUnfixable, repair.ActCancel}
)

// dict makes a map for a part that needs several values.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict takes names and values")
	}
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		out[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return out, nil
}

// bad is what was refused about a field, named by its path; "" = nothing.
func bad(lang string, e *fault.Error, field ...string) string {
	if e == nil || len(e.Path) == 0 {
		return ""
	}
	at := strings.Join(e.Path, ".")
	for _, f := range field {
		if at == f || strings.HasPrefix(at, f+".") {
			return e.Message(lang)
		}
	}
	return ""
}

// qrImage is a QR code as an image in the page itself: WeChat reads it when it
// is pressed for long, and a printer prints it.
func qrImage(text string) (template.URL, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", err
	}
	code.Scale = 6
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG())), nil
}

// t says a text of the dictionary; an unknown one is a mistake that the tests
// find.
func (c *call) t(key string, args ...any) string {
	text, err := say(c.lang, key, args...)
	if err != nil {
		panic(err)
	}
	return text
}

func (c *call) voice() voice                { return voice{c.Site, c.lang} }
func (c *call) unitName(code string) string { return c.voice().unitName(code) }
func (c *call) can(action, unit string) bool {
	return c.Rules.Can(c.actor, action, org.Object{Unit: unit})
}

// show writes a page.
func (c *call) show(name, title string, data any) error {
	return c.write(name, &page{Title: title, D: data})
}

func (c *call) write(name string, p *page) error {
	if name != "error" || c.code < 500 { // what is broken is not asked again
		if err := c.whoAmI(); err != nil && name != "error" {
			return err
		}
	}
	p.Lang, p.Federation, p.Me, p.Err = c.lang, c.Federation, c.me, c.err
	p.Nav, p.Langs = c.nav(), c.langs()
	p.Request = httpd.RequestID(c.ctx())
	if d := c.r.URL.Query().Get("done"); d != "" && c.err == nil {
		if text, err := say(c.lang, "done."+d); err == nil {
			p.Done = text
		}
	}
	var b bytes.Buffer
	if err := c.pages[c.lang][name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		return fmt.Errorf("web: page %s: %w", name, err)
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.Header().Set("Content-Language", c.lang)
	c.w.WriteHeader(c.code)
	_, _ = c.w.Write(b.Bytes())
	return nil
}

// nav is the menu of what this reader can use.
func (c *call) nav() []navItem {
	items := []navItem{{Path: "/repair", Text: "nav.repair"}, {Path: "/status", Text: "nav.status"}}
	if c.me != nil {
		items = []navItem{{Path: "/inbox", Text: "nav.inbox", Count: c.me.Tasks + c.me.News}, {Path: "/requests", Text: "nav.requests"},
			{Path: "/tickets", Text: "nav.tickets"}, {Path: "/incidents", Text: "nav.incidents"}, {Path: "/purchases", Text: "nav.purchases"}}
		if c.can("sponsor.read", "liaison") {
			items = append(items, navItem{Path: "/pledges", Text: "nav.pledges"})
		}
		for _, h := range c.actor.Seats {
			if c.can("notify.tell", h.Unit) {
				items = append(items, navItem{Path: "/to-tell", Text: "nav.totell"})
				break
			}
		}
	}
	if c.Demo != nil {
		items = append([]navItem{{Path: "/demo", Text: "nav.demo"}}, items...)
	}
	for i := range items {
		items[i].Text = c.t(items[i].Text)
		items[i].Here = c.r.URL.Path == items[i].Path || strings.HasPrefix(c.r.URL.Path, items[i].Path+"/")
	}
	return items
}

// langs are the links to this page in both languages.
func (c *call) langs() []navItem {
	var out []navItem
	for _, l := range [][2]string{{"zh", "中文"}, {"en", "English"}} {
		q := c.r.URL.Query()
		q.Set("lang", l[0])
		q.Del("done")
		at := url.URL{Path: c.r.URL.Path, RawQuery: q.Encode()}
		if c.r.Method != "GET" {
			at.RawQuery = "lang=" + l[0]
		}
		out = append(out, navItem{Path: at.String(), Text: l[1], Lang: map[string]string{"zh": "zh-CN", "en": "en"}[l[0]], Here: c.lang == l[0]})
	}
	return out
}
