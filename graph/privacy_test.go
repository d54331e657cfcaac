package graph_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/notify"
	"kelian/workflow"

	"github.com/vektah/gqlparser/v2/ast"
)

// canary stands in every text that somebody without a seat in the matter must
// not read.
const canary = "CANARY"

// typeOf are the types of the schema behind the prefixes of identifiers.
var typeOf = map[string]string{"req": "Request", "tsk": "Task", "dec": "Decision", "tkt": "RepairTicket", "asg": "Assignment",
	"pur": "Purchase", "plg": "Pledge", "out": "Organisation", "ntf": "Notification"}

// secrets makes one object of each kind and gives who may read it, by its
// identifier.
func (w *world) secrets() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	ticket := w.tickets(1)[0]
	out[ticket.TypeID("tkt")] = "qin"
	asked, err := w.repair.Assignments(bg, w.actor("qin"), ticket)
	if err != nil {
		w.t.Fatal(err)
	}
	out[asked[0].ID.TypeID("asg")] = "qin"

	req := w.purchase("zhouhang", canary, 100)
	w.decide("songlan", req, workflow.Approve, canary)
	v, err := w.workflow.Request(bg, w.actor("zhouhang"), req)
	if err != nil {
		w.t.Fatal(err)
	}
	out[req.TypeID("req")] = "zhouhang"
	out[v.Steps[0].Tasks[0].ID.TypeID("tsk")], out[v.Steps[0].Tasks[0].Decision.ID.TypeID("dec")] = "zhouhang", "zhouhang"

	var purchase *property.Purchase
	note := id.Nil
	factory.InTx(w.t, w.db, func(ctx context.Context, tx *store.Tx) (err error) {
		notify.Put(tx, notify.Message{Topic: "workflow.task", To: w.people["hejing"], Ref: outbox.Ref{Kind: "req", ID: req},
			Params: map[string]string{"number": canary, "title": canary, "step.zh": canary, "step.en": canary, "until": canary}, At: testkit.Start})
		purchase, err = w.property.CreatePurchase(ctx, tx, property.PurchaseInput{Request: req, Items: []property.PurchaseItem{{Name: canary, Quantity: 1, Amount: 100}},
			Total: 100, Owner: w.people["zhouhang"]}, testkit.Start)
		return err
	})
	if err := w.db.R.NewRaw(`SELECT id FROM notification`).Scan(bg, &note); err != nil {
		w.t.Fatal(err)
	}
	out[note.TypeID("ntf")], out[purchase.ID.TypeID("pur")] = "hejing", "hejing"

	company, err := w.sponsor.CreateOrganisation(bg, w.actor("shenyue"), sponsor.OrganisationInput{Kind: sponsor.Company, Name: canary + " Ltd", IdempotencyKey: w.key()})
	if err != nil {
		w.t.Fatal(err)
	}
	pledge, err := w.sponsor.CreatePledge(bg, w.actor("shenyue"), sponsor.PledgeInput{Organisation: company, Kind: sponsor.Cash, Amount: 1, Returns: canary, IdempotencyKey: w.key()})
	if err != nil {
		w.t.Fatal(err)
	}
	out[company.TypeID("out")], out[pledge.Pledge.TypeID("plg")] = "shenyue", "shenyue"
	return out
}

// whole selects everything of a type, three levels deep.
func whole(s *ast.Schema, d *ast.Definition, depth int) string {
	var b strings.Builder
	b.WriteString("{__typename")
	for _, f := range d.Fields {
		child := s.Types[f.Type.Name()]
		switch {
		case strings.HasPrefix(f.Name, "__") || len(f.Arguments) > 0:
		case child.Kind == ast.Object && depth > 0:
			b.WriteString(" " + f.Name + whole(s, child, depth-1))
		case !child.IsCompositeType():
			b.WriteString(" " + f.Name)
		}
	}
	return b.String() + "}"
}

var requestID = regexp.MustCompile(`rq_[0-9a-z]{26}`)

