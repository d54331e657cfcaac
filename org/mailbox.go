package org

import (
	"context"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// ContactByID reads one contact, verified or not; ok is false when it is gone.
func ContactByID(ctx context.Context, q bun.IDB, contact id.ID) (c Contact, ok bool, err error) {
	err = q.NewRaw(`SELECT kind, value, verified_at IS NOT NULL AS verified FROM contact WHERE id = ?`, contact).Scan(ctx, &c.Kind, &c.Value, &c.Verified)
	if store.NoRows(err) {
		return c, false, nil
	}
	return c, err == nil, store.Busy(err)
}

// VerifiedMailbox is the contact to which a secret for the person may be sent:
// a mailbox that was proved to be the person's, an address before a QQ number.
func VerifiedMailbox(ctx context.Context, q bun.IDB, person id.ID) (contact id.ID, ok bool, err error) {
	err = q.NewRaw(`SELECT id FROM contact WHERE person_id = ? AND kind IN ('email', 'qq') AND verified_at IS NOT NULL ORDER BY kind, verified_at LIMIT 1`, person).Scan(ctx, &contact)
	if store.NoRows(err) {
		return id.Nil, false, nil
	}
	return contact, err == nil, store.Busy(err)
}
