package app

import (
	"context"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/notify"
	"kelian/org"
)

// accountEvent is what the events about accounts carry; each has some of it.
type accountEvent struct {
	Person  id.ID  `json:"person"`
	Link    id.ID  `json:"link"`
	Contact id.ID  `json:"contact"`
	Unit    id.ID  `json:"unit"`
	Seat    string `json:"seat"`
}

// onReset sends the link to a mailbox that was proved to be the person's.
func (a *App) onReset(ctx context.Context, d outbox.Delivery) error {
	return a.account(ctx, d, func(ctx context.Context, tx *store.Tx, e accountEvent) error {
		contact, ok, err := org.VerifiedMailbox(ctx, tx, e.Person)
		if err != nil || !ok {
			return err
		}
		notify.Put(tx, notify.Message{Topic: "account.reset", Subject: contact, Path: accountLink(e.Link), Critical: true, At: a.Clock.Now()})
		return nil
	})
}

// onVerify sends the link to the mailbox that is to be proved.
func (a *App) onVerify(ctx context.Context, d outbox.Delivery) error {
	return a.account(ctx, d, func(_ context.Context, tx *store.Tx, e accountEvent) error {
		notify.Put(tx, notify.Message{Topic: "account.verify", Subject: e.Contact, Path: accountLink(e.Link), Critical: true, At: a.Clock.Now()})
		return nil
	})
}

// onResetIssued tells the person that somebody handed a reset out.
func (a *App) onResetIssued(ctx context.Context, d outbox.Delivery) error {
	return a.account(ctx, d, func(_ context.Context, tx *store.Tx, e accountEvent) error {
		notify.Put(tx, notify.Message{Topic: "account.reset_issued", To: e.Person, Path: "/account", Critical: true, At: a.Clock.Now()})
		return nil
	})
}

// onClaimed tells the head of the unit that newcomers wait.
func (a *App) onClaimed(ctx context.Context, d outbox.Delivery) error {
	return a.account(ctx, d, func(ctx context.Context, tx *store.Tx, e accountEvent) error {
		var unit org.Unit
		if err := tx.NewSelect().Model(&unit).Where("id = ?", e.Unit).Scan(ctx); err != nil {
			if store.NoRows(err) {
				return nil
			}
			return err
		}
		holders, err := org.Holders(ctx, tx, unit.Code+".head", a.Clock.Now())
		if err != nil {
			return err
		}
		for _, h := range holders {
			notify.Put(tx, notify.Message{Topic: "account.claim", To: h.Person, Path: "/account", At: a.Clock.Now(),
				Params: map[string]string{"unit.zh": unit.NameZh, "unit.en": unit.NameEn, "count": "1"}})
		}
		return nil
	})
}

// onCode mails the code that a strong decision by link needs.
func (a *App) onCode(ctx context.Context, d outbox.Delivery) error {
	return a.account(ctx, d, func(ctx context.Context, tx *store.Tx, e accountEvent) error {
		person, _, ok, err := a.Workflow.CodeFor(ctx, tx, e.Link)
		if err != nil || !ok {
			return err
		}
		contact, ok, err := org.VerifiedMailbox(ctx, tx, person)
		if err != nil || !ok {
			return err
		}
		notify.Put(tx, notify.Message{Topic: "workflow.code", Subject: contact, Ref: outbox.Ref{Kind: "lnk", ID: e.Link}, Path: "/inbox", Critical: true, At: a.Clock.Now()})
		return nil
	})
}

func (a *App) account(ctx context.Context, d outbox.Delivery, fn func(ctx context.Context, tx *store.Tx, e accountEvent) error) error {
	var e accountEvent
	if err := d.Decode(&e); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error { return fn(ctx, tx, e) })
}
