// Package trace answers what led to an object and what it led to, across all
// domains, telling each viewer no more than the domains themselves would.
package trace

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// Card is an object in one line.
type Card struct {
	Zh, En string
	State  string
	At     time.Time
	Path   string // its page, "" = none
}

// Cards gives a domain's objects of one kind that the actor may see; the
// others are left out.
type Cards func(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]Card, error)

// Node is an object of a trace. Of a hidden one only kind and time are told.
type Node struct {
	Ref    outbox.Ref
	At     time.Time
	Hidden bool
	Card
}

// Edge links two nodes by their places in Result.Nodes.
type Edge struct {
	From, To int
	Kind     string
	At       time.Time
}

// Result is a trace; Nodes[0] is the object asked about.
type Result struct {
	Nodes     []Node
	Edges     []Edge
	Truncated bool
}

// Tracer knows who can describe which kind of object.
type Tracer struct {
	db    *store.DB
	cards map[string]Cards
}

// New makes a tracer over the domains' cards, by TypeID prefix.
func New(db *store.DB, cards map[string]Cards) *Tracer { return &Tracer{db: db, cards: cards} }

// Of gives the trace of an object that the actor may see: absent and foreign
// objects are the same fault.Missing.
func (t *Tracer) Of(ctx context.Context, actor org.Actor, start outbox.Ref) (Result, error) {
	own, err := t.describe(ctx, actor, []outbox.Ref{start})
	if err != nil {
		return Result{}, err
	}
	if _, ok := own[start.ID]; !ok {
		return Result{}, fault.Missing()
	}
	refs, links, truncated, err := outbox.Trace(ctx, t.db, start)
	if err != nil {
		return Result{}, err
	}
	seen, err := t.describe(ctx, actor, refs)
	if err != nil {
		return Result{}, err
	}
	at := map[id.ID]time.Time{}
	for _, l := range links {
		for _, end := range []id.ID{l.FromID, l.ToID} {
			if old, ok := at[end]; !ok || l.At.Before(old) {
				at[end] = l.At
			}
		}
	}
	res := Result{Truncated: truncated}
	place := map[id.ID]int{}
	for i, r := range refs {
		n := Node{Ref: r, At: at[r.ID], Hidden: true}
		if c, ok := seen[r.ID]; ok {
			n.Card, n.Hidden = c, false
			if !c.At.IsZero() {
				n.At = c.At
			}
		}
		place[r.ID] = i
		res.Nodes = append(res.Nodes, n)
	}
	for _, l := range links {
		res.Edges = append(res.Edges, Edge{From: place[l.FromID], To: place[l.ToID], Kind: l.Kind, At: l.At})
	}
	return res, nil
}

// Sees says whether the actor may see the object.
func (t *Tracer) Sees(ctx context.Context, actor org.Actor, ref outbox.Ref) (bool, error) {
	got, err := t.describe(ctx, actor, []outbox.Ref{ref})
	_, ok := got[ref.ID]
	return ok, err
}

// describe asks each domain once for all its objects.
func (t *Tracer) describe(ctx context.Context, actor org.Actor, refs []outbox.Ref) (map[id.ID]Card, error) {
	byKind := map[string][]id.ID{}
	for _, r := range refs {
		byKind[r.Kind] = append(byKind[r.Kind], r.ID)
	}
	out := map[id.ID]Card{}
	for kind, ids := range byKind {
		cards := t.cards[kind]
		if cards == nil {
			continue
		}
		got, err := cards(ctx, actor, ids)
		if err != nil {
			return nil, err
		}
		for k, c := range got {
			out[k] = c
		}
	}
	return out, nil
}
