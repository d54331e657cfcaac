package graph_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"kelian/graph"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

const (
	requestSheet = `query($id:ID!){requestSheet(id:$id){id number workflow title{zh en} status unit requester{id name} urgent formRev createdAt closedAt
		steps{name title{zh en} state round openedAt settledAt dueAt overdue assignees{id state seat person{id name} openedAt dueAt
			decision{id verdict by{id name} comment at formRev lapsed}}}}}`
	inboxSheet = `query($n:Int,$a:String){inboxSheet(first:$n,after:$a){rows{id cursor step title{zh en} seat openedAt dueAt
		request{id number workflow title{zh en} unit requester{id name} urgent formRev}} pageInfo{hasNextPage endCursor}}}`
	incidentSheet = `query($n:Int,$a:String,$o:Boolean){incidentSheet(first:$n,after:$a,open:$o){rows{id cursor number title{zh en} open openedAt closedAt
		roots{name{zh en} host{id name{zh en} address buildings state overlays stateSince}} suppressed{name{zh} host{address}} buildings reason{zh}}
		pageInfo{hasNextPage endCursor}}}`
)

// sheets is a world with a decided, a sent back and an open request, and incidents.
func sheets(t *testing.T, db *store.DB) (w *world, requests []id.ID) {
	w = newWorld(t, db)
	for i, verdict := range []workflow.Verdict{workflow.Approve, workflow.SendBack, ""} {
		r := w.purchase("zhouhang", []string{"网线 \"六类\" <10>", "交换机\n两台", "光纤"}[i], 100)
		if verdict != "" {
			w.decide("songlan", r, verdict, "看过了 & \\")
		}
		requests = append(requests, r)
		w.clock.Advance(time.Second)
	}
	w.incidents(3)
	return w, requests
}

func raw(t *testing.T, url, token, query string, v vars) []byte {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"query": query, "variables": v})
	req, _ := http.NewRequestWithContext(bg, http.MethodPost, url+"/graphql", bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return requestID.ReplaceAll(out, nil)
}

// What the compiler writes is byte for byte what gqlgen would have written.
func TestCompiledAnswersAreThePlainOnes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, requests := sheets(t, db)
		h, err := graph.NewPlain(w.deps)
		if err != nil {
			t.Fatal(err)
		}
		srv, err := httpd.New(httpd.Options{Log: testkit.Quiet()}, h)
		if err != nil {
			t.Fatal(err)
		}
		plain := httptest.NewServer(srv.Handler())
		defer plain.Close()
		first := w.good("songlan", inboxSheet, vars{"n": 1}).at("inboxSheet", "pageInfo", "endCursor")
		for _, c := range []struct {
			who, query string
			v          vars
		}{
			{"zhouhang", requestSheet, vars{"id": requests[0].TypeID("req")}},
			{"songlan", requestSheet, vars{"id": requests[1].TypeID("req")}},
			{"hejing", requestSheet, vars{"id": requests[2].TypeID("req")}},
			{"pan", requestSheet, vars{"id": requests[0].TypeID("req")}},
			{"zhouhang", requestSheet, vars{"id": id.New().TypeID("req")}},
			{"zhouhang", requestSheet, vars{"id": "req_nonsense"}},
			{"zhouhang", `query($id:ID!){a:requestSheet(id:$id){...f steps{name}} b:requestSheet(id:$id){__typename number}} fragment f on RequestSheet{id steps{n:name __typename assignees{...{id}}}}`,
				vars{"id": requests[0].TypeID("req")}},
			{"zhouhang", `query($id:ID!,$x:Boolean!){requestSheet(id:$id){id @skip(if:$x) number steps @include(if:$x){name}}}`, vars{"id": requests[0].TypeID("req"), "x": true}},
			{"songlan", inboxSheet, vars{"n": 20}},
			{"songlan", inboxSheet, vars{"n": 1}},
			{"songlan", inboxSheet, vars{"n": 1, "a": first}},
			{"songlan", inboxSheet, vars{"n": 101}},
			{"pan", inboxSheet, vars{"n": 20}},
			{"qin", incidentSheet, vars{"n": 20}},
			{"qin", incidentSheet, vars{"n": 2, "o": true}},
			{"qin", incidentSheet, vars{"n": 2, "o": false}},
			{"zhouhang", incidentSheet, vars{"n": 20}},
			{"pan", incidentSheet, vars{"n": 20}},
		} {
			token := w.token(c.who)
			got, want := raw(t, w.URL, token, c.query, c.v), raw(t, plain.URL, token, c.query, c.v)
			if !bytes.Equal(got, want) {
				t.Errorf("%s, %s %v:\ncompiled %s\nplain    %s", c.who, c.query, c.v, got, want)
			}
		}
	})
}

