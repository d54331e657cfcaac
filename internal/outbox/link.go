package outbox

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Ref names an object of any domain.
type Ref struct {
	Kind string // the TypeID prefix, e.g. "inc"
	ID   id.ID
}

// String is the TypeID.
func (r Ref) String() string { return r.ID.TypeID(r.Kind) }

// Edge is a link: from caused, paid for, or answered to.
type Edge struct {
	bun.BaseModel `bun:"table:link"`

	FromKind string
	FromID   id.ID
	ToKind   string
	ToID     id.ID
	Kind     string
	At       time.Time
}

// Link writes a link with the transaction that causes it; the same link twice
// is one. at is business time.
func Link(tx *store.Tx, from, to Ref, kind string, at time.Time) {
	tx.Queue(tx.DB.Bun().NewInsert().Model(&Edge{FromKind: from.Kind, FromID: from.ID, ToKind: to.Kind, ToID: to.ID, Kind: kind, At: at}).
		On("CONFLICT DO NOTHING"))
}

// Linked says whether the object leads to one of the kind.
func Linked(ctx context.Context, q bun.IDB, from id.ID, kind string) (bool, error) {
	ok, err := q.NewSelect().Model((*Edge)(nil)).Where("from_id = ?", from).Where("to_kind = ?", kind).Exists(ctx)
	return ok, store.Busy(err)
}

// Before is the oldest object of the kind that led to this one; id.Nil if none
// did.
func Before(ctx context.Context, q bun.IDB, to id.ID, kind string) (id.ID, error) {
	var e Edge
	err := q.NewSelect().Model(&e).Where("to_id = ?", to).Where("from_kind = ?", kind).OrderExpr("at, from_id").Limit(1).Scan(ctx)
	if store.NoRows(err) {
		return id.Nil, nil
	}
	return e.FromID, store.Busy(err)
}

// Limits of a trace.
const (
	TraceDepth = 10
	TraceNodes = 200
)

// Trace collects the links from the roots above start down to start, and the
// descendants of start only, each at most TraceDepth levels; truncated says
// that more than TraceNodes objects were found.
func Trace(ctx context.Context, db *store.DB, start Ref) (nodes []Ref, edges []Edge, truncated bool, err error) {
	seen := map[id.ID]bool{start.ID: true}
	nodes = []Ref{start}
	have := map[[2]id.ID]bool{}
	walk := func(up bool) error {
		level := []id.ID{start.ID}
		for depth := 0; depth < TraceDepth && len(level) > 0; depth++ {
			var found []Edge
			q := db.R.NewSelect().Model(&found).OrderExpr("at, from_id, to_id").Limit(2 * TraceNodes)
			if up {
				q = q.Where("to_id IN (?)", bun.List(level))
			} else {
				q = q.Where("from_id IN (?)", bun.List(level))
			}
			if err := q.Scan(ctx); err != nil {
				return store.Busy(err)
			}
			level = nil
			for _, e := range found {
				next := Ref{e.ToKind, e.ToID}
				if up {
					next = Ref{e.FromKind, e.FromID}
				}
				if !seen[next.ID] {
					if len(nodes) == TraceNodes {
						truncated = true
						continue
					}
					seen[next.ID] = true
					nodes = append(nodes, next)
					level = append(level, next.ID)
				}
				if key := [2]id.ID{e.FromID, e.ToID}; !have[key] {
					have[key] = true
					edges = append(edges, e)
				}
			}
		}
		return nil
	}
	if err = walk(true); err == nil {
		err = walk(false)
	}
	return nodes, edges, truncated, err
}
