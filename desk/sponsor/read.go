package sponsor

import (
	"context"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// listMax bounds reads that have no pages.
const listMax = 1000

// Organisations finds organisations by text ("" = all), by name, at most 1000.
func (s *Service) Organisations(ctx context.Context, actor org.Actor, text string) ([]Organisation, error) {
	if err := s.judge(ctx, actor); err != nil {
		return nil, err
	}
	var rows []Organisation
	q := s.db.R.NewSelect().Model(&rows).OrderExpr("name").Limit(listMax)
	for _, p := range store.SearchTerms(text) {
		q = q.Where(`search LIKE ? ESCAPE '\'`, p)
	}
	err := q.Scan(ctx)
	return rows, noRows(err)
}

// OrganisationsByID reads organisations for loaders.
func (s *Service) OrganisationsByID(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]*Organisation, error) {
	if err := s.judge(ctx, actor); err != nil || len(ids) == 0 {
		return nil, err
	}
	var rows []Organisation
	err := noRows(s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx))
	out := map[id.ID]*Organisation{}
	for i := range rows {
		out[rows[i].ID] = &rows[i]
	}
	return out, err
}

// ContactView is a person at an organisation.
type ContactView struct {
	ID                             id.ID
	Name, Phone, Email, WeChat, QQ string // org.Erased and "" once erased
}

// Contacts shows the people of an organisation; the look is audited.
func (s *Service) Contacts(ctx context.Context, actor org.Actor, organisation id.ID) ([]ContactView, error) {
	now := s.clock.Now()
	var out []ContactView // not the outcome: it is never stored
	_, err := store.InTx(ctx, s.db, store.Internal("sponsorContacts"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		out = nil
		a, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.rules.Check(a, actLook, org.Object{Unit: "liaison"}); err != nil {
			return struct{}{}, err
		}
		var ids []id.ID
		err = tx.NewSelect().Model((*Contact)(nil)).Column("id").Where("organisation = ?", organisation).OrderExpr("created_at, id").Limit(listMax).Scan(ctx, &ids)
		if err != nil && !store.NoRows(err) {
			return struct{}{}, err
		}
		values, err := org.PersonalOf(ctx, tx, ids...)
		if err != nil {
			return struct{}{}, err
		}
		for _, c := range ids {
			v := values[c]
			name := v[FieldName]
			if name == "" {
				name = org.Erased
			}
			out = append(out, ContactView{c, name, v[FieldPhone], v[FieldEmail], v[FieldWeChat], v[FieldQQ]})
		}
		if len(ids) > 0 {
			audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: actLook, Object: outbox.Ref{Kind: "out", ID: organisation}, At: now})
		}
		return struct{}{}, nil
	})
	return out, err
}

// PledgeFilter narrows the list of pledges.
type PledgeFilter struct {
	State        State // "" = all
	Organisation id.ID // zero = all
	Spendable    bool  // received cash with something left
}

// Pledges lists pledges, newest first. next is the cursor of the following
// page, "" = none.
func (s *Service) Pledges(ctx context.Context, actor org.Actor, f PledgeFilter, page store.Page) (rows []Pledge, next string, err error) {
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	if err := s.judge(ctx, actor); err != nil {
		return nil, "", err
	}
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).OrderExpr("created_at DESC, id DESC").Limit(int64(page.First) + 1)
	if f.State != "" {
		q = q.Where("state = ?", f.State)
	}
	if !f.Organisation.IsZero() {
		q = q.Where("organisation = ?", f.Organisation)
	}
	if f.Spendable {
		q = q.Where("kind = 'CASH' AND received > allocated")
	}
	if !last.IsZero() {
		q = q.Where("(created_at, id) < (?, ?)", at, last)
	}
	if err := noRows(q.Scan(ctx)); err != nil {
		return nil, "", err
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].CreatedAt, rows[page.First-1].ID)
	}
	return rows, next, nil
}

// PledgeByID reads one pledge.
func (s *Service) PledgeByID(ctx context.Context, actor org.Actor, pledge id.ID) (*Pledge, error) {
	if err := s.judge(ctx, actor); err != nil {
		if fault.Is(err, fault.Forbidden) {
			return nil, fault.Missing()
		}
		return nil, err
	}
	p, err := s.load(ctx, s.db.R, pledge)
	return p, store.Busy(err)
}

