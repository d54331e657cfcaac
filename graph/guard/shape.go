package guard

import (
	"context"

	"kelian/internal/fault"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
)

// Validation compares every two fields that will be merged into one, and the
// budget is only asked afterwards: 1,990 times the same field, within the
// token limit, cost 1.4 s of processor time. So a text that is seen for the
// first time is parsed and measured before it is validated.
const (
	// maxExpanded is the number of selections in the whole document, each
	// definition with its fragments written out. The longest honest query is
	// that of tools for introspection, about 300.
	maxExpanded = 2000
	// maxSame is how often one field may be asked for at one place of the
	// answer.
	maxSame = 30
)

// shape measures a document.
type shape struct {
	doc   *ast.QueryDocument
	total int
	place map[step]int // where a name at a place leads
	count map[int]int  // selections that meet there
	open  map[string]bool
}

type step struct {
	from int
	name string
}

// MutateOperationParameters implements graphql.OperationParameterMutator.
func (b budget) MutateOperationParameters(ctx context.Context, p *graphql.RawParams) *gqlerror.Error {
	if _, known := b.h.queries.Get(ctx, p.Query); known {
		return nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: p.Query}, b.h.opt.Limits.Tokens)
	if err != nil || doc == nil {
		return nil // the executor says what is wrong with it
	}
	s := shape{doc: doc, open: map[string]bool{}}
	for _, op := range doc.Operations {
		if err := s.definition(op.SelectionSet); err != nil {
			return wrap(err)
		}
	}
	for _, f := range doc.Fragments {
		if err := s.definition(f.SelectionSet); err != nil {
			return wrap(err)
		}
	}
	return nil
}

func (s *shape) definition(sel ast.SelectionSet) *fault.Error {
	s.place, s.count = map[step]int{}, map[int]int{}
	return s.set(sel, 0)
}

func (s *shape) set(sel ast.SelectionSet, at int) *fault.Error {
	for _, x := range sel {
		if s.total++; s.total > maxExpanded {
			return complexity("展开后字段超过 %d 个", "more than %d fields after expansion", maxExpanded)
		}
		var err *fault.Error
		switch x := x.(type) {
		case *ast.Field:
			err = s.field(x, at)
		case *ast.InlineFragment:
			err = s.set(x.SelectionSet, at)
		case *ast.FragmentSpread:
			// A cycle or an unknown name is for the validation to name.
			if f := s.doc.Fragments.ForName(x.Name); f != nil && !s.open[x.Name] {
				s.open[x.Name] = true
				err = s.set(f.SelectionSet, at)
				s.open[x.Name] = false
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *shape) field(f *ast.Field, at int) *fault.Error {
	k := step{at, f.Alias}
	to, ok := s.place[k]
	if !ok {
		to = len(s.place) + 1
		s.place[k] = to
	}
	if s.count[to]++; s.count[to] > maxSame {
		return complexity("同一个字段重复超过 %d 次", "the same field more than %d times", maxSame)
	}
	return s.set(f.SelectionSet, to)
}
