package guard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/graph/guard"
	"kelian/internal/httpd"
)

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

func TestEnvelope(t *testing.T) {
	w := start(t, setup{})
	good := `{"query":"{version}"}`
	for _, c := range []struct {
		name   string
		call   call
		status int
		code   string
	}{
		{"plain", call{body: good}, 200, ""},
		{"nulls stand for absent", call{body: `{"query":"{version}","variables":null,"operationName":null,"extensions":null}`}, 200, ""},
		{"charset", call{body: good, header: map[string]string{"Content-Type": "application/json; charset=UTF-8"}}, 200, ""},
		{"other charset", call{body: good, header: map[string]string{"Content-Type": "application/json; charset=gbk"}}, 415, "BAD_USER_INPUT"},
		{"text/plain", call{body: good, header: map[string]string{"Content-Type": "text/plain"}}, 415, "BAD_USER_INPUT"},
		{"urlencoded", call{body: "query={version}", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 415, "BAD_USER_INPUT"},
		{"multipart", call{body: "--x--", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"}}, 415, "BAD_USER_INPUT"},
		{"application/graphql", call{body: "{version}", header: map[string]string{"Content-Type": "application/graphql"}}, 415, "BAD_USER_INPUT"},
		{"no type", call{body: good, header: map[string]string{"Content-Type": ""}}, 415, "BAD_USER_INPUT"},
		{"gzip", call{body: good, header: map[string]string{"Content-Encoding": "gzip"}}, 415, "BAD_USER_INPUT"},
		{"GET", call{method: "GET"}, 405, "BAD_USER_INPUT"},
		{"PUT", call{method: "PUT", body: good}, 405, "BAD_USER_INPUT"},
		{"TRACE", call{method: "TRACE"}, 405, "BAD_USER_INPUT"},
		{"array batch", call{body: "[" + good + "]"}, 400, "BAD_USER_INPUT"},
		{"a string", call{body: `"{version}"`}, 400, "BAD_USER_INPUT"},
		{"empty", call{body: ""}, 400, "BAD_USER_INPUT"},
		{"no query", call{body: `{}`}, 400, "BAD_USER_INPUT"},
		{"blank query", call{body: `{"query":" "}`}, 400, "BAD_USER_INPUT"},
		{"query is a number", call{body: `{"query":1}`}, 400, "BAD_USER_INPUT"},
		{"variables are an array", call{body: `{"query":"{version}","variables":[]}`}, 400, "BAD_USER_INPUT"},
		{"unknown name", call{body: `{"query":"{version}","hunter2":1}`}, 400, "BAD_USER_INPUT"},
		{"name twice", call{body: `{"query":"{secret}","query":"{version}"}`}, 400, "BAD_USER_INPUT"},
		{"name twice, one escaped", call{body: `{"query":"{secret}","qu\u0065ry":"{version}"}`}, 400, "BAD_USER_INPUT"},
		{"name twice, deep", call{body: `{"query":"{version}","variables":{"a":{"b":[{"c":1,"c":2}]}}}`}, 400, "BAD_USER_INPUT"},
		{"trailing data", call{body: good + good}, 400, "BAD_USER_INPUT"},
		{"byte order mark", call{body: "\ufeff" + good}, 400, "BAD_USER_INPUT"},
		{"broken, with a password in it", call{body: `{"query":"mutation{signIn(login:\"a\",password:\"hunter2\")}`}, 400, "BAD_USER_INPUT"},
		{"invalid UTF-8", call{body: "{\"query\":\"{version}\",\"variables\":{\"a\":\"\xff\"}}"}, 400, "BAD_USER_INPUT"},
		{"NUL", call{body: `{"query":"{version}","variables":{"a":"x\u0000y"}}`}, 400, "BAD_USER_INPUT"},
		{"raw control character", call{body: "{\"query\":\"{version}\x01\"}"}, 400, "BAD_USER_INPUT"},
		{"lone surrogate", call{body: `{"query":"{version}","variables":{"a":"\ud83d"}}`}, 400, "BAD_USER_INPUT"},
		{"number of 65 digits", call{body: `{"query":"{version}","variables":{"a":` + strings.Repeat("9", 65) + `}}`}, 400, "BAD_USER_INPUT"},
		{"20 levels of variables", call{body: `{"query":"{version}","variables":` + strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20) + "}"}, 200, ""},
		{"21 levels of variables", call{body: `{"query":"{version}","variables":` + strings.Repeat(`{"a":`, 21) + "1" + strings.Repeat("}", 21) + "}"}, 400, "BAD_USER_INPUT"},
		{"100,000 levels of JSON", call{body: strings.Repeat("[", 100_000)}, 400, "BAD_USER_INPUT"},
		{"variables of 64 kB", call{body: `{"query":"{version}","variables":{"a":"` + strings.Repeat("x", 64<<10) + `"}}`}, 400, "QUERY_TOO_LARGE"},
		{"query over 32 kB", call{body: `{"query":` + quoted("{version}"+strings.Repeat(" ", 32<<10)) + `}`}, 400, "QUERY_TOO_LARGE"},
		{"query of 32 kB", call{body: `{"query":` + quoted("{version}"+strings.Repeat(" ", 32<<10-9)) + `}`}, 200, ""},
		{"body over 256 kB", call{body: good + strings.Repeat(" ", 256<<10)}, 413, "QUERY_TOO_LARGE"},
		{"body over 256 kB, chunked", call{body: good + strings.Repeat(" ", 256<<10), chunked: true}, 413, "QUERY_TOO_LARGE"},
		{"300,000 commas", call{body: `{"query":` + quoted(strings.Repeat(",", 300_000)) + `}`}, 413, "QUERY_TOO_LARGE"},
		{"chunked", call{body: good, chunked: true}, 200, ""},
	} {
		w.call(t, c.call).want(t, c.name, c.status, c.code)
	}
	if a := w.call(t, call{method: "GET"}); a.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
	if a := w.call(t, call{method: "HEAD"}); a.Status != 405 || a.Raw != "" {
		t.Errorf("HEAD: %d %q", a.Status, a.Raw)
	}
	if strings.Contains(w.log.String(), "hunter2") {
		t.Error("a body stands in the log")
	}
}

func TestContentTypeOfAnswers(t *testing.T) {
	w := start(t, setup{})
	for accept, want := range map[string]string{
		"": "application/graphql-response+json", "*/*": "application/graphql-response+json",
		"application/json":                                    "application/json",
		"application/json;q=0.9, text/html":                   "application/json",
		"application/graphql-response+json, application/json": "application/graphql-response+json",
	} {
		for _, body := range []string{`{"query":"{version}"}`, `{`, `{"query":"{nothing}"}`} {
			a := w.call(t, call{body: body, header: map[string]string{"Accept": accept}})
			if got := a.Header.Get("Content-Type"); got != want+"; charset=utf-8" {
				t.Errorf("Accept %q: %s", accept, got)
			}
			if a.Header.Get("Content-Length") != fmt.Sprint(len(a.Raw)) {
				t.Errorf("length %s of %d", a.Header.Get("Content-Length"), len(a.Raw))
			}
		}
	}
}

func TestAnswersOfAnySizeArriveWhole(t *testing.T) {
	w := start(t, setup{})
	for _, n := range []int{0, 1, 64<<10 - 12, 64 << 10, 1 << 20, 4<<20 - 100} {
		a := w.ask(t, "a", `query($n:Int!){wide(bytes:$n)}`, map[string]any{"n": n})
		if got, _ := a.Data["wide"].(string); len(got) != n || a.Status != 200 {
			t.Errorf("%d bytes: %d, %d", n, a.Status, len(got))
		}
	}
	w.ask(t, "a", `{wide(bytes:4194304)}`, nil).want(t, "more than 4 MB", 400, "COMPLEXITY_LIMIT")
}

// bomb is a query of n doubling fragments.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("{me{...f0}}")
	for i := range n {
		fmt.Fprintf(&b, " fragment f%d on Member{...f%d ...f%d}", i, i+1, i+1)
	}
	fmt.Fprintf(&b, " fragment f%d on Member{id}", n)
	return b.String()
}

// manyFields is a query of n fields and spreads that asks for none of them
// more than thirty times.
func manyFields(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for left, root := n, 0; left > 0; root++ {
		if left <= 51 {
			fmt.Fprintf(&b, "z:me{%s%s}", strings.Repeat("id ", left/2), strings.Repeat("name ", left-1-left/2))
			break
		}
		fmt.Fprintf(&b, "r%d:me{%s} ", root, strings.Repeat("id name ", 25))
		left -= 51
	}
	return b.String() + "}"
}

// wide is a doubling bomb that stays shallow.
func wideBomb() string {
	var b strings.Builder
	b.WriteString("{me{...f0}}")
	for i := range 5 {
		fmt.Fprintf(&b, " fragment f%d on Member{%s}", i, strings.Repeat(fmt.Sprintf("...f%d ", i+1), 20))
	}
	b.WriteString(" fragment f5 on Member{id}")
	return b.String()
}

func nest(open, core, shut string, n int) string {
	return strings.Repeat(open, n) + core + strings.Repeat(shut, n)
}

func aliases(n int, field string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d:%s ", i, field)
	}
	return b.String()
}

