package graph_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
)

// secretOf is the last part of a link's path.
func secretOf(link any) string {
	s, _ := link.(string)
	return s[strings.LastIndexByte(s, '/')+1:]
}

func TestNewcomersClaimTheirAccounts(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		sheet := "\ufeff姓名\t学号\t部门\t职务\n林新\t0026100201\ttechnical\t干事\n\n周新\t0026100202\t没有这个部\t干事\n"
		a := w.did("hejing", "importRoster", `link lines{line state error{field message}}`, vars{"csv": sheet})
		if a.at("importRoster", "lines", 0, "state") != "NEW" || a.at("importRoster", "lines", 1, "state") != nil || a.at("importRoster", "lines", 1, "error", "field") != "unit" || a.at("importRoster", "lines", 2) != nil {
			t.Fatal(a.Body)
		}
		token := secretOf(a.at("importRoster", "link"))
		if a := w.good("", `query($t:String!){accountLink(token:$t){kind expiresAt}}`, vars{"t": token}); a.at("accountLink", "kind") != "CLAIM" {
			t.Error(a.Body)
		}
		if a := w.good("", `{accountLink(token:"x"){kind}}`, nil); a.at("accountLink") != nil {
			t.Error(a.Body)
		}
		claim := vars{"token": token, "number": "0026100201", "name": "林旧", "password": password}
		wrong := w.change("", "claimAccount", "done", claim)
		claim["number"] = "0026100299"
		if unknown := w.change("", "claimAccount", "done", claim); wrong.at("claimAccount", "userErrors", 0, "code") != "CLAIM_REFUSED" || wrong.Body != unknown.Body {
			t.Errorf("%s\n%s", wrong.Body, unknown.Body)
		}
		w.did("", "claimAccount", "done", vars{"token": token, "number": "0026100201", "name": "林新", "password": password})
		a = w.good("qin", `{pendingClaims{id seat title{zh} kind person{name}}}`, nil)
		pending := a.at("pendingClaims", 0, "id")
		if a.at("pendingClaims", 0, "person", "name") != "林新" || a.at("pendingClaims", 0, "seat") != "technical.member" {
			t.Fatal(a.Body)
		}
		if a := w.good("pan", `{pendingClaims{id}}`, nil); a.at("pendingClaims", 0) != nil {
			t.Error(a.Body)
		}
		ask := func(claim any) answer {
			return w.change("pan", "confirmClaims", "confirmed", vars{"confirm": []any{claim}, "idempotencyKey": w.key()})
		}
		if a, absent := ask(pending), ask(id.New().TypeID("clm")); a.code() != "NOT_FOUND" || plain(a) != plain(absent) {
			t.Errorf("somebody else's claim answers %s, none %s", a.Body, absent.Body)
		}
		if a := w.did("qin", "confirmClaims", `confirmed failed{code}`, vars{"confirm": []any{pending}, "idempotencyKey": w.key()}); a.at("confirmClaims", "confirmed", 0) != pending {
			t.Error(a.Body)
		}
		if a := w.good("", signIn, vars{"login": "0026100201", "password": password}); a.at("signIn", "viewer", "seats", 0, "name") != "technical.member" {
			t.Error(a.Body)
		}
		if a := w.change("pan", "importRoster", "link", vars{"csv": sheet}); a.code() != "FORBIDDEN" {
			t.Error(a.Body)
		}
	})
}

func TestForgottenPasswordsAreReset(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.user("xin", "新同学", "0026100123")
	old := w.token("xin")
	link := w.did("hejing", "issueReset", "link", vars{"person": w.per("xin")}).at("issueReset", "link")
	if a := w.change("", "resetPassword", "done", vars{"token": secretOf(link), "password": "short"}); a.code() != "BAD_USER_INPUT" {
		t.Error(a.Body)
	}
	const next = "violet-anchor-meadow"
	w.did("", "resetPassword", "done", vars{"token": secretOf(link), "password": next})
	used := w.change("", "resetPassword", "done", vars{"token": secretOf(link), "password": next})
	if none := w.change("", "resetPassword", "done", vars{"token": "x", "password": next}); used.code() != "NOT_FOUND" || plain(used) != plain(none) {
		t.Errorf("a used link answers %s, none %s", used.Body, none.Body)
	}
	if a := w.post(w.URL, http.Header{"Authorization": {"Bearer " + old}}, `{viewer{person{name}}}`, nil); a.Status != http.StatusUnauthorized {
		t.Error("a session outlives the reset: " + a.Body)
	}
	if a := w.good("", signIn, vars{"login": "xin", "password": next}); a.at("signIn", "token") == nil {
		t.Error(a.Body)
	}
	known := w.did("", "requestReset", "done", vars{"login": "hejing"})
	if unknown := w.did("", "requestReset", "done", vars{"login": "nobody"}); known.Body != unknown.Body {
		t.Errorf("%s\n%s", known.Body, unknown.Body)
	}
}

