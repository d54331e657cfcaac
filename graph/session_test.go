package graph_test

import (
	"net/http"
	"strings"
	"testing"

	"kelian/internal/store"
	"kelian/internal/testkit"
)

const signIn = `mutation($login:String!,$password:String!){signIn(input:{login:$login,password:$password}){
	token viewer{person{name} seats{name title{zh}} inboxCount unreadCount} userErrors{code message path}}}`

func TestProgramsSignInForAToken(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.good("", signIn, vars{"login": "zhouhang", "password": password})
		token, _ := a.at("signIn", "token").(string)
		if a.at("signIn", "viewer", "person", "name") != "周航" || a.at("signIn", "viewer", "seats", 0, "name") != "technical.information.member" || token == "" {
			t.Fatal(a.Body)
		}
		if len(a.Header["Set-Cookie"]) > 0 {
			t.Error("a program gets a cookie")
		}
		bearer := func() http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
		if a := w.post(w.URL, bearer(), `{viewer{person{name}}}`, nil); a.at("viewer", "person", "name") != "周航" {
			t.Fatal(a.Body)
		}
		if a := w.post(w.URL, bearer(), `mutation{signOut{done}}`, nil); a.at("signOut", "done") != true {
			t.Fatal(a.Body)
		}
		if a := w.post(w.URL, bearer(), `{viewer{person{name}}}`, nil); a.Status != http.StatusUnauthorized {
			t.Errorf("the session outlives its end: %s", a.Body)
		}
	})
}

func TestPagesSignInForACookie(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	page := func(cookie string) http.Header {
		h := http.Header{"Origin": {w.URL}, "Sec-Fetch-Site": {"same-origin"}}
		if cookie != "" {
			h.Set("Cookie", cookie)
		}
		return h
	}
	a := w.post(w.URL, page(""), signIn, vars{"login": "hejing", "password": password})
	set := a.Header.Get("Set-Cookie")
	if a.at("signIn", "token") != nil || a.at("signIn", "viewer", "person", "name") != "何静" || !strings.HasPrefix(set, "kelian=") ||
		!strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") || strings.Contains(set, "Max-Age") {
		t.Fatalf("%s\n%s", set, a.Body)
	}
	cookie, _, _ := strings.Cut(set, ";")
	if a := w.post(w.URL, page(cookie), `{viewer{person{name}}}`, nil); a.at("viewer", "person", "name") != "何静" {
		t.Fatal(a.Body)
	}
	// Signing in again ends the session before.
	a = w.post(w.URL, page(cookie), signIn, vars{"login": "hejing", "password": password})
	second, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	if a := w.post(w.URL, page(cookie), `{viewer{person{name}}}`, nil); a.at("viewer") != nil || len(a.Errors) > 0 || !strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("an ended session is no stranger with its cookie taken: %s %v", a.Body, a.Header["Set-Cookie"])
	}
	if a := w.post(w.URL, page(second), `mutation{signOut(everywhere:true){done}}`, nil); a.at("signOut", "done") != true || !strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%s %v", a.Body, a.Header["Set-Cookie"])
	}
	if a := w.post(w.URL, page(second), `{viewer{person{name}}}`, nil); a.at("viewer") != nil {
		t.Error("signed out everywhere and still here")
	}
}

func TestWrongPasswordsAreRefusedKindly(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	known := w.good("", signIn, vars{"login": "hejing", "password": "not the password"})
	unknown := w.good("", signIn, vars{"login": "nobody", "password": "not the password"})
	if known.at("signIn", "userErrors", 0, "code") != "WRONG_SIGN_IN" || known.at("signIn", "token") != nil || known.Body != unknown.Body {
		t.Errorf("%s\n%s", known.Body, unknown.Body)
	}
	h := http.Header{"Accept-Language": {"en"}}
	if a := w.post(w.URL, h, signIn, vars{"login": "hejing", "password": "not the password"}); a.at("signIn", "userErrors", 0, "message") != "the sign-in name or the password is wrong" {
		t.Error(a.Body)
	}
	twice := `mutation{a:signIn(input:{login:"hejing",password:"x"}){token} b:signIn(input:{login:"hejing",password:"y"}){token}}`
	if a := w.as("", twice, nil); a.code() != "COMPLEXITY_LIMIT" {
		t.Error("aliases multiply guesses: " + a.Body)
	}
	if a := w.as("", signIn, vars{"login": "", "password": "x"}); a.code() != "BAD_USER_INPUT" || a.at("signIn") != nil ||
		len(a.Errors[0].Extensions["path"].([]any)) != 2 || a.Errors[0].Extensions["path"].([]any)[1] != "login" {
		t.Error(a.Body)
	}
}

func TestUnitsArePublicAndTheirPeopleAreNot(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	const q = `{units{code parent{code} name{zh} seats{name holders{name}}}}`
	for _, login := range []string{"", "pan"} {
		a := w.good(login, q, nil)
		before := map[any]bool{}
		found := false
		for i := range a.at("units").([]any) {
			if p := a.at("units", i, "parent", "code"); p != nil && !before[p] {
				t.Errorf("%v stands after %v", p, a.at("units", i, "code"))
			}
			before[a.at("units", i, "code")] = true
			if strings.Contains(a.Body, "technical.head") {
				found = true
			}
		}
		if !found {
			t.Error("a seat is missing")
		}
		if strings.Contains(a.Body, "秦部长") == (login == "") {
			t.Errorf("%q sees: %s", login, a.Body)
		}
	}
}
