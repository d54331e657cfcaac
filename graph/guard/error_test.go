package guard_test

import (
	"fmt"
	"strings"
	"testing"

	"kelian/graph/guard"
)

func TestErrorsOfExecutedOperations(t *testing.T) {
	w := start(t, setup{})
	for _, c := range []struct{ how, code, message, reason, path string }{
		{"sql", "INTERNAL", "something went wrong", "", ""},
		{"panic", "INTERNAL", "something went wrong", "", ""},
		{"canceled", "UNAVAILABLE", "temporarily unavailable", "", ""},
		{"deadline", "UNAVAILABLE", "temporarily unavailable", "", ""},
		{"busy", "UNAVAILABLE", "temporarily unavailable", "", ""},
		{"missing", "NOT_FOUND", "no such object", "", ""},
		{"denied", "FORBIDDEN", "the rule request.read", "request.read", ""},
		{"input", "BAD_USER_INPUT", "the title is too long", "", "[input title]"},
		{"rule", "CONFLICT", "the form was changed", "STALE_FORM", ""},
	} {
		a := w.ask(t, "alice", fmt.Sprintf(`{version x:fail(how:"%s")}`, c.how), nil)
		a.want(t, c.how, 200, c.code)
		if len(a.Errors) != 1 {
			continue
		}
		e := a.Errors[0]
		path := ""
		if e.Extensions.Path != nil {
			path = fmt.Sprint(e.Extensions.Path)
		}
		if !strings.HasPrefix(e.Message, c.message) || e.Extensions.Reason != c.reason || path != c.path || fmt.Sprint(e.Path) != "[x]" {
			t.Errorf("%s: %s", c.how, a.Raw)
		}
		if a.Data["version"] != "1" {
			t.Errorf("%s: other fields suffer: %s", c.how, a.Raw)
		}
		if c.code == "INTERNAL" && !strings.Contains(w.log.String(), e.Extensions.RequestId) {
			t.Errorf("%s: the request id is not in the log", c.how)
		}
	}
	for _, logged := range []string{"secret_table", "10.9.8.7", "nil pointer", "resolver.go"} {
		if !strings.Contains(w.log.String(), logged) {
			t.Errorf("the log lacks %s", logged)
		}
	}
	w.ask(t, "alice", "{version}", nil).want(t, "after a panic", 200, "")
}

func TestMessagesAreInTheReadersLanguage(t *testing.T) {
	w := start(t, setup{})
	for lang, want := range map[string]string{"zh-CN": "没有这个对象", "en": "no such object"} {
		a := w.call(t, call{as: "alice", body: `{"query":"{fail(how:\"missing\")}"}`, header: map[string]string{"Accept-Language": lang}})
		if len(a.Errors) != 1 || !strings.HasPrefix(a.Errors[0].Message, want) {
			t.Errorf("%s: %s", lang, a.Raw)
		}
	}
	for _, body := range []string{`{`, `{"query":"{"}`, `{"query":"{nope}"}`, `{"query":"{me{` + strings.Repeat("parent{", 12) + "id" + strings.Repeat("}", 14) + `"}`} {
		a := w.call(t, call{as: "alice", body: body, header: map[string]string{"Accept-Language": "zh"}})
		if len(a.Errors) == 0 || !strings.ContainsAny(a.Errors[0].Message, "查询请求体字节") {
			t.Errorf("%s: %s", body, a.Raw)
		}
	}
}