// Whether a person has an account is not told to those who may not act on it.
func TestWhoHasAnAccountIsNotTold(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.user("xin", "新同学", "0026100123")
	without := w.did("hejing", "addPerson", `person{id}`, vars{"name": "某人", "idempotencyKey": w.key()}).at("addPerson", "person", "id")
	for _, mutation := range []string{"issueReset", "closeAccount"} {
		with := w.change("pan", mutation, "__typename", vars{"person": w.per("xin")})
		none := w.change("pan", mutation, "__typename", vars{"person": without})
		if with.code() != "FORBIDDEN" || plain(with) != plain(none) {
			t.Errorf("%s: with an account %s, without %s", mutation, with.Body, none.Body)
		}
	}
}

func TestAccountsAreClosed(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.user("xin", "新同学", "0026100123")
	session := w.token("xin")
	w.did("hejing", "closeAccount", "done", vars{"person": w.per("xin")})
	if a := w.post(w.URL, http.Header{"Authorization": {"Bearer " + session}}, `{viewer{person{name}}}`, nil); a.Status != http.StatusUnauthorized {
		t.Error(a.Body)
	}
	if a := w.good("", signIn, vars{"login": "xin", "password": password}); a.at("signIn", "userErrors", 0, "code") != "WRONG_SIGN_IN" {
		t.Error(a.Body)
	}
}

func TestSessionsAndTokensAreOnesOwn(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	a := w.did("pan", "createToken", `secret token{id name hint scopes usedAt}`, vars{"name": "screen", "scopes": []string{"netmon:read"}})
	secret, token := a.at("createToken", "secret").(string), a.at("createToken", "token", "id")
	if !strings.HasPrefix(secret, a.at("createToken", "token", "hint").(string)) {
		t.Error(a.Body)
	}
	machine := func(q string) answer {
		return w.post(w.URL, http.Header{"Authorization": {"Bearer " + secret}}, q, nil)
	}
	if a := machine(`{hosts{id}}`); a.Status != http.StatusOK {
		t.Error(a.Body)
	}
	other := w.good("", signIn, vars{"login": "pan", "password": password}).at("signIn", "token").(string)
	const mine = `{viewer{sessions{id current device expiresAt} tokens{id name}}}`
	a = w.good("pan", mine, nil)
	if a.at("viewer", "sessions", 0, "current") != false || a.at("viewer", "sessions", 1, "current") != true || a.at("viewer", "tokens", 0, "id") != token || strings.Contains(a.Body, secret) {
		t.Fatal(a.Body)
	}
	for mutation, in := range map[string]vars{"revokeSession": {"session": a.at("viewer", "sessions", 0, "id")}, "revokeToken": {"token": token}} {
		if a := w.change("qin", mutation, "done", in); a.code() != "NOT_FOUND" {
			t.Error("somebody ends another's: " + a.Body)
		}
		w.did("pan", mutation, "done", in)
	}
	for _, credential := range []string{other, secret} {
		if a := w.post(w.URL, http.Header{"Authorization": {"Bearer " + credential}}, `{viewer{person{name}}}`, nil); a.Status != http.StatusUnauthorized {
			t.Error("it works after it was revoked: " + a.Body)
		}
	}
}

// A token tells of its owner no more than its scopes say.
func TestTokensDoNotReadTheirOwnersAccount(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	token, _, err := w.auth.MintToken(bg, w.people["pan"], auth.NewToken{Name: "screen", Scopes: []string{"netmon:read"}})
	if err != nil {
		t.Fatal(err)
	}
	w.tokens["machine"] = token
	for _, f := range []string{"inboxCount", "unreadCount", "contacts{value}", "freeHours{weekday}", "notificationPreferences{topic}", "sessions{id}", "tokens{id}",
		"rightsRequests{id}", "person{number}", "person{tenures{seat}}", "person{skills{name}}"} {
		if a := w.as("machine", "{viewer{"+f+"}}", nil); a.code() != "FORBIDDEN" {
			t.Errorf("%s: %s", f, a.Body)
		}
	}
	w.good("machine", `{viewer{person{name} language}}`, nil)
}

