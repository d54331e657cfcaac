package auth

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Claim is what a newcomer enters at the claim link.
type Claim struct{ Token, Number, Name, Password string }

// refusedClaim is the one answer to a number that is not on the list, a name
// that does not go with it and an account that is claimed already.
func refusedClaim() error {
	return fault.Refuse("CLAIM_REFUSED", "学号和姓名对不上，或者已被认领；请找部长或办公室", "the number and name do not match the list, or were claimed already; ask the head of your unit or the office")
}

// Claim makes the account of somebody on an imported list. It waits until the
// head of the unit has confirmed it. Wrong guesses count against the number
// and the address as at sign-in.
func (s *Service) Claim(ctx context.Context, in Claim, address netip.Addr) error {
	l, err := s.link(ctx, s.db.R, in.Token, LinkClaim)
	if err != nil {
		return err
	}
	number := strings.TrimSpace(in.Number)
	if err := CheckPassword(in.Password, number); err != nil {
		return err
	}
	g, err := s.guard(ctx, "claim "+number, address)
	if err != nil {
		return err
	}
	if err := g.admit(ctx, s.clock.Now()); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, in.Password)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	_, err = inTx(ctx, s, "auth.claim", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if err := g.passed(ctx, tx, now); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.claim(ctx, tx, l, number, strings.TrimSpace(in.Name), hash, now)
	})
	if store.IsUnique(err, "account") {
		err = refusedClaim()
	}
	if fault.IsRule(err, "CLAIM_REFUSED") {
		if e := g.failed(ctx, s.clock.Now()); e != nil {
			return e
		}
	}
	return err
}

func (s *Service) claim(ctx context.Context, tx *store.Tx, l link, number, name, hash string, now time.Time) error {
	var rows []struct {
		ID      id.ID
		Person  id.ID
		Name    string
		Account string
		Seat    string
		Unit    id.ID
	}
	err := tx.NewRaw(`SELECT r.id, r.person_id AS person, m.value AS name, coalesce(a.state, '') AS account, seat.name AS seat, seat.unit_id AS unit FROM roster AS r
		JOIN personal AS n ON n.subject = r.person_id AND n.field = 'number' JOIN personal AS m ON m.subject = r.person_id AND m.field = 'name'
		JOIN seat ON seat.id = r.seat_id LEFT JOIN account AS a ON a.person_id = r.person_id
		WHERE r.link_id = ? AND r.state = 'WAITING' AND lower(n.value) = ?`, l.ID, strings.ToLower(number)).Scan(ctx, &rows)
	if err != nil && !store.NoRows(err) {
		return err
	}
	if len(rows) == 0 || rows[0].Name != name || rows[0].Account != "" && AccountState(rows[0].Account) != Closed {
		return refusedClaim()
	}
	who := rows[0].Person
	if err := s.freeNumber(ctx, tx, number, who); err != nil {
		return err
	}
	acc := account{PersonID: who, Login: canonical(number), Password: hash, State: Pending, ChangedAt: now, CreatedAt: now}
	tx.Queue(s.db.Bun().NewInsert().Model(&acc).On("CONFLICT (person_id) DO UPDATE").
		Set("password = EXCLUDED.password, state = EXCLUDED.state, changed_at = EXCLUDED.changed_at").Where("account.state = 'CLOSED'"))
	for _, r := range rows {
		tx.QueueSQL(`UPDATE roster SET state = 'CLAIMED', claimed_at = ? WHERE id = ? AND state = 'WAITING'`, now, r.ID)
		claimed(tx, r.Unit, r.Seat)
	}
	s.record(tx, org.Actor{Person: who}, "", "auth.claim", who, map[string]any{"roster": l.ID}, now)
	return nil
}

// freeNumber refuses a number that is somebody else's chosen login.
func (s *Service) freeNumber(ctx context.Context, tx *store.Tx, number string, who id.ID) error {
	var n int
	err := tx.NewRaw(`SELECT count(*) FROM account WHERE login = ? AND person_id <> ?`, canonical(number), who).Scan(ctx, &n)
	if err == nil && n > 0 {
		err = loginTaken()
	}
	return err
}

// PendingClaim is a newcomer who waits for the head of the unit.
type PendingClaim struct {
	ID      id.ID
	Person  id.ID
	Name    string
	Seat    string
	Unit    string
	TitleZh string
	TitleEn string
	Kind    org.TenureKind
	Claimed time.Time
	Role    org.Role
}

// PendingClaims lists those whom the actor may confirm, the oldest first.
func (s *Service) PendingClaims(ctx context.Context, actor org.Actor) ([]PendingClaim, error) {
	now := s.clock.Now()
	a, err := s.judge(ctx, s.db.R, actor, now)
	if err != nil {
		return nil, err
	}
	all, err := s.pending(ctx, s.db.R, nil)
	var out []PendingClaim
	for _, c := range all {
		if s.rules.Can(a, "auth.claim.confirm", c.object()) {
			out = append(out, c)
		}
	}
	return out, err
}

func (c PendingClaim) object() org.Object {
	return org.Object{Unit: c.Unit, Owner: c.Person, State: rankOf(c.Unit, c.Role)}
}

