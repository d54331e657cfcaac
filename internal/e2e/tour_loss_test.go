package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"strings"

	"kelian/internal/app"
	"kelian/internal/id"
)

// loseAndFindAgain kills the demo the moment it has accepted a purchase of which
// the keeper is told by mail, and starts it again: everything is as it was, and
// the letter goes out once.
func (d *demoProcess) loseAndFindAgain() {
	d.t.Helper()
	const told = "songlan@kelian.example"
	state, letters := d.state(), d.letters(told)
	vars, err := json.Marshal(map[string]any{"in": map[string]any{"workflow": "office.property", "unit": "technical",
		"form": app.PartForm("网线 20 米", 6000, ""), "idempotencyKey": id.Secret(22)}})
	if err != nil {
		d.t.Fatal(err)
	}
	answer := d.ask(app.TourCall{As: "zhouhang", Vars: string(vars),
		Query: `mutation($in: SubmitRequestInput!) { submitRequest(input: $in) { request { id } userErrors { code message } } }`})
	d.kill()
	request := at(d.t, answer, ".data.submitRequest.request.id")
	if len(request) != 1 || request[0] == "null" {
		d.t.Fatal(answer)
	}

	d.start()
	if now := d.state(); now != state {
		d.t.Errorf("before the loss\n%s\nafter it\n%s", state, now)
	}
	if got := d.ask(app.TourCall{As: "zhouhang", Query: `query($id: ID!) { node(id: $id) { ... on Request { status } } }`, Vars: `{"id":"` + request[0] + `"}`}); !strings.Contains(got, "OPEN") {
		d.t.Errorf("what was acknowledged is gone: %s", got)
	}
	eventually(d.t, "the keeper's letter comes", func() bool { return d.letters(told) > letters })
	eventually(d.t, "no work is left", func() bool {
		res, err := http.Get("http://" + d.admin + "/metrics")
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		m := figures(d.t, res.Body)
		rows, known := m["kelian_outbox_rows"]
		return known && rows == 0
	})
	if got := d.letters(told); got != letters+1 {
		d.t.Errorf("the keeper got %d letters, want one", got-letters)
	}
}

// state is what people see of the demo's objects.
func (d *demoProcess) state() string {
	d.t.Helper()
	var all []string
	for _, q := range []struct{ as, query string }{
		{"guchen", `{ requests(first: 100, filter: { workflow: "supervision.activity" }) { edges { node { id number status formRev } } } }`},
		{"guchen", `{ repairTickets(first: 100) { edges { node { id number state } } } }`},
		{"shenyue", `{ pledges(first: 100) { edges { node { id number state } } } purchases(first: 100) { edges { node { id number state } } } }`},
		{"hejing", `{ inbox(first: 100) { edges { node { id state } } } viewer { unreadCount } }`},
	} {
		answer := d.ask(app.TourCall{As: q.as, Query: q.query})
		if !strings.Contains(answer, `"id"`) || strings.Contains(answer, `"errors"`) {
			d.t.Fatalf("%s: %s", q.query, answer)
		}
		all = append(all, answer)
	}
	return strings.Join(all, "\n")
}

// letters to the address that the demo has sent, in all of its lives.
func (d *demoProcess) letters(to string) (n int) {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.dir, "mail", "*.eml"))
	if err != nil || len(files) == 0 {
		d.t.Fatalf("%d letters were stored: %v", len(files), err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			d.t.Fatal(err)
		}
		letter, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			d.t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(letter.Header.Get("To"), to) {
			n++
		}
	}
	return n
}