func TestNobodyReadsWhatIsNotTheirs(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	s := schema(t)
	secrets := w.secrets()
	ids := make([]string, 0, len(secrets))
	for object, reader := range secrets {
		ids = append(ids, object)
		kind, _, _ := strings.Cut(object, "_")
		q := `query($id:ID!){node(id:$id){... on ` + typeOf[kind] + whole(s, s.Types[typeOf[kind]], 2) + `}}`
		if a := w.good(reader, q, vars{"id": object}); a.at("node", "id") != object || kind != "asg" && kind != "tsk" && !strings.Contains(a.Body, canary) {
			t.Errorf("%s does not read %s: %s", reader, kind, a.Body)
		}
		a := w.good("pan", q, vars{"id": object})
		absent := w.good("pan", q, vars{"id": id.New().TypeID(kind)})
		if a.at("node") != nil || plain(a) != plain(absent) {
			t.Errorf("%s: somebody else's answers %s, none %s", kind, a.Body, absent.Body)
		}
	}
	a := w.good("pan", `query($ids:[ID!]!){nodes(ids:$ids){id}}`, vars{"ids": ids})
	for i := range ids {
		if a.at("nodes", i) != nil {
			t.Error(a.Body)
		}
	}
	for _, f := range s.Query.Fields {
		if strings.HasPrefix(f.Name, "__") {
			continue
		}
		t.Run(f.Name, func(t *testing.T) { w.walk(t, s, f, ids) })
	}
}

// walk asks one query field for everything it may give, about every secret.
func (w *world) walk(t *testing.T, s *ast.Schema, f *ast.FieldDefinition, ids []string) {
	if len(f.Arguments) == 0 || f.Arguments.ForName("first") != nil {
		ids = []string{""}
	}
	for _, object := range ids {
		var args []string
		for _, a := range f.Arguments {
			if !a.Type.NonNull {
				continue
			}
			v := literal(s, a.Type)
			switch a.Type.Name() {
			case "ID":
				v = strings.ReplaceAll(v, v[strings.Index(v, `"`):strings.LastIndex(v, `"`)+1], fmt.Sprintf("%q", object))
			case "String":
				v = `"technical"`
			}
			args = append(args, a.Name+":"+v)
		}
		q := "{" + f.Name
		if len(args) > 0 {
			q += "(" + strings.Join(args, ",") + ")"
		}
		if d := s.Types[f.Type.Name()]; d.Kind == ast.Interface {
			q += "{__typename id}"
		} else if d.IsCompositeType() {
			q += whole(s, d, 3)
		}
		a := w.as("pan", q+"}", nil)
		if strings.Contains(a.Body, canary) || strings.Contains(a.Body, "张三丰") || strings.Contains(a.Body, "13800138") {
			t.Errorf("%s tells: %s", q, a.Body)
		}
		if c := a.code(); c == "INTERNAL" || c == "COMPLEXITY_LIMIT" || c == "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("%s: %s", q, a.Body)
		}
	}
}

// plain is an answer without what is different every time.
func plain(a answer) string { return requestID.ReplaceAllString(a.Body, "rq") }

func TestWhatIsNotTheirsIsAsGoodAsAbsentToMutations(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	s := schema(t)
	byKind := map[string]string{}
	for object := range w.secrets() {
		kind, _, _ := strings.Cut(object, "_")
		byKind[kind] = object
	}
	asked := 0
	for _, f := range s.Mutation.Fields {
		in := f.Arguments.ForName("input")
		if in == nil {
			continue
		}
		for _, field := range s.Types[in.Type.Name()].Fields {
			kind := map[string]string{"task": "tsk", "request": "req", "ticket": "tkt", "purchase": "pur", "pledge": "plg", "organisation": "out"}[field.Name]
			if kind == "" || field.Type.NamedType != "ID" || byKind[kind] == "" {
				continue
			}
			asked++
			ask := func(object string) answer {
				q := operation(s, "mutation", f)
				q = regexp.MustCompile(field.Name+`:"[^"]*"`).ReplaceAllString(q, field.Name+`:"`+object+`"`)
				q = strings.Replace(q, "{__typename}", "{userErrors{code message path}}", 1)
				return w.as("pan", q, nil)
			}
			a, absent := ask(byKind[kind]), ask(id.New().TypeID(kind))
			if c := a.code(); plain(a) != plain(absent) || c == "INTERNAL" || c == "" && a.at(f.Name, "userErrors", 0) == nil {
				t.Errorf("%s(%s): somebody else's answers %s, none %s", f.Name, field.Name, a.Body, absent.Body)
			}
		}
	}
	if asked < 15 {
		t.Errorf("only %d inputs were asked", asked)
	}
}
