package org

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Consent is one "yes" of a subject to one purpose, in the words of a version.
type Consent struct {
	bun.BaseModel `bun:"table:consent"`

	ID          id.ID `bun:",pk"`
	Subject     id.ID
	Purpose     string // e.g. repair.contact
	Version     string // of the text that was agreed to
	Door        string // where: form, console, link, paper
	At          time.Time
	WithdrawnAt time.Time `bun:",nullzero"`
}

// GiveConsent records a consent with the transaction. One to a newer version
// takes the place of the older, which stays on record as withdrawn.
func GiveConsent(tx *store.Tx, subject id.ID, purpose, version, door string, at time.Time) {
	WithdrawConsent(tx, subject, purpose, at)
	tx.Queue(tx.DB.Bun().NewInsert().Model(&Consent{ID: id.New(), Subject: subject, Purpose: purpose, Version: version, Door: door, At: at}))
}

// WithdrawConsent takes the consent to a purpose back.
func WithdrawConsent(tx *store.Tx, subject id.ID, purpose string, at time.Time) {
	tx.QueueSQL(`UPDATE consent SET withdrawn_at = ? WHERE subject = ? AND purpose = ? AND withdrawn_at IS NULL`, at, subject, purpose)
}

// Consents reads what a subject agreed to, newest first, with what was
// withdrawn.
func Consents(ctx context.Context, q bun.IDB, subject id.ID) ([]Consent, error) {
	var rows []Consent
	err := q.NewSelect().Model(&rows).Where("subject = ?", subject).OrderExpr("at DESC, id DESC").Scan(ctx)
	return rows, noRows(err)
}

// Consented says whether the subject's consent to the purpose stands.
func Consented(ctx context.Context, q bun.IDB, subject id.ID, purpose string) (bool, error) {
	var n int
	err := q.NewRaw(`SELECT count(*) FROM consent WHERE subject = ? AND purpose = ? AND withdrawn_at IS NULL`, subject, purpose).Scan(ctx, &n)
	return n > 0, store.Busy(err)
}

// purgeBatch bounds one transaction of Purge.
const purgeBatch = 500

// Purge deletes personal values and contacts whose time is over and says how
// many; call it again until it says 0.
func (s *Service) Purge(ctx context.Context) (int, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.Internal("org.purge"), func(ctx context.Context, tx *store.Tx) (int, error) {
		total := 0
		for _, stmt := range []string{
			`DELETE FROM personal WHERE (subject, field) IN (SELECT subject, field FROM personal WHERE until <= ? ORDER BY until LIMIT ?)`,
			`DELETE FROM contact WHERE id IN (SELECT id FROM contact WHERE until <= ? ORDER BY until LIMIT ?)`,
		} {
			res, err := tx.NewRaw(stmt, now, purgeBatch).Exec(ctx)
			if err != nil {
				return 0, err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return 0, err
			}
			total += int(n)
		}
		tx.QueueSQL(`UPDATE person SET search = '' WHERE search <> '' AND NOT EXISTS (SELECT 1 FROM personal WHERE subject = person.id AND field = 'name')`)
		return total, nil
	})
}
