package graph_test

import (
	"testing"

	"kelian/graph"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

func schema(t testing.TB) *ast.Schema {
	t.Helper()
	s, err := gqlparser.LoadSchema(&ast.Source{Name: "sdl", Input: graph.SDL()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSchemaIsTextThatToolsRead(t *testing.T) {
	s := schema(t)
	if s.Query.Fields.ForName("inbox") == nil || s.Mutation.Fields.ForName("decideTask") == nil || s.Subscription.Fields.ForName("inboxChanged") == nil {
		t.Error("a root field is missing")
	}
	for name, d := range s.Types {
		if d.BuiltIn {
			continue
		}
		for _, f := range d.Fields {
			root := d == s.Query || d == s.Mutation || d == s.Subscription
			if f.Name[0] != '_' && f.Description == "" && root {
				t.Errorf("%s.%s is not described", name, f.Name)
			}
		}
	}
}