func TestInputThatDoesNotFit(t *testing.T) {
	w := start(t, setup{})
	in := func(inner map[string]any) map[string]any {
		return map[string]any{"i": map[string]any{"title": "x", "inner": inner}}
	}
	const create = `mutation($i:CreateInput!){create(input:$i)}`
	for _, c := range []struct {
		name, query string
		vars        any
		status      int
		code, path  string
	}{
		{"Int 2³¹", `{int(n:2147483648)}`, nil, 200, "BAD_USER_INPUT", "[n]"},
		{"Int 2³¹−1", `{int(n:2147483647)}`, nil, 200, "", ""},
		{"Int 10³⁰", `{int(n:1000000000000000000000000000000)}`, nil, 400, "BAD_USER_INPUT", ""},
		{"Int 1.5", `{int(n:1.5)}`, nil, 400, "BAD_USER_INPUT", ""},
		{"Int text", `{int(n:"hunter2")}`, nil, 400, "BAD_USER_INPUT", ""},
		{"Int 2³¹ by variable", `query($n:Int!){int(n:$n)}`, map[string]any{"n": 1 << 31}, 200, "BAD_USER_INPUT", "[n]"},
		{"Int 1.5 by variable", `query($n:Int!){int(n:$n)}`, map[string]any{"n": 1.5}, 400, "BAD_USER_INPUT", "[n]"},
		{"Int text by variable", `query($n:Int!){int(n:$n)}`, map[string]any{"n": "1"}, 200, "BAD_USER_INPUT", "[n]"},
		{"Int null by variable", `query($n:Int!){int(n:$n)}`, map[string]any{"n": nil}, 400, "GRAPHQL_VALIDATION_FAILED", "[n]"},
		{"String is a number", `query($s:String!){echo(text:$s)}`, map[string]any{"s": 7}, 200, "BAD_USER_INPUT", "[text]"},
		{"String is an object", `query($s:String!){echo(text:$s)}`, map[string]any{"s": map[string]any{"hunter2": 1}}, 400, "BAD_USER_INPUT", "[s]"},
		{"ID is a number", `{node(id:7){id}}`, nil, 200, "BAD_USER_INPUT", "[id]"},
		{"day nonsense", `{day(on:"nonsense")}`, nil, 200, "BAD_USER_INPUT", "[on]"},
		{"day Feb 30", `{day(on:"2026-02-30")}`, nil, 200, "BAD_USER_INPUT", "[on]"},
		{"day 1969", `{day(on:"1969-12-31")}`, nil, 200, "BAD_USER_INPUT", "[on]"},
		{"day deep in an input", create, in(map[string]any{"on": "never"}), 200, "BAD_USER_INPUT", "[input inner on]"},
		{"Int deep in an input", create, in(map[string]any{"on": "2026-02-28", "amount": 1 << 40}), 200, "BAD_USER_INPUT", "[input inner amount]"},
		{"enum unknown", `{priority(p:MIDDLE)}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"enum as text", `{priority(p:"hunter2")}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"enum unknown by variable", `query($p:Priority!){priority(p:$p)}`, map[string]any{"p": "hunter2"}, 400, "GRAPHQL_VALIDATION_FAILED", "[p]"},
		{"enum in other case", `query($p:Priority!){priority(p:$p)}`, map[string]any{"p": "low"}, 200, "BAD_USER_INPUT", "[p]"},
		{"required missing", `{echo}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"variable missing", create, nil, 400, "GRAPHQL_VALIDATION_FAILED", "[i]"},
		{"input field missing", create, in(map[string]any{}), 400, "GRAPHQL_VALIDATION_FAILED", "[i inner on]"},
		{"input field unknown", create, in(map[string]any{"on": "2026-02-28", "hunter": 2}), 400, "GRAPHQL_VALIDATION_FAILED", "[i inner hunter]"},
		{"input field null", create, in(map[string]any{"on": nil}), 400, "GRAPHQL_VALIDATION_FAILED", "[i inner on]"},
		{"list for an object", create, map[string]any{"i": []any{1, 2}}, 400, "GRAPHQL_VALIDATION_FAILED", "[i]"},
		{"literal input field unknown", `mutation{create(input:{title:"a",inner:{on:"2026-02-28",nme:"hunter2"}})}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"literal object for a text", `{echo(text:{a:"hunter2"})}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"field unknown, nearly right", `{versio}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"argument unknown, nearly right", `{echo(text:"a",tex:"hunter2")}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"type unknown, nearly right", `{me{...on Membe{id}}}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"syntax, with a password in it", `mutation{signIn(login:"a" password:"hunter2" "hunter2")}`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
		{"syntax", `{`, nil, 400, "GRAPHQL_VALIDATION_FAILED", ""},
	} {
		a := w.ask(t, "alice", c.query, c.vars)
		a.want(t, c.name, c.status, c.code)
		if len(a.Errors) == 0 {
			continue
		}
		path := ""
		if p := a.Errors[0].Extensions.Path; p != nil {
			path = fmt.Sprint(p)
		}
		if path != c.path {
			t.Errorf("%s: path %s, want %s", c.name, path, c.path)
		}
	}
	a := w.ask(t, "alice", `{echo(text:"x\u0000y")}`, nil)
	a.want(t, "NUL in a literal", 200, "BAD_USER_INPUT")
}

func TestTextsComeBackIdentical(t *testing.T) {
	w := start(t, setup{})
	for _, s := range []string{"😀👩‍👩‍👧", "欧阳·买买提", "עברית مرحبا", "e\u0301", "\u202eabc", "tab\tnl\nq\"b\\", "</script>", "\u2028"} {
		if a := w.ask(t, "", `query($s:String!){echo(text:$s)}`, map[string]any{"s": s}); a.Data["echo"] != s {
			t.Errorf("%q came back as %q", s, a.Data["echo"])
		}
	}
	if a := w.call(t, call{body: `{"query":"query($s:String!){echo(text:$s)}","variables":{"s":"\ud83d\ude00\/\b\f"}}`}); a.Data["echo"] != "😀/\b\f" {
		t.Errorf("escapes: %s", a.Raw)
	}
}

func TestErrorsAreFewAndShort(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Depth: 12}})
	a := w.ask(t, "alice", "{"+aliases(20, "failMany(n:1)")+"}", nil)
	if len(a.Errors) != 5 || len(a.Data) != 20 {
		t.Errorf("%d errors, %d fields", len(a.Errors), len(a.Data))
	}
	long := strings.Repeat("n", 4000)
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, "%s%d:failMany(n:1) ", long, i)
	}
	a = w.ask(t, "alice", "{"+b.String()+"}", nil)
	if n := len(errorsOf(a)); n > 16<<10 || len(a.Errors) == 0 {
		t.Errorf("%d bytes of errors", n)
	}
	huge := strings.Repeat("n", 20_000)
	a = w.ask(t, "alice", "{"+huge+":failMany(n:1)}", nil)
	if n := len(errorsOf(a)); n > 16<<10 || len(a.Errors) != 1 {
		t.Errorf("%d bytes of %d errors", n, len(a.Errors))
	}
	a = w.ask(t, "alice", "{"+huge+"}", nil)
	if n := len(a.Raw); n > 1000 {
		t.Errorf("a name of 20,000 bytes is repeated: %d bytes", n)
	}
}

func errorsOf(a answer) string {
	s, _, _ := strings.Cut(a.Raw, `,"data":`)
	return s
}