// LedgerFilter narrows the ledger.
type LedgerFilter struct {
	Pledge   id.ID // zero = all
	Purchase id.ID // zero = all
}

// Ledger lists entries, newest first.
func (s *Service) Ledger(ctx context.Context, actor org.Actor, f LedgerFilter, page store.Page) (rows []Entry, next string, err error) {
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	if err := s.judge(ctx, actor); err != nil {
		return nil, "", err
	}
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).OrderExpr("at DESC, id DESC").Limit(int64(page.First) + 1)
	if !f.Pledge.IsZero() {
		q = q.Where("pledge = ?", f.Pledge)
	}
	if !f.Purchase.IsZero() {
		q = q.Where("purchase = ?", f.Purchase)
	}
	if !last.IsZero() {
		q = q.Where("(at, id) < (?, ?)", at, last)
	}
	if err := noRows(q.Scan(ctx)); err != nil {
		return nil, "", err
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].At, rows[page.First-1].ID)
	}
	return rows, next, nil
}

// Balance is what stands on an account; what a sponsor gave is negative there.
type Balance struct {
	Account string
	Amount  int64 // fen
}

// Balances gives every account that is not empty, by name. They sum to zero.
func (s *Service) Balances(ctx context.Context, actor org.Actor) ([]Balance, error) {
	if err := s.judge(ctx, actor); err != nil {
		return nil, err
	}
	var rows []Balance
	err := s.db.R.NewRaw(`SELECT account, sum(amount) AS amount FROM ledger_leg GROUP BY account HAVING sum(amount) <> 0 ORDER BY account`).Scan(ctx, &rows)
	return rows, noRows(err)
}

// LedgerSum adds up both sides of every entry: zero.
func (s *Service) LedgerSum(ctx context.Context, actor org.Actor) (int64, error) {
	if err := s.judge(ctx, actor); err != nil {
		return 0, err
	}
	var n int64
	err := s.db.R.NewRaw(`SELECT COALESCE(sum(amount), 0) FROM ledger_leg`).Scan(ctx, &n)
	return n, store.Busy(err)
}

// ThanksOf lists the thanks owed and done for pledges, oldest first; none given
// means all that are still owed.
func (s *Service) ThanksOf(ctx context.Context, actor org.Actor, pledges ...id.ID) ([]Thanks, error) {
	if err := s.judge(ctx, actor); err != nil {
		return nil, err
	}
	var rows []Thanks
	q := s.db.R.NewSelect().Model(&rows).OrderExpr("owed_at, id").Limit(listMax)
	if len(pledges) == 0 {
		q = q.Where("done_at IS NULL AND void_at IS NULL")
	} else {
		q = q.Where("pledge IN (?)", bun.List(pledges))
	}
	err := q.Scan(ctx)
	return rows, noRows(err)
}

// Overdue lists agreed pledges that should have come by now, oldest first.
func (s *Service) Overdue(ctx context.Context, actor org.Actor, now time.Time) ([]Pledge, error) {
	if err := s.judge(ctx, actor); err != nil {
		return nil, err
	}
	var rows []Pledge
	err := s.db.R.NewSelect().Model(&rows).Where("state = ?", Agreed).Where("due_at <= ?", now).OrderExpr("due_at, id").Limit(listMax).Scan(ctx)
	return rows, noRows(err)
}

// MayRead says whether the actor may see pledges, entries and thanks, for
// traces.
func (s *Service) MayRead(ctx context.Context, actor org.Actor) (bool, error) {
	err := s.judge(ctx, actor)
	if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Unauthenticated) {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) judge(ctx context.Context, actor org.Actor) error {
	a, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return err
	}
	return s.rules.Check(a, actRead, org.Object{Unit: "liaison"})
}

func noRows(err error) error {
	if store.NoRows(err) {
		return nil
	}
	return store.Busy(err)
}

// Brief gives what of a pledge may be said to anybody at all: its number, kind
// and state. An absent one is fault.Missing.
func (s *Service) Brief(ctx context.Context, q bun.IDB, pledge id.ID) (number string, kind Kind, state State, err error) {
	var p Pledge
	err = q.NewSelect().Model(&p).Column("number", "kind", "state").Where("id = ?", pledge).Scan(ctx)
	if store.NoRows(err) {
		return "", "", "", fault.Missing()
	}
	return p.Number, p.Kind, p.State, store.Busy(err)
}
