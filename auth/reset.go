package auth

import (
	"context"
	"net/netip"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// ChangePassword sets a new password of the actor, who knows the old one. All
// sessions of the person end, and the one in use goes on under the new token
// that comes back.
func (s *Service) ChangePassword(ctx context.Context, actor org.Actor, info SessionInfo, old, password string, address netip.Addr) (string, error) {
	if actor.Person.IsZero() || info.Token || info.Person != actor.Person {
		return "", fault.SignIn()
	}
	login, err := s.loginOf(ctx, actor.Person)
	if err != nil {
		return "", err
	}
	if err := s.checkNew(ctx, actor.Person, password); err != nil {
		return "", err
	}
	acc, err := s.check(ctx, login, old, address)
	if err != nil {
		return "", err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return "", err
	}
	now, token := s.clock.Now(), id.Secret(32)
	_, err = inTx(ctx, s, "auth.password.change", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		acc.rehash = ""
		if err := s.settle(ctx, tx, acc, now); err != nil {
			return struct{}{}, err
		}
		if err := s.putPassword(ctx, tx, actor, actor.Person, hash, "auth.password.change", now); err != nil {
			return struct{}{}, err
		}
		s.putSession(tx, actor.Person, token, Device{Own: info.Own, Label: info.Device}, now)
		return struct{}{}, nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// checkNew applies the rules for passwords with what the person could put in.
func (s *Service) checkNew(ctx context.Context, person id.ID, password string) error {
	var names []string
	err := s.db.R.NewRaw(`SELECT login FROM account WHERE person_id = ? UNION ALL SELECT value FROM personal WHERE subject = ? AND field = 'number'`, person, person).Scan(ctx, &names)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	return CheckPassword(password, names...)
}

// putPassword stores a new password, ends all sessions, uses up open resets and
// tells the person by the event auth.password.changed {person}.
func (s *Service) putPassword(ctx context.Context, tx *store.Tx, by org.Actor, person id.ID, hash, action string, now time.Time) error {
	if _, err := s.endAll(ctx, tx, person, false); err != nil {
		return err
	}
	tx.QueueSQL(`UPDATE account SET password = ?, changed_at = ? WHERE person_id = ?`, hash, now, person)
	tx.QueueSQL(`UPDATE auth_link SET used_at = ? WHERE person_id = ? AND used_at IS NULL`, now, person)
	s.record(tx, by, "", action, person, nil, now)
	outbox.Put(tx, outbox.Event{Topic: "auth.password.changed", Aggregate: person, Payload: map[string]any{"person": person}})
	return nil
}

// IssueReset makes a one-time link to a new password, valid for 30 minutes, for
// the head or the office to hand over face to face. The password must have been
// asked for within ten minutes (Fresh). The person is told by the event
// auth.reset.issued {person, by}.
func (s *Service) IssueReset(ctx context.Context, actor org.Actor, info SessionInfo, person id.ID) (string, error) {
	now := s.clock.Now()
	if err := Fresh(info, now); err != nil || info.Person != actor.Person {
		return "", Fresh(SessionInfo{}, now)
	}
	made := s.newLink(LinkReset, person, actor.Person, ResetLink, now)
	_, err := inTx(ctx, s, "auth.reset.issue", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		a, err := s.judge(ctx, tx, actor, now)
		if err != nil {
			return struct{}{}, err
		}
		o, err := s.mayOn(ctx, tx, a, "auth.reset.issue", person, now)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.putLink(ctx, tx, made); err != nil {
			return struct{}{}, err
		}
		s.record(tx, a, s.rules.Under(a, "auth.reset.issue", o), "auth.reset.issue", person, map[string]any{"link": made.ID}, now)
		outbox.Put(tx, outbox.Event{Topic: "auth.reset.issued", Aggregate: person, Payload: map[string]any{"person": person, "by": a.Person}})
		return struct{}{}, nil
	})
	if err != nil {
		return "", err
	}
	return LinkToken(s.db.Key(), made.ID), nil
}

// mayOn checks the rule of an act on somebody's account. Whoever may not act is
// refused in the same way whether there is an account or not.
func (s *Service) mayOn(ctx context.Context, q bun.IDB, a org.Actor, action string, person id.ID, now time.Time) (org.Object, error) {
	o, err := s.about(ctx, q, person, now)
	if err == nil {
		err = s.rules.Check(a, action, o)
	}
	if err != nil {
		return o, err
	}
	var state AccountState
	err = q.NewRaw(`SELECT state FROM account WHERE person_id = ?`, person).Scan(ctx, &state)
	if store.NoRows(err) || err == nil && state == Pending {
		return o, fault.Missing()
	}
	return o, store.Busy(err)
}

// about describes a person for the rules: the unit of the seats, when it is
// one, and the highest rank among them.
func (s *Service) about(ctx context.Context, q bun.IDB, person id.ID, now time.Time) (org.Object, error) {
	o := org.Object{Owner: person, State: rankMember}
	them, err := org.Judge(ctx, q, org.Actor{Person: person}, now)
	order := []string{rankMember, rankSenior, rankTop, rankLeague}
	best := 0
	for i, seat := range them.Seats {
		if i == 0 {
			o.Unit = seat.Unit
		} else if o.Unit != seat.Unit {
			o.Unit = ""
		}
		rank := rankOf(seat.Unit, seat.Role)
		if rank == rankHead {
			rank = rankSenior
		}
		for n, r := range order {
			if r == rank {
				best = max(best, n)
			}
		}
	}
	o.State = order[best]
	return o, err
}

// RequestReset lets somebody who has a verified mailbox have a link sent there.
// It answers the same whether there is such an account or not. The event
// auth.reset.requested {person, link} carries the link's identifier; who sends
// the mail spells the secret with LinkToken.
func (s *Service) RequestReset(ctx context.Context, login string, address netip.Addr) error {
	g, err := s.guard(ctx, "reset "+login, address)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	if err := g.admit(ctx, now); err != nil {
		return err
	}
	acc, found, err := s.account(ctx, s.db.R, login)
	if err != nil {
		return err
	}
	// Every request counts like a failure: five mails in 15 minutes, no more.
	if err := g.failed(ctx, now); err != nil {
		return err
	}
	_, err = inTx(ctx, s, "auth.reset.request", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var mailboxes int
		err := tx.NewRaw(`SELECT count(*) FROM contact WHERE person_id = ? AND kind IN ('email', 'qq') AND verified_at IS NOT NULL`, acc.PersonID).Scan(ctx, &mailboxes)
		if err != nil || !found || acc.State != Active || mailboxes == 0 {
			return struct{}{}, err
		}
		made := s.newLink(LinkReset, acc.PersonID, acc.PersonID, ResetLink, now)
		if err := s.putLink(ctx, tx, made); err != nil {
			return struct{}{}, err
		}
		s.record(tx, org.Actor{}, "", "auth.reset.request", acc.PersonID, map[string]any{"link": made.ID}, now)
		outbox.Put(tx, outbox.Event{Topic: "auth.reset.requested", Aggregate: acc.PersonID, Payload: map[string]any{"person": acc.PersonID, "link": made.ID}})
		return struct{}{}, nil
	})
	return err
}

// Reset sets a new password by a link, once. All sessions end and the account
// is no longer locked.
func (s *Service) Reset(ctx context.Context, token, password string) error {
	l, err := s.link(ctx, s.db.R, token, LinkReset)
	if err != nil {
		return err
	}
	if err := s.checkNew(ctx, l.PersonID, password); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	login, err := s.loginOf(ctx, l.PersonID)
	if err != nil {
		return err
	}
	_, err = inTx(ctx, s, "auth.reset", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if err := s.useLink(ctx, tx, l, now); err != nil {
			return struct{}{}, err
		}
		tx.QueueSQL(`DELETE FROM throttle WHERE key = ?`, s.keyed("account", canonical(login)))
		return struct{}{}, s.putPassword(ctx, tx, org.Actor{Person: l.PersonID}, l.PersonID, hash, "auth.reset", now)
	})
	return err
}
