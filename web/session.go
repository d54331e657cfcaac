package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"kelian/auth"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/org"
)

// me is who is signed in.
type me struct {
	auth.SessionInfo
	Name  string
	Tasks int // open tasks
	News  int // unread notifications
	Fresh bool
	token string
}

const langCookie = "kelian-lang"

// Lang is the reader's language, zh or en: by ?lang=, by the cookie that keeps
// it, by the browser's wish.
func Lang(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); l == "zh" || l == "en" {
		return l
	}
	if c, err := r.Cookie(langCookie); err == nil && (c.Value == "zh" || c.Value == "en") {
		return c.Value
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		switch tag := strings.ToLower(strings.TrimSpace(part)); {
		case strings.HasPrefix(tag, "zh"):
			return "zh"
		case strings.HasPrefix(tag, "en"):
			return "en"
		}
	}
	return "zh"
}

// keepLang remembers a language that was asked for by ?lang=.
func (c *call) keepLang() {
	if l := c.r.URL.Query().Get("lang"); l == "zh" || l == "en" {
		http.SetCookie(c.w, &http.Cookie{Name: langCookie, Value: l, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode})
	}
}

// cookie is where a browser keeps its session.
func (s *Site) cookie() httpd.Cookie { return httpd.Cookie{Secure: s.Secure, AllowHTTP: s.AllowHTTP} }

// setCookie gives the browser its session; on a device that is not one's own
// it lasts as long as the browser.
func (c *call) setCookie(token string, own bool) {
	age := time.Duration(0)
	if own {
		age = auth.OwnSession
	}
	c.cookie().Set(c.w, token, age)
}

// session finds out who asks. A session that ended makes a stranger.
func (c *call) session() error {
	addr := ""
	if a := httpd.ClientIP(c.ctx()); a.IsValid() {
		addr = a.String()
	}
	c.actor = org.Stranger(c.lang, addr)
	token := c.cookie().Token(c.r)
	if token == "" {
		return nil
	}
	actor, info, err := c.Auth.Resolve(c.ctx(), token)
	if fault.Is(err, fault.Unauthenticated) {
		c.cookie().Drop(c.w)
		return nil
	}
	if err != nil {
		return err
	}
	httpd.Vouch(c.ctx())
	actor.Lang, actor.Address = c.lang, addr
	c.actor = actor
	c.me = &me{SessionInfo: info, token: token, Fresh: auth.Fresh(info, c.Clock.Now()) == nil}
	return nil
}

// whoAmI reads what the top of the page says of the reader.
func (c *call) whoAmI() error {
	if c.me == nil || c.me.Name != "" {
		return nil
	}
	people, err := c.Org.People(c.ctx(), c.actor, c.actor.Person)
	if err != nil {
		return err
	}
	for _, p := range people {
		c.me.Name = p.Name
	}
	if c.me.Tasks, err = c.Workflow.InboxCount(c.ctx(), c.actor); err != nil {
		return err
	}
	c.me.News, err = c.Notify.Unread(c.ctx(), c.actor)
	return err
}

// signedIn refuses strangers; they are led to the sign-in page.
func (c *call) signedIn() error {
	if c.me == nil {
		return fault.SignIn()
	}
	return nil
}

// fresh asks for the password again, where it was not asked for within ten
// minutes: the form has a field for it then, so that it stays one press.
func (c *call) fresh() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	if c.me.Fresh {
		return nil
	}
	password := c.r.PostFormValue("password")
	if password == "" {
		return fault.Input("password", "这一步需要再输入一次密码", "this step asks for your password again")
	}
	if err := c.Auth.Confirm(c.ctx(), c.me.SessionInfo, password, httpd.ClientIP(c.ctx())); err != nil {
		if e, ok := fault.As(err); ok && len(e.Path) == 0 && e.Code != fault.Internal {
			e.Path = []string{"password"}
			e.Code = fault.Rule
		}
		return err
	}
	c.me.Fresh = true
	return nil
}

// local keeps a way back within this site.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/"
	}
	return next
}
