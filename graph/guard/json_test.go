package guard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kelian/graph/guard"
	"kelian/graph/internal/testschema"

	"github.com/99designs/gqlgen/graphql"
)

// FuzzEnvelope holds the strict reader against encoding/json: what it accepts
// encoding/json accepts with the same meaning, and no body makes the server
// panic or answer with anything but 200 or 400.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{`{"query":"query($s:String!){echo(text:$s)}","variables":{"s":"a\u00e9\ud83d\ude00\n"}}`,
		`{"query":"{version}","extensions":{"a":[1,-0.5e+10,true,null,{}]}}`, `{"query":"{version}","query":""}`, `[]`, `{"a":01}`, "{\"\xff\":1}", `{"query":"{version}"} x`} {
		f.Add([]byte(s))
	}
	h := guard.New(testschema.NewExecutableSchema(testschema.Config{Resolvers: &testschema.Resolver{},
		Directives: testschema.DirectiveRoot{}}), guard.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 403 && w.Code != 413 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var out struct {
			Data   struct{ Echo *string }
			Errors []struct{ Extensions struct{ Code string } }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if w.Code != 200 {
			return
		}
		var in struct {
			Query     string
			Variables map[string]any
		}
		if err := json.Unmarshal(body, &in); err != nil {
			t.Fatalf("accepted what is no JSON: %q: %v", body, err)
		}
		if s, ok := in.Variables["s"].(string); ok && in.Query == "query($s:String!){echo(text:$s)}" && (out.Data.Echo == nil || *out.Data.Echo != s) {
			t.Fatalf("%q came back as %s", s, w.Body)
		}
	})
}

// manyFragments spreads n fragments in one place.
func manyFragments(n int) string {
	var b strings.Builder
	b.WriteString("{me{")
	for i := range n {
		fmt.Fprintf(&b, "...f%d ", i)
	}
	b.WriteString("}}")
	for i := range n {
		fmt.Fprintf(&b, " fragment f%d on Member{a%d:id}", i, i)
	}
	return b.String()
}

func BenchmarkPost(b *testing.B) {
	h := guard.New(testschema.NewExecutableSchema(testschema.Config{Resolvers: &testschema.Resolver{},
		Directives: testschema.DirectiveRoot{Compiled: func(ctx context.Context, _ any, next graphql.Resolver) (any, error) { return next(ctx) }}}), guard.Options{})
	for name, query := range map[string]string{
		"small":      "{version}",
		"doubling29": bomb(29),
		"spreads":    wideBomb(),
		"duplicates": "{" + strings.Repeat("version ", 1990) + "}",
		"fragments":  manyFragments(190),
		"unused":     "{version}" + strings.Repeat(" fragment f on Member{id}", 270),
		"variables":  "query(" + strings.Repeat("$a:Int ", 480) + "){version}",
		"directives": "{version " + strings.Repeat("@a ", 990) + "}",
		"arguments":  "{echo(" + strings.Repeat("a:1 ", 650) + ")}",
		"overlap":    "{" + strings.Repeat("...{me{id name}}", 220) + "}",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ { // a new text each time, as an attacker sends
				body := `{"query":` + quoted(fmt.Sprintf("%s#%d", query, i)) + `}`
				r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
