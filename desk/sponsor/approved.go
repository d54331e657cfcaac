package sponsor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// EffectAgree is the on_approved effect that makes terms an agreement.
const EffectAgree = "sponsor.agree"

// Effects are the on_approved effects that this desk handles.
func Effects() []string { return []string{EffectAgree} }

// agreedWithin is when a pledge is to come whose terms name no day.
const agreedWithin = 30 * 24 * time.Hour

// OnApprovedAgree handles workflow.approved with the effect sponsor.agree: the
// pledge that the form names becomes AGREED; where it names none, the pledge is
// opened and so is its organisation. A request that has its pledge already is
// left alone.
func (s *Service) OnApprovedAgree(ctx context.Context, d outbox.Delivery) error {
	var in struct {
		Request id.ID  `json:"request"`
		Effect  string `json:"effect"`
	}
	if err := d.Decode(&in); err != nil {
		return err
	}
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		if in.Effect != EffectAgree {
			return Outcome{}, nil
		}
		form, meta, err := s.Requests.Form(ctx, tx, in.Request)
		if fault.Is(err, fault.NotFound) || err == nil && meta.Status != "APPROVED" {
			return Outcome{}, nil
		}
		if err != nil {
			return Outcome{}, err
		}
		p, fresh, err := s.pledgeOf(ctx, tx, form, in.Request, now)
		if err != nil || p == nil {
			return Outcome{}, err
		}
		if p.Owner.IsZero() {
			p.Owner = meta.Requester
		}
		if p.State, err = Next(ActAgree, p.State); err != nil {
			return Outcome{}, outbox.Permanent(err)
		}
		p.Amount, p.DueAt, p.Returns = number(form["amount"]), now.Add(agreedWithin), returnsOf(form)
		p.ChangedAt, p.Version = now, p.Version+1
		overdueAt(tx, p.ID, p.DueAt)
		audit.Record(tx, audit.Entry{Action: EffectAgree, Object: p.Ref(), Data: map[string]any{"amount": p.Amount}, At: now})
		outbox.Link(tx, outbox.Ref{Kind: "req", ID: in.Request}, p.Ref(), "agrees", now)
		changed(tx, p)
		if fresh {
			r := store.NewReads(tx)
			number := s.askNumber(r, now)
			if err := r.Run(ctx); err != nil {
				return Outcome{}, err
			}
			p.Number = number()
			tx.Queue(tx.DB.Bun().NewInsert().Model(p))
		} else {
			tx.Queue(tx.DB.Bun().NewUpdate().Model(p).WherePK())
		}
		return Outcome{p.ID, p.State, p.Version}, nil
	})
	return err
}

// pledgeOf is the pledge that the form names, or a fresh one; nil when the
// request has made one before.
func (s *Service) pledgeOf(ctx context.Context, tx *store.Tx, form map[string]any, request id.ID, now time.Time) (p *Pledge, fresh bool, err error) {
	have, err := outbox.Linked(ctx, tx, request, "plg")
	if err != nil || have {
		return nil, false, err
	}
	if lead, _ := form["lead"].(string); lead != "" {
		if key, err := id.Parse("plg", lead); err == nil {
			r := store.NewReads(tx)
			locked := s.askPledge(r, tx, key)
			if err := r.Run(ctx); err != nil {
				return nil, false, err
			}
			p, _, err := locked()
			if err == nil && (p.State == Lead || p.State == Contacted || p.State == Negotiating) {
				touch(tx, p.Organisation, now)
				return p, false, nil
			}
			if err != nil && !fault.Is(err, fault.NotFound) {
				return nil, false, err
			}
		}
	}
	company, _ := form["company"].(string)
	organisation, err := s.organisation(ctx, tx, strings.TrimSpace(company), now)
	kind := map[any]Kind{"goods": Goods, "service": InKind}[form["kind"]]
	if kind == "" {
		kind = Cash
	}
	return &Pledge{ID: id.New(), Organisation: organisation, Kind: kind, State: Lead, Version: 0, CreatedAt: now}, true, err
}

// organisation finds the company by its name, or adds it.
func (s *Service) organisation(ctx context.Context, tx *store.Tx, name string, now time.Time) (id.ID, error) {
	var found []Organisation
	err := tx.NewSelect().Model(&found).Where("name = ?", name).Limit(1).Scan(ctx)
	if err := noRows(err); err != nil {
		return id.Nil, err
	}
	if len(found) > 0 {
		touch(tx, found[0].ID, now)
		return found[0].ID, nil
	}
	row := &Organisation{ID: id.New(), Kind: Company, Name: name, Search: store.SearchText(name), TouchedAt: now, CreatedAt: now}
	tx.Queue(tx.DB.Bun().NewInsert().Model(row))
	return row.ID, nil
}

// askNumber takes the next number of the local year.
func (s *Service) askNumber(r *store.Reads, now time.Time) func() string {
	year := now.In(s.Location).Year()
	var n []int64
	r.SQL(&n, `INSERT INTO counter (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value`,
		fmt.Sprintf("pledge %d", year))
	return func() string { return fmt.Sprintf("赞助 %d-%04d", year, n[0]) }
}

func returnsOf(form map[string]any) string {
	var out []string
	list, _ := form["returns"].([]any)
	for _, r := range list {
		if m, ok := r.(map[string]any); ok {
			what, _ := m["what"].(string)
			out = append(out, what)
		}
	}
	text := []rune(strings.Join(out, "；"))
	return string(text[:min(len(text), 500)])
}

func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case int:
		return int64(v)
	case float64:
		return int64(v)
	case interface{ Int64() (int64, error) }:
		n, _ := v.Int64()
		return n
	}
	return 0
}

// Cards reads entries and thanks among ids for those who may see pledges.
func (s *Service) Cards(ctx context.Context, actor org.Actor, ids ...id.ID) (entries map[id.ID]Entry, thanks map[id.ID]Thanks, pledges map[id.ID]Pledge, err error) {
	if ok, err := s.MayRead(ctx, actor); err != nil || !ok || len(ids) == 0 {
		return nil, nil, nil, err
	}
	var es []Entry
	var ts []Thanks
	var ps []Pledge
	for _, q := range []*bun.SelectQuery{s.db.R.NewSelect().Model(&es), s.db.R.NewSelect().Model(&ts), s.db.R.NewSelect().Model(&ps)} {
		if err := noRows(q.Where("id IN (?)", bun.List(ids)).Scan(ctx)); err != nil {
			return nil, nil, nil, err
		}
	}
	entries, thanks, pledges = map[id.ID]Entry{}, map[id.ID]Thanks{}, map[id.ID]Pledge{}
	for _, e := range es {
		entries[e.ID] = e
	}
	for _, t := range ts {
		thanks[t.ID] = t
	}
	for _, p := range ps {
		pledges[p.ID] = p
	}
	return entries, thanks, pledges, nil
}
