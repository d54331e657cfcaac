package property

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

// EffectSeal is the on_approved effect that enters a use of a seal in the
// register.
const EffectSeal = "property.seal"

// SealUse is an entry of the register of seals: an approved use of one. It is
// never changed; what else is known of it stands in the request.
type SealUse struct {
	bun.BaseModel `bun:"table:seal_use"`

	ID        id.ID `bun:",pk"`
	Request   id.ID
	Number    string // the keeper's, of the paper register; may be empty
	Seal      string // a word of the form, e.g. federation
	Title     string // of the document
	Recipient string
	Copies    int64
	SHA256    string `bun:"sha256"` // of the document, hex; empty where the form names no file
	Requester id.ID
	Unit      string
	SealedAt  time.Time
}

// OnApprovedSeal handles workflow.approved with the effect property.seal. A
// request has one entry, however often it is told of.
func (s *Service) OnApprovedSeal(ctx context.Context, d outbox.Delivery) error {
	var p effectPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		if p.Effect != EffectSeal {
			return nil
		}
		form, meta, err := s.Requests.Form(ctx, tx, p.Request)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !meta.ClosedAt.IsZero() {
			now = meta.ClosedAt
		}
		use := sealOf(form)
		use.ID, use.Request, use.Requester, use.Unit, use.SealedAt = id.New(), p.Request, meta.Requester, meta.Unit, now
		tx.Queue(tx.DB.Bun().NewInsert().Model(&use).On("CONFLICT (request) DO NOTHING"))
		audit.Record(tx, audit.Entry{Action: EffectSeal, Object: outbox.Ref{Kind: "req", ID: p.Request}, Data: map[string]any{"seal": use.Seal, "copies": use.Copies, "sha256": use.SHA256}, At: now})
		return nil
	})
}

// sealOf reads a form that asks for a seal.
func sealOf(form map[string]any) SealUse {
	word := func(name string, most int) string {
		v, _ := form[name].(string)
		r := []rune(v)
		return string(r[:min(len(r), most)])
	}
	use := SealUse{Number: word("register_no", 40), Seal: word("seal", 40), Title: word("title", 200), Recipient: word("recipient", 200), Copies: 1}
	if n, ok := form["copies"].(int64); ok && n > 0 {
		use.Copies = n
	}
	if document, ok := form["document"].(map[string]any); ok {
		use.SHA256, _ = document["sha256"].(string)
	}
	return use
}

// SealUses lists the register of seals, newest first; seal "" = all. next is
// the cursor of the following page, "" = none.
func (s *Service) SealUses(ctx context.Context, actor org.Actor, seal string, page store.Page) (rows []SealUse, next string, err error) {
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	if err := s.judge(ctx, &actor, actSeals, org.Object{}); err != nil {
		return nil, "", err
	}
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).OrderExpr("sealed_at DESC, id DESC").Limit(int64(page.First) + 1)
	if seal != "" {
		q = q.Where("seal = ?", seal)
	}
	if !last.IsZero() {
		q = q.Where("(sealed_at, id) < (?, ?)", at, last)
	}
	if err := noRows(q.Scan(ctx)); err != nil {
		return nil, "", err
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].SealedAt, rows[page.First-1].ID)
	}
	return rows, next, nil
}
