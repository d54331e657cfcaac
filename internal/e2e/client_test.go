package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"kelian/internal/id"
	"kelian/internal/testkit"
)

// client speaks GraphQL as one person.
type client struct {
	t       testing.TB
	url     string
	name    string
	token   string // bearer
	session string // cookie of the pages
}

// answer is a GraphQL response.
type answer struct {
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct{ Code, RequestID string }
	}
	status int
	raw    []byte
}

func (a answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

// send posts one operation.
func (c client) send(query string, vars map[string]any) answer {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Language", "zh")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	a := answer{status: res.StatusCode}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(a.raw, &a); err != nil {
		c.t.Fatalf("%s: not JSON: %s", c.name, a.raw)
	}
	return a
}

// ask runs a query that has to be answered.
func (c client) ask(into any, query string, vars map[string]any) {
	c.t.Helper()
	a := c.send(query, vars)
	if len(a.Errors) > 0 {
		c.t.Fatalf("%s asked %s\nand was refused: %s", c.name, query, a.raw)
	}
	if err := json.Unmarshal(a.Data, into); err != nil {
		c.t.Fatalf("%s asked %s: %v", c.name, query, err)
	}
}

type input map[string]any

// userError is a refusal by a rule of the domain.
type userError struct {
	Code, Message string
	Path          []string
	Changes       []change
	FormRev       int
}

type change struct {
	Pointer       string
	Before, After any
}

// mutate runs a mutation with a fresh idempotency key, unless the input brings
// one or keyless says that it takes none.
func (c client) mutate(name, selection string, in input) (answer, []userError) {
	c.t.Helper()
	if _, ok := in["idempotencyKey"]; !ok && !keyless[name] {
		in["idempotencyKey"] = id.Secret(16)
	}
	kind := strings.ToUpper(name[:1]) + name[1:] + "Input"
	if strings.HasSuffix(name, "Purchase") {
		kind = "PurchaseActionInput"
	}
	q := "mutation($in: " + kind + "!) { " + name + "(input: $in) { " + selection +
		" userErrors { code message path ... on StaleForm { formRev changes { pointer before after } } } } }"
	a := c.send(q, map[string]any{"in": in})
	var got map[string]struct{ UserErrors []userError }
	if len(a.Errors) == 0 {
		if err := json.Unmarshal(a.Data, &got); err != nil {
			c.t.Fatalf("%s: %s", name, a.raw)
		}
	}
	return a, got[name].UserErrors
}

// keyless mutations carry a secret and are never replayed.
var keyless = map[string]bool{"signIn": true, "confirmPassword": true, "revealContact": true, "pingHost": true, "createWebhook": true, "rotateWebhookSecret": true}

// do runs a mutation that has to succeed and reads its payload.
func (c client) do(into any, name, selection string, in input) {
	c.t.Helper()
	a, refused := c.mutate(name, selection, in)
	if len(a.Errors) > 0 || len(refused) > 0 {
		c.t.Fatalf("%s: %s was refused: %s", c.name, name, a.raw)
	}
	if into == nil {
		return
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(a.Data, &got); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(got[name], into); err != nil {
		c.t.Fatalf("%s: %s answered %s: %v", c.name, name, got[name], err)
	}
}

// denied runs a mutation that has to be refused, by the code at the top or of
// a rule, and gives the message.
func (c client) denied(name, selection, code string, in input) (message string, e userError) {
	c.t.Helper()
	a, refused := c.mutate(name, selection, in)
	switch {
	case a.code() == code:
		return a.Errors[0].Message, userError{}
	case len(refused) > 0 && refused[0].Code == code:
		return refused[0].Message, refused[0]
	}
	c.t.Fatalf("%s: %s had to be refused as %s and was answered %s", c.name, name, code, a.raw)
	return "", userError{}
}

// signIn opens a session by password: money asks for one.
func (w *world) signIn(login string) client {
	w.t.Helper()
	c := client{t: w.t, url: w.config.PublicURL, name: login}
	var got struct{ Token string }
	c.do(&got, "signIn", "token", input{"login": login, "password": w.people[login].Password})
	if got.Token == "" {
		w.t.Fatalf("%s got no token", login)
	}
	c.token, c.session = got.Token, got.Token
	return c
}

// eventually asks again until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, what, ok)
}

type text struct{ Zh, En string }

type task struct {
	ID, Step, Seat, State string
	Person                struct{ Name string }
	Request               struct {
		ID, Number, Status string
		FormRev            int
		Form               map[string]any
	}
}

const taskFields = `id step seat state person { name } request { id number status formRev form }`

// inbox is what waits for the person.
func (c client) inbox() []task {
	c.t.Helper()
	var got struct {
		Inbox struct{ Edges []struct{ Node task } }
	}
	c.ask(&got, `{ inbox(first: 100) { edges { node { `+taskFields+` } } } }`, nil)
	var out []task
	for _, e := range got.Inbox.Edges {
		out = append(out, e.Node)
	}
	return out
}

// waits is the person's open task about the request; ok is false without one.
func (c client) waits(request string) (task, bool) {
	c.t.Helper()
	for _, t := range c.inbox() {
		if t.Request.ID == request {
			return t, true
		}
	}
	return task{}, false
}

// decide answers the person's task about the request.
func (c client) decide(request, verdict, comment string) {
	c.t.Helper()
	t, ok := c.waits(request)
	if !ok {
		c.t.Fatalf("%s is not asked about %s", c.name, request)
	}
	c.do(nil, "decideTask", "request { id }", input{"task": t.ID, "verdict": verdict, "formRev": t.Request.FormRev, "comment": comment})
}
