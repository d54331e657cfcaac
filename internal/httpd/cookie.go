package httpd

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Cookie is the session's cookie: __Host-kelian where people come by https;
// over plain http kelian, and only where the operator allowed it.
type Cookie struct {
	Secure    bool // people come by https
	AllowHTTP bool // sign-in over plain http is allowed
}

// Name is the cookie's name.
func (c Cookie) Name() string {
	if c.Secure {
		return "__Host-kelian"
	}
	return "kelian"
}

// Usable says whether a session may live in a cookie here.
func (c Cookie) Usable() bool { return c.Secure || c.AllowHTTP }

// Token reads the session out of the request; "" = none.
func (c Cookie) Token(r *http.Request) string {
	if !c.Usable() {
		return ""
	}
	k, err := r.Cookie(c.Name())
	if err != nil {
		return ""
	}
	return k.Value
}

// Set gives the browser a session; a zero age lasts as long as the browser.
func (c Cookie) Set(w http.ResponseWriter, token string, age time.Duration) {
	http.SetCookie(w, c.cookie(token, int(age/time.Second)))
}

// Drop takes the session from the browser.
func (c Cookie) Drop(w http.ResponseWriter) { http.SetCookie(w, c.cookie("", -1)) }

func (c Cookie) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: c.Name(), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode}
}

// Own says whether a page of this server sent the request, as browsers tell it:
// such a page gets a session as a cookie. A program sends neither header.
func (o *Origins) Own(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	if o != nil && o.listed(origin) {
		return false
	}
	if o != nil && o.public != "" && strings.EqualFold(origin, o.public) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