func TestLimitsOfAnOperation(t *testing.T) {
	w := start(t, setup{})
	for _, c := range []struct {
		name, query string
		status      int
		code        string
	}{
		{"depth 10", "{me{" + nest("parent{", "id", "}", 8) + "}}", 200, ""},
		{"depth 11", "{me{" + nest("parent{", "id", "}", 9) + "}}", 400, "DEPTH_LIMIT"},
		{"recursive type × 30", "{me{" + nest("parent{", "id", "}", 30) + "}}", 400, "DEPTH_LIMIT"},
		{"inline fragments × 30", "{me{" + nest("...{", "id", "}", 30) + "}}", 400, "DEPTH_LIMIT"},
		{"nesting × 600", "{me{" + nest("parent{", "id", "}", 600) + "}}", 400, "DEPTH_LIMIT"},
		{"query nesting × 5,000", nest("{a", "", "}", 5000), 400, "GRAPHQL_VALIDATION_FAILED"},
		{"list nesting × 5,000", "{nodes(ids:" + nest("[", "", "]", 5000) + "){id}}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"object nesting × 3,000", "mutation{create(input:" + nest("{a:", "1", "}", 3000) + ")}", 400, "QUERY_TOO_LARGE"},
		{"type nesting × 5,000", "query($a:" + nest("[", "Int", "]", 5000) + "){version}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"20 root fields, 20 aliases", "{" + aliases(20, "version") + "}", 200, ""},
		{"21 root fields", "{" + aliases(21, "version") + "}", 400, "COMPLEXITY_LIMIT"},
		{"30 aliases", "{me{" + aliases(30, "id") + "}}", 200, ""},
		{"31 aliases", "{me{" + aliases(31, "id") + "}}", 400, "COMPLEXITY_LIMIT"},
		{"101 aliases", "{me{" + aliases(101, "id") + "}}", 400, "COMPLEXITY_LIMIT"},
		{"1,000 aliases", "{" + aliases(1000, "version") + "}", 400, "QUERY_TOO_LARGE"},
		{"30 times the same", "{me{" + strings.Repeat("id ", 30) + "}}", 200, ""},
		{"31 times the same", "{me{" + strings.Repeat("id ", 31) + "}}", 400, "COMPLEXITY_LIMIT"},
		{"31 times the same through fragments", "{...a me{" + strings.Repeat("id ", 15) + "}} fragment a on Query{...{me{" + strings.Repeat("id ", 16) + "}}}", 400, "COMPLEXITY_LIMIT"},
		{"1,900 duplicates in a fragment that is not used", "{version} fragment a on Member{" + strings.Repeat("id ", 1900) + "}", 400, "COMPLEXITY_LIMIT"},
		{"500 fields", manyFields(500), 200, ""},
		{"501 fields and more", manyFields(501), 400, "COMPLEXITY_LIMIT"},
		{"20,000 duplicates", "{" + strings.Repeat("version ", 20_000) + "}", 400, "QUERY_TOO_LARGE"},
		{"overlapping × 600", "{" + strings.Repeat("...{me{id name}}", 200) + "}", 400, "COMPLEXITY_LIMIT"},
		{"overlapping × 2,000", "{" + strings.Repeat("...{me{id name}}", 2000) + "}", 400, "QUERY_TOO_LARGE"},
		{"26 doubling fragments", bomb(26), 400, "COMPLEXITY_LIMIT"},
		{"29 doubling fragments", bomb(29), 400, "COMPLEXITY_LIMIT"},
		{"20⁵ spreads, shallow", wideBomb(), 400, "COMPLEXITY_LIMIT"},
		{"fragment cycle", "{me{...a}} fragment a on Member{...b} fragment b on Member{...a}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"known directive × 21", "{version " + strings.Repeat("@skip(if:false)", 21) + "}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"21 fields with a directive", "{me{" + strings.Repeat("id @skip(if:false) ", 21) + "}}", 400, "COMPLEXITY_LIMIT"},
		{"unknown directive × 500", "{version " + strings.Repeat("@a ", 500) + "}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"unknown directive × 10,000", "{version " + strings.Repeat("@a ", 10_000) + "}", 400, "QUERY_TOO_LARGE"},
		{"@defer", "{me{...@defer{id}}}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"5,000 operations", strings.Repeat("query a{version}", 5000), 400, "QUERY_TOO_LARGE"},
		{"400 operations", strings.Repeat("query a{version}", 400), 400, "GRAPHQL_VALIDATION_FAILED"},
		{"2,001 tokens", strings.Repeat("query a{version}", 450), 400, "QUERY_TOO_LARGE"},
		{"a name of 30 kB", "{" + strings.Repeat("a", 30_000) + "}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"comments", strings.Repeat("#\n", 16_000) + "{version}", 400, "QUERY_TOO_LARGE"},
		{"5 mutations", "mutation{" + aliases(5, "touch") + "}", 200, ""},
		{"6 mutations", "mutation{" + aliases(6, "touch") + "}", 400, "COMPLEXITY_LIMIT"},
		{"one sign-in", `mutation{signIn(login:"a",password:"hunter2")}`, 200, ""},
		{"two sign-ins", `mutation{` + aliases(2, `signIn(login:"a",password:"hunter2")`) + `}`, 400, "COMPLEXITY_LIMIT"},
		{"two sign-ins through fragments", `mutation{...a ...b} fragment a on Mutation{x:signIn(login:"a",password:"b")} fragment b on Mutation{y:signIn(login:"a",password:"c")}`, 400, "COMPLEXITY_LIMIT"},
		{"cost 2,000", "{members(first:99){" + aliases(20, "id") + "}}", 200, ""},
		{"cost over 2,000", "{members(first:100){" + aliases(21, "id") + "}}", 400, "COMPLEXITY_LIMIT"},
		{"pages multiply", "{members(first:100){friends(first:30){id}}}", 400, "COMPLEXITY_LIMIT"},
		{"more than 10,000 nodes", "{members(first:100){friends(first:100){friends(first:100){id}}}}", 400, "COMPLEXITY_LIMIT"},
		{"first 1e9", "{members(first:1000000000){id}}", 400, "BAD_USER_INPUT"},
		{"first 10³⁰", "{members(first:1000000000000000000000000000000){id}}", 400, "BAD_USER_INPUT"},
		{"first 101", "{members(first:101){id}}", 400, "BAD_USER_INPUT"},
		{"first 0", "{members(first:0){id}}", 400, "BAD_USER_INPUT"},
		{"first −1", "{members(first:-1){id}}", 400, "BAD_USER_INPUT"},
		{"last 0", "{members(last:0){id}}", 400, "BAD_USER_INPUT"},
		{"first 1", "{members(first:1){id}}", 200, ""},
		{"first 100", "{members(first:100){id}}", 200, ""},
		{"first missing", "{members{id}}", 200, ""},
		{"first null", "{members(first:null){id}}", 200, ""},
		{"101 ids", "{nodes(ids:[" + strings.Repeat(`"a" `, 101) + "]){id}}", 400, "BAD_USER_INPUT"},
		{"100 ids", "{nodes(ids:[" + strings.Repeat(`"a" `, 100) + "]){id}}", 200, ""},
		{"two operations, none named", "query a{version} query b{version}", 400, "GRAPHQL_VALIDATION_FAILED"},
		{"subscription by POST", "subscription{ticks(n:1)}", 400, "BAD_USER_INPUT"},
	} {
		before := w.resolver.Started.Load()
		a := w.ask(t, "alice", c.query, nil)
		a.want(t, c.name, c.status, c.code)
		if c.status == 400 && (w.resolver.Started.Load() != before || a.Data != nil) {
			t.Errorf("%s: something was executed", c.name)
		}
		if len(a.Raw) > 17<<10 && c.status == 400 {
			t.Errorf("%s: an answer of %d bytes", c.name, len(a.Raw))
		}
	}
}

func TestNodesAreCountedApartFromCost(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Cost: 1 << 30}})
	w.ask(t, "alice", "{members(first:100){friends(first:99){id}}}", nil).want(t, "100 + 9,900", 200, "")
	w.ask(t, "alice", "{members(first:100){friends(first:100){id}}}", nil).want(t, "100 + 10,000", 400, "COMPLEXITY_LIMIT")
	w.ask(t, "alice", "{members(first:100){friends(first:100){friends(first:100){friends(first:100){friends(first:100){id}}}}}}", nil).want(t, "100⁵", 400, "COMPLEXITY_LIMIT")
}

func TestVariablesAreLimitedToo(t *testing.T) {
	w := start(t, setup{})
	ids := make([]string, 101)
	for i := range ids {
		ids[i] = "a"
	}
	a := w.ask(t, "alice", `query($ids:[ID!]!){nodes(ids:$ids){id}}`, map[string]any{"ids": ids})
	a.want(t, "101 ids", 400, "BAD_USER_INPUT")
	w.ask(t, "alice", `query($ids:[ID!]!){nodes(ids:$ids){id}}`, map[string]any{"ids": ids[:100]}).want(t, "100 ids", 200, "")
	a = w.ask(t, "alice", `query($n:Int){me{friends(first:$n){id}}}`, map[string]any{"n": 101})
	a.want(t, "first by variable", 400, "BAD_USER_INPUT")
	if got := a.Errors[0].Extensions.Path; fmt.Sprint(got) != "[friends first]" {
		t.Errorf("path %v", got)
	}
	a = w.ask(t, "alice", `mutation($i:CreateInput!){create(input:$i)}`, map[string]any{"i": map[string]any{"title": "x", "inner": map[string]any{"on": "2026-02-28"}, "tags": ids}})
	a.want(t, "101 tags", 400, "BAD_USER_INPUT")
	if got := a.Errors[0].Extensions.Path; fmt.Sprint(got) != "[i tags]" {
		t.Errorf("path %v", got)
	}
}

func TestCostIsReported(t *testing.T) {
	w := start(t, setup{})
	for q, want := range map[string]int{
		"{version}": 1, "{me{id name}}": 3, "{members(first:7){id name}}": 15, "{members{id}}": 21,
		"{members(first:2){friends(first:3){id}}}": 9, "query($n:Int=4){members(first:$n){id}}": 5,
	} {
		a := w.ask(t, "alice", q, nil)
		if a.Extensions.Cost == nil || *a.Extensions.Cost != (guard.Cost{Requested: want, Limit: 2000}) {
			t.Errorf("%s: %+v, want %d", q, a.Extensions.Cost, want)
		}
	}
}

const introspection = `query I{__schema{queryType{name} types{...T} directives{name args{...V}}}}
fragment T on __Type{kind name fields(includeDeprecated:true){name args{...V} type{...R}} inputFields{...V} interfaces{...R} enumValues{name} possibleTypes{...R}}
fragment V on __InputValue{name type{...R} defaultValue}
fragment R on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}}}`

func TestIntrospection(t *testing.T) {
	w := start(t, setup{})
	a := w.ask(t, "developer", introspection, nil)
	a.want(t, "the query that tools send", 200, "")
	if !strings.Contains(a.Raw, `"CreateInput"`) {
		t.Error("the schema is not in the answer")
	}
	hidden := `{me{...{id}} ...F} fragment F on Query{x:__type(name:"Query"){name}}`
	w.ask(t, "developer", hidden, nil).want(t, "in a fragment", 200, "")
	for name, q := range map[string]string{"__schema": introspection, "__type in a fragment": hidden} {
		a := w.ask(t, "alice", q, nil)
		a.want(t, name, 403, "FORBIDDEN")
		if strings.Contains(a.Raw, "CreateInput") {
			t.Error("the schema is in the answer")
		}
		w.ask(t, "", q, nil).want(t, name+" by nobody", 401, "UNAUTHENTICATED")
	}
	w.ask(t, "", "{__typename version}", nil).want(t, "__typename", 200, "")
	var b strings.Builder
	b.WriteString("{__schema{types{...f0}}}")
	for i := range 12 {
		fmt.Fprintf(&b, " fragment f%d on __Type{...f%d ...f%d}", i, i+1, i+1)
	}
	b.WriteString(" fragment f12 on __Type{name}")
	w.ask(t, "developer", b.String(), nil).want(t, "an introspection bomb", 400, "COMPLEXITY_LIMIT")
	w.ask(t, "developer", `{a:__schema{queryType{name}} b:__schema{queryType{name}}}`, nil).want(t, "__schema twice", 400, "COMPLEXITY_LIMIT")
}

func TestNobodyIsTurnedAwayBeforeHisInputIsRead(t *testing.T) {
	w := start(t, setup{})
	for name, c := range map[string]struct {
		query string
		vars  any
	}{
		"a field":               {"{secret}", nil},
		"beside a public one":   {"{version secret}", nil},
		"in a fragment":         {"{...F} fragment F on Query{...{me{id}}}", nil},
		"bad argument":          {`{day(on:"nonsense")}`, nil},
		"bad page":              {`{members(first:-5){id}}`, nil},
		"missing variable":      {`mutation($i:CreateInput!){create(input:$i)}`, nil},
		"variable of odd shape": {`mutation($i:CreateInput!){create(input:$i)}`, map[string]any{"i": "hunter2"}},
		"over the limits":       {"{me{" + aliases(50, "id") + "}}", nil},
	} {
		w.ask(t, "", c.query, c.vars).want(t, name, 401, "UNAUTHENTICATED")
	}
	if n := w.resolver.Started.Load(); n != 0 {
		t.Errorf("%d resolvers ran", n)
	}
	if a := w.ask(t, "", "{secret}", nil); a.Header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	w.ask(t, "", "{version}", nil).want(t, "public", 200, "")
}

func TestPagesElsewhereExecuteNothing(t *testing.T) {
	w := start(t, setup{edge: httpd.Options{CORSOrigins: []string{"https://club.example.org"}}})
	touch := `{"query":"mutation{touch}"}`
	for name, h := range map[string]map[string]string{
		"cross-site":  {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
		"plain http":  {"Origin": "http://evil.example"},
		"null origin": {"Origin": "null"},
	} {
		h["Cookie"] = "kelian=alice"
		w.call(t, call{body: touch, header: h}).want(t, name, 403, "FORBIDDEN")
	}
	w.call(t, call{body: touch, header: map[string]string{"Origin": "https://club.example.org", "Cookie": "kelian=alice"}}).want(t, "a listed page with a cookie is nobody", 401, "UNAUTHENTICATED")
	if n := w.resolver.Started.Load(); n != 0 {
		t.Errorf("%d mutations ran", n)
	}
	a := w.call(t, call{body: touch, as: "alice", header: map[string]string{"Origin": "https://club.example.org"}})
	a.want(t, "a listed page with a token", 200, "")
	w.call(t, call{body: touch, header: map[string]string{"Cookie": "kelian=alice", "Origin": w.URL}}).want(t, "the own page", 200, "")
}

func TestTimeoutOfAnOperation(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Operation: 20 * time.Millisecond}})
	a := w.ask(t, "alice", "{slow}", nil)
	a.want(t, "slow", http.StatusOK, "UNAVAILABLE")
}