// pending reads claims; ids nil = all.
func (s *Service) pending(ctx context.Context, q bun.IDB, ids []id.ID) ([]PendingClaim, error) {
	var rows []PendingClaim
	sel := q.NewSelect().TableExpr("roster AS r").
		ColumnExpr("r.id, r.person_id AS person, coalesce(m.value, ?) AS name, seat.name AS seat, unit.code AS unit, seat.title_zh, seat.title_en, r.kind, r.claimed_at AS claimed, seat.role", org.Erased).
		Join("JOIN seat ON seat.id = r.seat_id").Join("JOIN unit ON unit.id = seat.unit_id").
		Join("LEFT JOIN personal AS m ON m.subject = r.person_id AND m.field = 'name'").
		Where("r.state = 'CLAIMED'").OrderExpr("r.claimed_at, r.id")
	if ids != nil {
		sel = sel.Where("r.id IN (?)", bun.List(ids))
	}
	err := sel.Scan(ctx, &rows)
	if store.NoRows(err) {
		err = nil
	}
	return rows, store.Busy(err)
}

// ConfirmClaims is the head's answer to newcomers.
type ConfirmClaims struct {
	IdempotencyKey string
	Confirm        []id.ID // of PendingClaim
	Refuse         []id.ID // somebody else took the number, or is not meant
}

// Confirmed says what became of each.
type Confirmed struct {
	Confirmed []id.ID
	Refused   []id.ID
	Failed    []FailedClaim
}

// FailedClaim is one that could not be confirmed, e.g. SEAT_FULL.
type FailedClaim struct {
	ID     id.ID
	Reason string
}

// ConfirmClaims opens the accounts and begins the tenures of those confirmed,
// and puts those refused back to be claimed again, without the password that
// was set. A claim that is not the actor's to confirm refuses the whole.
func (s *Service) ConfirmClaims(ctx context.Context, actor org.Actor, in ConfirmClaims) (Confirmed, error) {
	now := s.clock.Now()
	ids := append(append([]id.ID{}, in.Confirm...), in.Refuse...)
	if len(ids) == 0 || len(ids) > 500 {
		return Confirmed{}, fault.Input("confirm", "请选择 1 到 500 人", "choose 1 to 500 people")
	}
	cmd := store.FromClient(s.db, actor.Person, "confirmClaims", in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Confirmed, error) {
		var out Confirmed
		a, err := s.judge(ctx, tx, actor, now)
		if err != nil {
			return out, err
		}
		found, err := s.pending(ctx, tx, ids)
		if err != nil {
			return out, err
		}
		claims := map[id.ID]PendingClaim{}
		for _, c := range found {
			claims[c.ID] = c
		}
		for i, row := range ids {
			c, ok := claims[row]
			if !ok {
				return Confirmed{}, fault.Missing()
			}
			delete(claims, row) // one answer each
			o := c.object()
			if !s.rules.Can(a, "auth.claim.confirm", o) {
				return Confirmed{}, fault.Missing() // as PendingClaims, which does not list it
			}
			by := audit.Entry{Actor: a.Person, Seat: s.rules.Under(a, "auth.claim.confirm", o), At: now}
			if i >= len(in.Confirm) {
				s.putBack(tx, a, by, c)
				out.Refused = append(out.Refused, row)
				continue
			}
			err := s.confirm(ctx, tx, a, by, c)
			if e, ok := fault.As(err); ok && e.Code == fault.Rule {
				out.Failed = append(out.Failed, FailedClaim{row, e.Reason})
				continue
			}
			if err != nil {
				return Confirmed{}, err
			}
			out.Confirmed = append(out.Confirmed, row)
		}
		return out, nil
	})
}

func (s *Service) confirm(ctx context.Context, tx *store.Tx, a org.Actor, by audit.Entry, c PendingClaim) error {
	var seat id.ID
	if err := tx.NewRaw(`SELECT seat_id FROM roster WHERE id = ?`, c.ID).Scan(ctx, &seat); err != nil {
		return err
	}
	err := org.Appoint(ctx, tx, org.Tenure{ID: id.New(), SeatID: seat, PersonID: c.Person, Kind: c.Kind, From: by.At}, by)
	if err != nil {
		return err
	}
	tx.QueueSQL(`UPDATE account SET state = 'ACTIVE' WHERE person_id = ? AND state = 'PENDING'`, c.Person)
	tx.QueueSQL(`UPDATE roster SET state = 'CONFIRMED', confirmed_by = ? WHERE id = ?`, a.Person, c.ID)
	tx.QueueSQL(`UPDATE personal SET until = NULL WHERE subject = ?`, c.Person) // in office: no longer kept for a while only
	s.record(tx, a, by.Seat, "auth.claim.confirm", c.Person, map[string]any{"seat": c.Seat}, by.At)
	return tx.Flush(ctx)
}

// putBack takes a claim back: whoever set the password loses the account.
func (s *Service) putBack(tx *store.Tx, a org.Actor, by audit.Entry, c PendingClaim) {
	tx.QueueSQL(`UPDATE roster SET state = 'WAITING', claimed_at = NULL WHERE person_id = ? AND state = 'CLAIMED'
		AND EXISTS (SELECT 1 FROM account WHERE account.person_id = roster.person_id AND account.state = 'PENDING')`, c.Person)
	tx.QueueSQL(`DELETE FROM roster WHERE id = ? AND state = 'CLAIMED'`, c.ID) // of an account in use: only this seat is refused
	tx.QueueSQL(`DELETE FROM account WHERE person_id = ? AND state = 'PENDING'`, c.Person)
	s.record(tx, a, by.Seat, "auth.claim.refuse", c.Person, map[string]any{"seat": c.Seat}, by.At)
}
