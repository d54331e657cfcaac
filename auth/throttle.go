package auth

import (
	"context"
	"net/netip"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Limits on guessing.
const (
	failWindow   = 15 * time.Minute
	accountFails = 5                      // then locked for 1, 2, 4, 8, 15 minutes
	lockMax      = 15 * time.Minute       //
	addressFails = 20                     // then one further guess in addressPace
	addressPace  = 2 * time.Second        //
	campusFails  = 300                    // of an address that thousands share
	campusPace   = 200 * time.Millisecond //
	paceWait     = 8 * time.Second        // the longest that an attempt waits in line
)

// guard is what stands between a guess and the password.
type guard struct {
	svc          *Service
	account      string // key of the account's row
	address      string // key of the address's row, "" = not counted
	limit        int
	pace         time.Duration
	accountState throttle
	addressState throttle
}

// guard reads both counters. The account's is kept under the login as it was
// typed, whether anybody has it or not.
func (s *Service) guard(ctx context.Context, login string, address netip.Addr) (*guard, error) {
	g := &guard{svc: s, account: s.keyed("account", canonical(login)), limit: addressFails, pace: addressPace}
	if address.IsValid() {
		address = address.Unmap().WithZone("")
		for _, n := range s.campus {
			if n.Contains(address) {
				g.limit, g.pace = campusFails, campusPace
			}
		}
		bits := 32
		if address.Is6() {
			bits = 64 // what one subscriber gets
		}
		if p, err := address.Prefix(bits); err == nil {
			g.address = s.keyed("address", p.String())
		}
	}
	var rows []throttle
	err := s.db.R.NewSelect().Model(&rows).Where("key IN (?)", bun.List([]string{g.account, g.address})).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	for _, r := range rows {
		if r.Key == g.account {
			g.accountState = r
		} else {
			g.addressState = r
		}
	}
	return g, nil
}

// admit refuses while the account is locked. Beyond the limit of an address,
// attempts at accounts where somebody failed of late wait their turn. The first
// attempt at an account passes: that is what everybody who knows the password
// makes, and all that it leaves to somebody who goes from account to account
// is one guess at each in 15 minutes, less than the account itself allows.
func (g *guard) admit(ctx context.Context, now time.Time) error {
	if until := g.accountState.Until; until.After(now) {
		return slow(until.Sub(now))
	}
	over := g.addressState.Fails >= g.limit && now.Before(g.addressState.Since.Add(failWindow))
	if g.address == "" || !over || forgotten(g.accountState, now) {
		return nil
	}
	wait, err := inTx(ctx, g.svc, "auth.pace", func(ctx context.Context, tx *store.Tx) (time.Duration, error) {
		var row throttle
		err := tx.NewRaw(`SELECT * FROM throttle WHERE key = ? ?`, g.address, g.svc.db.Lock(false)).Scan(ctx, &row)
		if store.NoRows(err) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		turn := row.NextAt
		if turn.Before(now) {
			turn = now
		}
		if turn.Sub(now) > paceWait {
			return 0, slow(turn.Sub(now))
		}
		tx.QueueSQL(`UPDATE throttle SET next_at = ? WHERE key = ?`, turn.Add(g.pace), g.address)
		return turn.Sub(now), nil
	})
	if err != nil || wait <= 0 {
		return err
	}
	return g.svc.pause(ctx, wait)
}

// failed counts a wrong guess, in a transaction of its own. A guess that was
// under way when the account was locked is answered like one that came later.
func (g *guard) failed(ctx context.Context, now time.Time) error {
	wait, err := inTx(ctx, g.svc, "auth.failed", func(ctx context.Context, tx *store.Tx) (time.Duration, error) {
		row, err := g.hold(ctx, tx, now)
		if err != nil {
			return 0, err
		}
		next := nextFail(row, now)
		tx.Queue(g.svc.db.Bun().NewUpdate().Model(&next).Column("fails", "since", "at", "until").WherePK())
		if g.address != "" {
			old := now.Add(-failWindow)
			tx.QueueSQL(`INSERT INTO throttle (key, fails, since, at) VALUES (?, 1, ?, ?) ON CONFLICT (key) DO UPDATE SET
				fails = CASE WHEN throttle.since <= ? THEN 1 ELSE throttle.fails + 1 END,
				since = CASE WHEN throttle.since <= ? THEN EXCLUDED.since ELSE throttle.since END, at = EXCLUDED.at`, g.address, now, now, old, old)
		}
		return row.Until.Sub(now), nil
	})
	if err == nil && wait > 0 {
		err = slow(wait)
	}
	return err
}

// hold reads the account's row and keeps others from it until the transaction
// ends: guesses at one account are counted one after another.
func (g *guard) hold(ctx context.Context, tx *store.Tx, now time.Time) (throttle, error) {
	var row throttle
	_, err := tx.NewRaw(`INSERT INTO throttle (key, fails, since, at) VALUES (?, 0, ?, ?) ON CONFLICT (key) DO NOTHING`, g.account, now, now).Exec(ctx)
	if err == nil {
		err = tx.NewRaw(`SELECT * FROM throttle WHERE key = ? ?`, g.account, g.svc.db.Lock(false)).Scan(ctx, &row)
	}
	return row, err
}

// forgotten says that nobody failed at the account for the window after its
// last failure and lock.
func forgotten(row throttle, now time.Time) bool {
	quiet := row.At
	if row.Until.After(quiet) {
		quiet = row.Until
	}
	return row.Fails == 0 || !now.Before(quiet.Add(failWindow))
}

// nextFail counts one more failure of an account.
func nextFail(row throttle, now time.Time) throttle {
	if forgotten(row, now) {
		row.Fails, row.Since = 0, now
	}
	row.Fails++
	row.At = now
	if row.Fails >= accountFails {
		lock := time.Minute << min(row.Fails-accountFails, 10)
		row.Until = now.Add(min(lock, lockMax))
	}
	return row
}

// passed forgets the account's failures, with the transaction that lets in. If
// the account was locked while the password was being checked, nobody gets in:
// otherwise many guesses at once would all count as the first.
func (g *guard) passed(ctx context.Context, tx *store.Tx, now time.Time) error {
	var row throttle
	err := tx.NewRaw(`SELECT * FROM throttle WHERE key = ? ?`, g.account, g.svc.db.Lock(false)).Scan(ctx, &row)
	switch {
	case store.NoRows(err):
		return nil
	case err != nil:
		return err
	case row.Until.After(now):
		return slow(row.Until.Sub(now))
	}
	tx.QueueSQL(`DELETE FROM throttle WHERE key = ?`, g.account)
	return nil
}

func slow(after time.Duration) error {
	return &fault.Error{Code: fault.RateLimited, Reason: "TOO_MANY_FAILURES", Detail: Retry{After: after},
		Zh: "失败次数太多，请稍后再试；忘记密码请找部长或办公室重置", En: "too many failures; try again later, or ask the head of your unit or the office for a reset"}
}
