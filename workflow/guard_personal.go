package workflow

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
)

// apart says that the field is kept apart from the form, where whatever reads
// a stored form does not find it: it is personal, lies in something personal,
// or is a list with something personal in its entries.
func (f *Form) apart(pointer string) bool {
	return slices.ContainsFunc(f.Personal(), func(x Field) bool {
		leaf, _, _ := strings.Cut(x.Pointer, "/*") // lists are kept whole
		return pointer == leaf || strings.HasPrefix(pointer, leaf+"/")
	})
}

// personal finds the first personal field that the condition reads, and where
// in its expression, line and column from 1.
func (c guard) personal(f *Form) (pointer string, line, col int) {
	native := c.ast.NativeRep()
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		p := pointerOf(e)
		if pointer != "" || p == "" || !f.apart(p) {
			return
		}
		at := native.SourceInfo().GetStartLocation(e.ID())
		pointer, line, col = p, at.Line(), at.Column()+1
	}))
	return pointer, line, col
}

// pointerOf is the field of the form that an expression names; empty: none.
// Both name and form.name mean /name.
func pointerOf(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return "/" + e.AsIdent()
	case ast.SelectKind:
		s := e.AsSelect()
		if above := pointerOf(s.Operand()); above != "" {
			return strings.TrimPrefix(above, "/form") + "/" + s.FieldName()
		}
	}
	return ""
}
