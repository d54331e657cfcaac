package web

import (
	"net/http"
	"net/url"
	"strings"

	"kelian/auth"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/org"
)

type signInPage struct {
	Login string
	Next  string
	Own   bool
	Plain bool // plain http without leave: nobody can sign in here
}

func (c *call) signInPage() error {
	next := local(c.r.URL.Query().Get("next"))
	if c.me != nil {
		return c.to(next, "")
	}
	return c.show("sign-in", c.t("nav.signin"), signInPage{Next: next, Plain: !c.cookie().Usable()})
}

// signInPost checks the password. The cookie is new, whatever came before.
func (c *call) signInPost() error {
	d := signInPage{Login: c.in("login"), Next: local(c.in("next")), Own: c.in("own") == "yes", Plain: !c.cookie().Usable()}
	again := func() error { return c.show("sign-in", c.t("nav.signin"), d) }
	if d.Plain {
		return c.refused(fault.Refuse("PLAIN_HTTP", "这里不是 https，不能登录：密码会被同一网络里的人看到。请管理员启用 https，或设置 KELIAN_ALLOW_HTTP=true",
			"this is not https, so nobody can sign in: others on the network could read the password. Ask the operator for https, or to set KELIAN_ALLOW_HTTP=true"), again)
	}
	token, _, err := c.Auth.SignIn(c.ctx(), d.Login, c.r.PostFormValue("password"), auth.Device{Own: d.Own, Label: device(c.r), Previous: c.cookie().Token(c.r)}, httpd.ClientIP(c.ctx()), c.lang)
	if err != nil {
		if e, ok := fault.As(err); ok && e.Code == fault.Unauthenticated {
			c.err, c.code = e, http.StatusUnprocessableEntity
			return again()
		}
		return c.refused(err, again)
	}
	c.setCookie(token, d.Own)
	if d.Next == "/" {
		d.Next = "/inbox"
	}
	return c.to(d.Next, "")
}

// device names a browser in the list of sessions; nothing that tells two of
// the same kind apart.
func device(r *http.Request) string {
	ua := r.UserAgent()
	pick := func(list ...[2]string) string {
		for _, x := range list {
			if strings.Contains(ua, x[0]) {
				return x[1]
			}
		}
		return ""
	}
	what := pick([2]string{"MicroMessenger", "WeChat"}, [2]string{"Edg", "Edge"}, [2]string{"Firefox", "Firefox"}, [2]string{"Chrome", "Chrome"}, [2]string{"Safari", "Safari"})
	on := pick([2]string{"Android", "Android"}, [2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"}, [2]string{"Windows", "Windows"}, [2]string{"Mac OS", "macOS"}, [2]string{"Linux", "Linux"})
	return strings.Trim(what+", "+on, ", ")
}

// signOutPage asks; a link alone signs nobody out.
func (c *call) signOutPage() error { return c.show("sign-out", c.t("nav.signout"), nil) }

func (c *call) signOut() error {
	if c.me != nil {
		if err := c.Auth.SignOut(c.ctx(), c.me.token); err != nil {
			return err
		}
	}
	c.cookie().Drop(c.w)
	return c.to("/", "signedout")
}

// forgotPage and forgotPost have a link sent to a verified mailbox; the answer
// is the same whether there is such an account or not.
func (c *call) forgotPage() error { return c.show("forgot", c.t("forgot.title"), c.in("login")) }

func (c *call) forgotPost() error {
	if err := c.Auth.RequestReset(c.ctx(), c.in("login"), httpd.ClientIP(c.ctx())); err != nil {
		return c.refused(err, c.forgotPage)
	}
	return c.to("/sign-in", "resetsent")
}

type accountPage struct {
	Sessions []auth.SessionInfo
	This     id.ID
	Claims   []auth.PendingClaim
	Contacts []org.Contact
	Profile  org.Profile
}

func (c *call) accountPage() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	d := accountPage{This: c.me.ID}
	var err error
	if d.Sessions, err = c.Auth.Sessions(c.ctx(), c.actor); err != nil {
		return err
	}
	if d.Claims, err = c.Auth.PendingClaims(c.ctx(), c.actor); err != nil {
		return err
	}
	if d.Contacts, err = c.Org.Contacts(c.ctx(), c.actor, c.actor.Person); err != nil {
		return err
	}
	people, err := c.Org.People(c.ctx(), c.actor, c.actor.Person)
	if err != nil {
		return err
	}
	for _, p := range people {
		d.Profile = p
	}
	return c.show("account", c.t("account.title"), d)
}

func (c *call) accountPost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	addr, done := httpd.ClientIP(c.ctx()), "saved"
	var err error
	switch c.in("act") {
	case "password":
		var token string
		if token, err = c.Auth.ChangePassword(c.ctx(), c.actor, c.me.SessionInfo, c.r.PostFormValue("old"), c.r.PostFormValue("new"), addr); err == nil {
			c.setCookie(token, c.me.Own)
			done = "password"
		}
	case "revoke":
		var which id.ID
		if which, err = id.Parse("ses", c.in("session")); err == nil {
			err = c.Auth.RevokeSession(c.ctx(), c.actor, which)
		} else {
			err = fault.Missing()
		}
	case "everywhere":
		if _, err = c.Auth.SignOutEverywhere(c.ctx(), c.actor); err == nil {
			c.cookie().Drop(c.w)
			return c.to("/", "signedout")
		}
	case "verify":
		err = c.Auth.RequestVerify(c.ctx(), c.actor, org.Contact{Kind: c.in("kind"), Value: c.in("value")})
		done = "verifysent"
	case "claims":
		err = c.confirmClaims()
	default:
		err = fault.Input("act", "没有这项操作", "there is no such act")
	}
	if err != nil {
		return c.refused(err, c.accountPage)
	}
	return c.to("/account", done)
}

