package auth

import (
	"context"
	"net/netip"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// RequestVerify lets the actor prove that a mailbox is his: a link goes there
// by the event auth.verify.requested {person, link, contact}. Whose the mailbox
// is nobody knows yet, so there are five mails in 15 minutes and no more.
func (s *Service) RequestVerify(ctx context.Context, actor org.Actor, mailbox org.Contact) error {
	if actor.Person.IsZero() {
		return fault.SignIn()
	}
	mailbox, err := org.CheckContact(mailbox)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	g, err := s.guard(ctx, "verify "+actor.Person.String(), netip.Addr{})
	if err != nil {
		return err
	}
	if err := g.admit(ctx, now); err != nil {
		return err
	}
	if err := g.failed(ctx, now); err != nil {
		return err
	}
	_, err = inTx(ctx, s, "auth.verify.request", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var contact id.ID
		err := tx.NewRaw(`SELECT id FROM contact WHERE person_id = ? AND kind = ? AND value = ? AND kind IN ('email', 'qq')`, actor.Person, mailbox.Kind, mailbox.Value).Scan(ctx, &contact)
		if store.NoRows(err) {
			return struct{}{}, fault.Missing()
		}
		if err != nil {
			return struct{}{}, err
		}
		made := s.newLink(LinkVerify, actor.Person, actor.Person, VerifyLink, now)
		made.ContactID = contact
		if err := s.putLink(ctx, tx, made); err != nil {
			return struct{}{}, err
		}
		outbox.Put(tx, outbox.Event{Topic: "auth.verify.requested", Aggregate: actor.Person,
			Payload: map[string]any{"person": actor.Person, "link": made.ID, "contact": contact}})
		return struct{}{}, nil
	})
	return err
}

// Verify marks the mailbox to which the link was sent as its owner's.
func (s *Service) Verify(ctx context.Context, token string) error {
	l, err := s.link(ctx, s.db.R, token, LinkVerify)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	_, err = inTx(ctx, s, "auth.verify", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if err := s.useLink(ctx, tx, l, now); err != nil {
			return struct{}{}, err
		}
		tx.QueueSQL(`UPDATE contact SET verified_at = coalesce(verified_at, ?) WHERE id = ?`, now, l.ContactID)
		s.record(tx, org.Actor{Person: l.PersonID}, "", "auth.verify", l.PersonID, map[string]any{"contact": l.ContactID}, now)
		return struct{}{}, nil
	})
	return err
}
