package graph_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kelian/auth"
	"kelian/internal/id"
	"kelian/internal/testkit"

	"github.com/vektah/gqlparser/v2/ast"
)

// open are the fields that the schema promises to strangers.
var open = map[string]bool{"units": true, "status": true, "verify": true, "viewer": true, "repairTicketByLink": true, "submitRepair": true, "signIn": true, "calendar": true,
	"sendRepairLink": true, "actOnRepairByLink": true, "eraseRepairByLink": true, "accountLink": true, "requestReset": true, "resetPassword": true,
	"verifyMailbox": true, "claimAccount": true}

// literal spells some value of an argument's type.
func literal(s *ast.Schema, t *ast.Type) string {
	if t.Elem != nil {
		return "[" + literal(s, t.Elem) + "]"
	}
	switch d := s.Types[t.NamedType]; {
	case d.Kind == ast.Enum:
		return d.EnumValues[0].Name
	case d.Kind == ast.InputObject:
		var fields []string
		for _, f := range d.Fields {
			if f.Type.NonNull && f.DefaultValue == nil {
				fields = append(fields, f.Name+":"+literal(s, f.Type))
			}
		}
		return "{" + strings.Join(fields, ",") + "}"
	}
	switch t.NamedType {
	case "Int", "Fen":
		return "1"
	case "Boolean":
		return "false"
	case "JSON":
		return "{}"
	case "Time":
		return `"2026-10-14T02:00:00Z"`
	case "ID":
		return fmt.Sprintf("%q", id.New().TypeID("req"))
	}
	return `"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"`
}

// operation asks for a root field with as little as possible.
func operation(s *ast.Schema, kind string, f *ast.FieldDefinition) string {
	var args []string
	for _, a := range f.Arguments {
		if a.Type.NonNull {
			args = append(args, a.Name+":"+literal(s, a.Type))
		}
	}
	q := kind + "{" + f.Name
	if len(args) > 0 {
		q += "(" + strings.Join(args, ",") + ")"
	}
	if d := s.Types[f.Type.Name()]; d.IsCompositeType() {
		q += "{__typename}"
	}
	return q + "}"
}

func TestStrangersReachWhatIsPublicAndNothingElse(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	s := schema(t)
	for kind, root := range map[string]*ast.Definition{"query": s.Query, "mutation": s.Mutation, "subscription": s.Subscription} {
		for _, f := range root.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			a := w.as("", operation(s, kind, f), nil)
			if refused := a.Status == http.StatusUnauthorized && a.code() == "UNAUTHENTICATED"; refused == open[f.Name] {
				t.Errorf("%s.%s: %d %s", root.Name, f.Name, a.Status, a.Body)
			}
			if kind != "subscription" {
				continue
			}
			a = w.post(w.URL, http.Header{"Accept": {"text/event-stream"}}, operation(s, kind, f), nil)
			if a.Status != http.StatusUnauthorized {
				t.Errorf("events of %s: %d %s", f.Name, a.Status, a.Body)
			}
		}
	}
	if a := w.as("", `mutation{signIn(input:{login:"zhouhang",password:"wrong password"}){token} publishWorkflow(input:{yaml:"x",idempotencyKey:"12345678"}){__typename}}`, nil); a.code() != "UNAUTHENTICATED" {
		t.Error("a public field beside a private one opens it: " + a.Body)
	}
	if a := w.as("", `{__schema{types{name}}}`, nil); a.code() != "FORBIDDEN" {
		t.Error("strangers get the schema by introspection: " + a.Body)
	}
	w.good("pan", `{__schema{types{name}}}`, nil)
}

func TestTokensReachTheirScopesOnly(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	req := w.purchase("zhouhang", "光模块", 68000)
	token, _, err := w.auth.MintToken(bg, w.people["zhouhang"], auth.NewToken{Name: "screen", Scopes: []string{"netmon:read"}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q string, v vars) answer {
		return w.post(w.URL, http.Header{"Authorization": {"Bearer " + token}}, q, v)
	}
	if a := ask(`{hosts{id} status{hosts} viewer{person{name}}}`, nil); a.Status != 200 || len(a.Errors) > 0 || a.at("viewer", "person", "name") != "周航" {
		t.Error(a.Body)
	}
	for _, q := range []string{`{inbox{edges{cursor}}}`, `{hosts{id} repairTickets{edges{cursor}}}`, `mutation{signOut(everywhere:true){done}}`,
		`mutation{createHost(input:{nameZh:"a",nameEn:"a",address:"127.0.0.1",checks:[],idempotencyKey:"12345678"}){__typename}}`} {
		if a := ask(q, nil); a.code() != "FORBIDDEN" || a.Data != nil {
			t.Errorf("%s: %s", q, a.Body)
		}
	}
	a := ask(`query($id:ID!){node(id:$id){id}}`, vars{"id": req.TypeID("req")})
	if a.at("node") != nil || len(a.Errors) > 0 {
		t.Error("a token for the network reads a request: " + a.Body)
	}
	if a := w.post(w.URL, http.Header{"Authorization": {"Bearer kel_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52)}}, `{units{id}}`, nil); a.Status != http.StatusUnauthorized || a.code() != "UNAUTHENTICATED" {
		t.Errorf("a token that is none is overlooked: %d %s", a.Status, a.Body)
	}
}