// confirmClaims answers newcomers, as many as were ticked.
func (c *call) confirmClaims() error {
	in := auth.ConfirmClaims{IdempotencyKey: c.key()}
	for _, x := range c.r.PostForm["claim"] {
		which, err := id.Parse("clm", x)
		if err != nil {
			return fault.Missing()
		}
		if c.in("answer") == "refuse" {
			in.Refuse = append(in.Refuse, which)
		} else {
			in.Confirm = append(in.Confirm, which)
		}
	}
	if len(in.Confirm)+len(in.Refuse) == 0 {
		return fault.Input("claim", "请先勾选要处理的人", "tick those whom you mean first")
	}
	out, err := c.Auth.ConfirmClaims(c.ctx(), c.actor, in)
	if err == nil && len(out.Failed) > 0 {
		err = fault.Refuse(out.Failed[0].Reason, "有人没能确认，通常是岗位已满；其余的已处理", "somebody could not be confirmed, mostly because the seat is full; the others were")
	}
	return err
}

type linkPage struct {
	auth.LinkInfo
	Token  string
	In     Install
	Full   bool // with settings
	Units  []org.Unit
	Seats  []string
	Seat   string
	Name   string
	Number string
	Login  string
	Email  string
}

// accountLink is the page of a one-time link: the first account, a new
// password, a claim or a mailbox, whichever the link is for.
func (c *call) accountLink() error {
	token := c.r.PathValue("token")
	info, err := c.Auth.Link(c.ctx(), token)
	if err != nil {
		return err
	}
	d := linkPage{LinkInfo: info, Token: token, Name: c.in("name"), Number: c.in("number"), Login: c.in("login"), Email: c.in("email"), Seat: c.in("seat")}
	if info.Kind != auth.LinkSetup {
		return c.show("link-"+strings.ToLower(string(info.Kind)), c.t("link."+string(info.Kind)), d)
	}
	if d.Seat == "" {
		d.Seat = "office.head"
	}
	p := c.names()
	d.Units = p.order
	for _, u := range p.order {
		for _, role := range []org.Role{org.Head, org.Chair, org.Secretary, org.Teacher} {
			if _, ok := p.seats[u.Code+"."+string(role)]; ok && u.Kind != org.Society && u.Kind != org.CollegeDepartment {
				d.Seats = append(d.Seats, u.Code+"."+string(role))
			}
		}
	}
	if c.Installer != nil {
		d.Full = true
		if c.r.Method == http.MethodPost {
			d.In = c.install()
		} else if d.In, err = c.Installer.Present(c.ctx()); err != nil {
			return err
		}
		if d.In.MailTLS == "" {
			d.In.MailPort, d.In.MailTLS = "465", "tls"
		}
	}
	return c.show("link-setup", c.t("link.SETUP"), d)
}

func (c *call) install() Install {
	return Install{Federation: c.in("federation-name"), PublicURL: strings.TrimRight(c.in("public-url"), "/"), Timezone: c.in("timezone"), MailHost: c.in("mail-host"),
		MailPort: c.in("mail-port"), MailUser: c.in("mail-user"), MailFrom: c.in("mail-from"), MailTLS: c.in("mail-tls")}
}

func (c *call) accountLinkPost() error {
	token := c.r.PathValue("token")
	info, err := c.Auth.Link(c.ctx(), token)
	if err != nil {
		return err
	}
	next, done := "/sign-in", ""
	password, addr := c.r.PostFormValue("password"), httpd.ClientIP(c.ctx())
	if info.Kind != auth.LinkVerify && password != c.r.PostFormValue("password2") {
		return c.refused(fault.Input("password2", "两次输入的密码不一样", "the two passwords differ"), c.accountLink)
	}
	switch info.Kind {
	case auth.LinkReset:
		err, done = c.Auth.Reset(c.ctx(), token, password), "password"
	case auth.LinkClaim:
		err, done = c.Auth.Claim(c.ctx(), auth.Claim{Token: token, Number: c.in("number"), Name: c.in("name"), Password: password}, addr), "claimed"
	case auth.LinkVerify:
		err, done, next = c.Auth.Verify(c.ctx(), token), "verified", "/"
	case auth.LinkSetup:
		err, done, next = c.setUp(token, password), "setup", "/inbox"
	}
	if err != nil {
		return c.refused(err, c.accountLink)
	}
	return c.to(next, done)
}

// setUp keeps the settings and makes the first account.
func (c *call) setUp(token, password string) error {
	user := auth.NewUser{Login: c.in("login"), Password: password, Seats: []string{c.in("seat")},
		Person: org.NewPerson{Kind: org.Officer, Lang: c.lang, Name: c.in("name"), Number: c.in("number")}}
	if mail := c.in("email"); mail != "" {
		user.Person.Contacts = []org.Contact{{Kind: "email", Value: mail}}
	}
	if err := auth.CheckPassword(password, user.Login, user.Person.Number); err != nil {
		return err
	}
	if _, err := org.CheckName(user.Person.Name); err != nil {
		return err
	}
	if c.Installer != nil {
		if err := c.Installer.Save(c.ctx(), c.install()); err != nil {
			return err
		}
	}
	session, _, err := c.Auth.Setup(c.ctx(), token, user, auth.Device{Label: device(c.r)})
	if err != nil {
		return err
	}
	if c.cookie().Usable() {
		c.setCookie(session, false)
	}
	return nil
}

func tokenPath(prefix, token string) string { return prefix + url.PathEscape(token) }