func TestPasswordsAreChanged(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	other := w.good("", signIn, vars{"login": "pan", "password": password}).at("signIn", "token").(string)
	const next = "violet-anchor-meadow"
	if a := w.change("pan", "changePassword", "token", vars{"old": "not the password", "password": next}); a.at("changePassword", "userErrors", 0, "code") != "WRONG_SIGN_IN" {
		t.Error(a.Body)
	}
	a := w.did("pan", "changePassword", "changed token", vars{"old": password, "password": next})
	for _, ended := range []string{other, w.tokens["pan"]} {
		if a := w.post(w.URL, http.Header{"Authorization": {"Bearer " + ended}}, `{viewer{person{name}}}`, nil); a.Status != http.StatusUnauthorized {
			t.Error("a session outlives the old password: " + a.Body)
		}
	}
	w.tokens["pan"] = a.at("changePassword", "token").(string)
	w.good("pan", `{viewer{person{name}}}`, nil)

	page := http.Header{"Origin": {w.URL}, "Sec-Fetch-Site": {"same-origin"}}
	set := w.post(w.URL, page.Clone(), signIn, vars{"login": "pan", "password": next}).Header.Get("Set-Cookie")
	cookie, _, _ := strings.Cut(set, ";")
	page.Set("Cookie", cookie)
	a = w.post(w.URL, page.Clone(), `mutation($in:ChangePasswordInput!){changePassword(input:$in){changed token}}`, vars{"in": vars{"old": next, "password": password}})
	fresh, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	if a.at("changePassword", "changed") != true || a.at("changePassword", "token") != nil || fresh == cookie || !strings.HasPrefix(fresh, "kelian=") {
		t.Fatalf("a page reads its session, or keeps the old one: %s %s", a.Body, fresh)
	}
	page.Set("Cookie", fresh)
	if a := w.post(w.URL, page, `{viewer{person{name}}}`, nil); a.at("viewer", "person", "name") != "潘编辑" {
		t.Error(a.Body)
	}
}

func TestMailboxesAreVerified(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	factory.Contact(t, w.db, w.people["pan"], "email", "pan@example.org")
	mailbox := vars{"contact": vars{"kind": "EMAIL", "value": "pan@example.org"}}
	if a := w.change("qin", "requestVerification", "done", mailbox); a.code() != "NOT_FOUND" {
		t.Error("somebody claims another's mailbox: " + a.Body)
	}
	w.did("pan", "requestVerification", "done", mailbox)
	var link id.ID
	if err := w.db.R.NewRaw(`SELECT id FROM auth_link WHERE kind = 'VERIFY'`).Scan(bg, &link); err != nil {
		t.Fatal(err)
	}
	w.did("", "verifyMailbox", "done", vars{"token": auth.LinkToken(w.db.Key(), link)})
	if a := w.good("pan", `{viewer{contacts{verified}}}`, nil); a.at("viewer", "contacts", 0, "verified") != true {
		t.Error(a.Body)
	}
}

func TestAliasesDoNotMultiplyGuesses(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	for mutation, in := range map[string]string{"changePassword": `old:"a",password:"b"`, "requestReset": `login:"a"`, "resetPassword": `token:"a",password:"b"`,
		"claimAccount": `token:"a",number:"b",name:"c",password:"d"`, "importRoster": `csv:"a"`} {
		one := mutation + "(input:{" + in + "}){__typename}"
		if a := w.as("pan", "mutation{a:"+one+" b:"+one+"}", nil); a.code() != "COMPLEXITY_LIMIT" {
			t.Error(mutation, a.Body)
		}
	}
}

// Whoever has an account must not be able to have anybody's mailbox flooded.
func TestMailToAMailboxThatIsNotVerifiedIsLimited(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.did("pan", "correctPerson", "person{id}", vars{"addContacts": []vars{{"kind": "EMAIL", "value": "victim@example.org"}}, "idempotencyKey": w.key()})
	mailbox := vars{"contact": vars{"kind": "EMAIL", "value": "victim@example.org"}}
	for range 10 {
		if a := w.change("pan", "requestVerification", "done", mailbox); a.code() == "RATE_LIMITED" {
			if a.Header.Get("Retry-After") == "" {
				t.Error("a program is not told when to try again")
			}
			w.clock.Advance(time.Hour)
			w.did("pan", "requestVerification", "done", mailbox)
			return
		}
	}
	t.Error("ten mails in a moment")
}