// A sheet says what node(id:) says of the same objects to the same reader, and
// nothing to somebody who may not see them.
func TestSheetsSayWhatTheObjectsSay(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, requests := sheets(t, db)
		for i, r := range requests {
			v := vars{"id": r.TypeID("req")}
			a := w.good("zhouhang", requestSheet, v)
			b := w.good("zhouhang", `query($id:ID!){node(id:$id){...on Request{number title{zh en} steps{name state} tasks{id state person{id name}} decisions{id verdict comment by{name}}}}}`, v)
			var steps, tasks, decisions []any
			for _, s := range a.at("requestSheet", "steps").([]any) {
				s := s.(map[string]any)
				steps = append(steps, map[string]any{"name": s["name"], "state": s["state"]})
				for _, x := range s["assignees"].([]any) {
					x := x.(map[string]any)
					tasks = append(tasks, map[string]any{"id": x["id"], "state": x["state"], "person": x["person"]})
					if d, ok := x["decision"].(map[string]any); ok {
						decisions = append(decisions, map[string]any{"id": d["id"], "verdict": d["verdict"], "comment": d["comment"],
							"by": map[string]any{"name": d["by"].(map[string]any)["name"]}})
					}
				}
			}
			for what, pair := range map[string][2]any{
				"number": {a.at("requestSheet", "number"), b.at("node", "number")}, "title": {a.at("requestSheet", "title"), b.at("node", "title")},
				"steps": {steps, b.at("node", "steps")}, "tasks": {tasks, b.at("node", "tasks")},
			} {
				if !reflect.DeepEqual(pair[0], pair[1]) {
					t.Errorf("request %d, %s: %v, the object says %v", i, what, pair[0], pair[1])
				}
			}
			if list := b.at("node", "decisions").([]any); len(list) != len(decisions) || len(list) > 0 && !reflect.DeepEqual(decisions, list) {
				t.Errorf("request %d: decisions %v, the object says %v", i, decisions, list)
			}
			if got := w.good("pan", requestSheet, v).at("requestSheet"); got != nil {
				t.Errorf("a stranger to the request sees %v", got)
			}
		}
		for _, who := range []string{"qin", "guchen"} {
			a := w.as(who, `{list:incidentSheet{rows{number roots{host{address name{zh}}}}}}`, nil)
			b := w.as(who, `{list:incidents{edges{node{number roots{host{address name{zh}}}}}}}`, nil)
			if a.code() != b.code() {
				t.Fatalf("%s: the sheet answers %q, the list %q", who, a.code(), b.code())
			}
			if a.code() != "" {
				continue
			}
			var list []any
			for _, e := range b.at("list", "edges").([]any) {
				list = append(list, e.(map[string]any)["node"])
			}
			if !reflect.DeepEqual(a.at("list", "rows"), list) || len(list) != 3 {
				t.Errorf("%s: %v, the list says %v", who, a.at("list", "rows"), list)
			}
		}
	})
}

// The reads of a sheet are few, whatever its size.
func TestSheetsTakeFewRoundTrips(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, requests := sheets(t, db)
		for _, c := range []struct {
			who, query string
			v          vars
			most       int64 // the session, and what the field reads
		}{
			{"zhouhang", requestSheet, vars{"id": requests[0].TypeID("req")}, 3}, {"songlan", inboxSheet, vars{"n": 20}, 2}, {"qin", incidentSheet, vars{"n": 20}, 2},
		} {
			w.good(c.who, c.query, c.v)
			before := db.Trips()
			w.good(c.who, c.query, c.v)
			if n := db.Trips() - before; n > c.most {
				t.Errorf("%.30s: %d round trips, at most %d", c.query, n, c.most)
			}
		}
	})
}
