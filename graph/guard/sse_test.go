package guard_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/graph/guard"
	"kelian/internal/fault"
)

func sseCall(as, query string) call {
	return call{as: as, body: `{"query":` + quoted(query) + `}`, header: map[string]string{"Accept": "text/event-stream"}}
}

// open opens a stream.
func (w *world) open(t *testing.T, as, query string) *http.Response {
	t.Helper()
	c := sseCall(as, query)
	r, err := http.NewRequest(http.MethodPost, w.URL+"/graphql", strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Authorization", "Bearer kel_"+as)
	res, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// events opens a stream and gives its lines until it ends.
func (w *world) events(t *testing.T, as, query string) (*http.Response, <-chan string) {
	t.Helper()
	res := w.open(t, as, query)
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			if s.Text() != "" && s.Text() != ":" {
				lines <- s.Text()
			}
		}
	}()
	return res, lines
}

func rest(lines <-chan string) string {
	var all []string
	for l := range lines {
		all = append(all, l)
	}
	return strings.Join(all, "\n")
}

func TestSubscriptionsOverEvents(t *testing.T) {
	w := start(t, setup{})
	res, lines := w.events(t, "alice", "subscription{ticks(n:2)}")
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatal(res.Status, res.Header)
	}
	const want = "event: next\ndata: {\"data\":{\"ticks\":0}}\nevent: next\ndata: {\"data\":{\"ticks\":1}}\nevent: complete\ndata:"
	if got := rest(lines); got != want {
		t.Errorf("got\n%s", got)
	}
	_, lines = w.events(t, "alice", `subscription{ticks(n:1,fail:"some.rule")}`)
	if got := rest(lines); !strings.Contains(got, "FORBIDDEN") || !strings.HasSuffix(got, "event: complete\ndata:") {
		t.Errorf("got\n%s", got)
	}
	_, lines = w.events(t, "alice", "subscription{breaks}")
	if got := rest(lines); !strings.Contains(got, "INTERNAL") || strings.Contains(got, "broke") {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatEventsRefuse(t *testing.T) {
	w := start(t, setup{})
	w.call(t, sseCall("", "subscription{manual}")).want(t, "nobody", 401, "UNAUTHENTICATED")
	w.call(t, sseCall("alice", "{version}")).want(t, "query", 400, "BAD_USER_INPUT")
	w.call(t, sseCall("alice", "mutation{touch}")).want(t, "mutation", 400, "BAD_USER_INPUT")
	w.call(t, sseCall("alice", "subscription{nope}")).want(t, "invalid", 400, "GRAPHQL_VALIDATION_FAILED")
	c := sseCall("", "subscription{manual}")
	c.header["Sec-Fetch-Site"], c.header["Origin"], c.header["Cookie"] = "cross-site", "https://evil.example", "kelian=alice"
	w.call(t, c).want(t, "cross-site", 403, "FORBIDDEN")
	c = sseCall("alice", "subscription{manual}")
	c.body = "{"
	w.call(t, c).want(t, "malformed", 400, "BAD_USER_INPUT")
	c.method = http.MethodGet
	w.call(t, c).want(t, "GET", 405, "BAD_USER_INPUT")
	if n := w.resolver.Started.Load(); n != 0 {
		t.Errorf("%d resolvers ran", n)
	}
	if n := w.guard.Streams(); n != 0 {
		t.Errorf("%d streams are counted as open", n)
	}
}

func TestStreamsAreForAccountsWhateverTheGateSays(t *testing.T) {
	w := start(t, setup{tune: func(o *guard.Options) { o.Gate = nil }})
	w.call(t, sseCall("", "subscription{ticks(n:1)}")).want(t, "nobody", 401, "UNAUTHENTICATED")
}

func TestEventStreamsPerAccount(t *testing.T) {
	w := start(t, setup{})
	for range 5 {
		if res, _ := w.events(t, "alice", "subscription{manual}"); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
	a := w.call(t, sseCall("alice", "subscription{manual}"))
	a.want(t, "the sixth", 429, "RATE_LIMITED")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if res, _ := w.events(t, "bob", "subscription{manual}"); res.StatusCode != 200 {
		t.Error("another account suffers", res.Status)
	}
}

func TestEventStreamsEnd(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Reauthorize: 5 * time.Millisecond}})
	w.resolver.Ended = make(chan struct{}, 1)
	_, lines := w.events(t, "alice", "subscription{manual}")
	w.resolver.Manual <- 1
	<-lines
	w.revoke("alice", fault.SignIn())
	if got := rest(lines); !strings.Contains(got, "UNAUTHENTICATED") || !strings.HasSuffix(got, "event: complete\ndata:") {
		t.Errorf("revoked: %s", got)
	}
	<-w.resolver.Ended

	old := start(t, setup{limits: guard.Limits{Age: 20 * time.Millisecond}})
	_, lines = old.events(t, "alice", "subscription{manual}")
	if got := rest(lines); strings.Contains(got, "complete") {
		t.Errorf("an old stream says that the subscription is over, so nobody comes back: %s", got)
	}
	res, lines := w.events(t, "bob", "subscription{manual}")
	w.resolver.Manual <- 1
	<-lines
	_ = res.Body.Close()
	<-w.resolver.Ended // the resolver's context ends with the connection
}

func TestEventStreamOutlivesTheRequestLimits(t *testing.T) {
	in := setup{limits: guard.Limits{Ping: 5 * time.Millisecond}}
	in.edge.WriteTimeout, in.edge.ReadTimeout, in.edge.InFlight, in.edge.Queue = 30*time.Millisecond, 30*time.Millisecond, 1, 1
	w := start(t, in)
	res := w.open(t, "alice", "subscription{manual}")
	// Other requests pass while the stream is open though there is one slot.
	for range 20 {
		w.ask(t, "", "{version}", nil).want(t, "beside a stream", 200, "")
	}
	// Twenty signs of life later every limit of a request is over.
	pings := 0
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if s.Text() == ":" {
			if pings++; pings == 20 {
				w.resolver.Manual <- 1
			}
		}
		if s.Text() == "event: next" {
			return
		}
	}
	t.Errorf("the stream was cut after %d pings", pings)
}
