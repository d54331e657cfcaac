package sponsor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// Purchases funds a purchase in the desk's own transaction: done says that it
// has all it needs now. More than it needs is refused.
type Purchases interface {
	Fund(ctx context.Context, tx *store.Tx, purchase id.ID, amount int64, now time.Time) (done bool, err error)
}

// Options is what the desk is bound to.
type Options struct {
	Location  *time.Location // of dates and of numbers per year; nil = UTC
	Purchases Purchases
	Requests  request.Reader // of approved agreements
	Tell      tell.Teller
}

// Service is the sponsors' desk.
type Service struct {
	db    *store.DB
	clock clock.Clock
	rules *org.Table
	Options
}

// New makes the desk.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	if o.Location == nil {
		o.Location = time.UTC
	}
	return &Service{db: db, clock: c, rules: rules, Options: o}
}

// OrganisationInput creates an organisation.
type OrganisationInput struct {
	Kind           OrganisationKind
	Name           string // 1 to 100 characters
	IdempotencyKey string
}

// CreateOrganisation adds a sponsor or partner; names are unique.
func (s *Service) CreateOrganisation(ctx context.Context, actor org.Actor, in OrganisationInput) (id.ID, error) {
	in.Name = strings.TrimSpace(in.Name)
	if err := length("name", in.Name, 1, 100); err != nil {
		return id.Nil, err
	}
	if in.Kind != Company && in.Kind != University && in.Kind != Club {
		return id.Nil, fault.Input("kind", "类别只能是 COMPANY、UNIVERSITY 或 CLUB", "the kind is COMPANY, UNIVERSITY or CLUB")
	}
	out, err := command(ctx, s, actor, "createOrganisation", in.IdempotencyKey, in, actEdit, func(ctx context.Context, tx *store.Tx, a org.Actor, now time.Time) (id.ID, error) {
		row := &Organisation{ID: id.New(), Kind: in.Kind, Name: in.Name, Search: store.SearchText(in.Name), TouchedAt: now, CreatedAt: now}
		tx.Queue(tx.DB.Bun().NewInsert().Model(row))
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: actEdit, Object: outbox.Ref{Kind: "out", ID: row.ID}, At: now})
		return row.ID, nil
	})
	if store.IsUnique(err, "organisation") {
		return out, fault.Refuse("EXISTS", "已有同名单位", "there is an organisation of this name").At("name")
	}
	return out, err
}

// ContactInput adds a person at an organisation.
type ContactInput struct {
	Organisation   id.ID
	Name           string // 1 to 50 characters
	Phone          string
	Email          string
	WeChat         string
	QQ             string
	IdempotencyKey string
}

// AddContact adds a person at an organisation.
func (s *Service) AddContact(ctx context.Context, actor org.Actor, in ContactInput) (id.ID, error) {
	if err := length("name", strings.TrimSpace(in.Name), 1, 50); err != nil {
		return id.Nil, err
	}
	for field, v := range map[string]string{"phone": in.Phone, "email": in.Email, "weChat": in.WeChat, "qq": in.QQ} {
		if err := length(field, v, 0, 200); err != nil {
			return id.Nil, err
		}
	}
	return command(ctx, s, actor, "addSponsorContact", in.IdempotencyKey, in, actEdit, func(ctx context.Context, tx *store.Tx, a org.Actor, now time.Time) (id.ID, error) {
		known, err := tx.NewSelect().Model((*Organisation)(nil)).Where("id = ?", in.Organisation).Exists(ctx)
		if err != nil {
			return id.Nil, err
		}
		if !known {
			return id.Nil, fault.Missing()
		}
		touch(tx, in.Organisation, now)
		row := &Contact{ID: id.New(), Organisation: in.Organisation, CreatedAt: now}
		tx.Queue(tx.DB.Bun().NewInsert().Model(row))
		hashes := org.SetPersonal(tx, s.db.Key(), row.ID, now, now.AddDate(0, keepContacts, 0), map[string]string{
			FieldName: in.Name, FieldPhone: in.Phone, FieldEmail: in.Email, FieldWeChat: in.WeChat, FieldQQ: in.QQ})
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: actEdit, Object: outbox.Ref{Kind: "out", ID: in.Organisation}, Data: hashes, At: now})
		return row.ID, nil
	})
}

// touch moves the end of keeping the organisation's contacts.
func touch(tx *store.Tx, organisation id.ID, now time.Time) {
	tx.QueueSQL(`UPDATE organisation SET touched_at = ? WHERE id = ?`, now, organisation)
	tx.QueueSQL(`UPDATE personal SET until = ? WHERE subject IN (SELECT id FROM sponsor_contact WHERE organisation = ?)`,
		now.AddDate(0, keepContacts, 0), organisation)
}

// PledgeInput opens a pledge as a lead.
type PledgeInput struct {
	Organisation   id.ID
	Kind           Kind
	Amount         int64  // fen, expected; 0 = not known yet
	Returns        string // at most 500 characters
	IdempotencyKey string
}

// maxAmount is ten million yuan in fen, as in the forms.
const maxAmount = 1_000_000_000

// CreatePledge opens a pledge; the actor looks after it.
func (s *Service) CreatePledge(ctx context.Context, actor org.Actor, in PledgeInput) (Outcome, error) {
	if err := length("returns", in.Returns, 0, 500); err != nil {
		return Outcome{}, err
	}
	if in.Amount < 0 || in.Amount > maxAmount {
		return Outcome{}, fault.Input("amount", "金额须在 0 到 1000 万元之间", "the amount is between 0 and 10,000,000 yuan")
	}
	if in.Kind != Cash && in.Kind != Goods && in.Kind != InKind {
		return Outcome{}, fault.Input("kind", "类别只能是 CASH、GOODS 或 SERVICE", "the kind is CASH, GOODS or SERVICE")
	}
	return command(ctx, s, actor, "createPledge", in.IdempotencyKey, in, actEdit, func(ctx context.Context, tx *store.Tx, a org.Actor, now time.Time) (Outcome, error) {
		// The number's row is locked from here on.
		var known []id.ID
		r := store.NewReads(tx)
		r.SQL(&known, `SELECT id FROM organisation WHERE id = ?`, in.Organisation)
		number := s.askNumber(r, now)
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		if len(known) == 0 {
			return Outcome{}, fault.Missing()
		}
		touch(tx, in.Organisation, now)
		p := &Pledge{ID: id.New(), Organisation: in.Organisation, Kind: in.Kind, State: Lead, Owner: a.Person, Amount: in.Amount,
			Number: number(), Returns: in.Returns, Version: 1, CreatedAt: now, ChangedAt: now}
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: "sponsor.pledge", Object: p.Ref(), Data: map[string]any{"amount": in.Amount}, At: now})
		changed(tx, p)
		tx.Queue(tx.DB.Bun().NewInsert().Model(p))
		return Outcome{p.ID, p.State, p.Version}, nil
	})
}

// Outcome is what an action on a pledge leaves.
type Outcome struct {
	Pledge  id.ID
	State   State
	Version int64
}

type pledgePayload struct {
	Pledge id.ID `json:"pledge"`
}

func changed(tx *store.Tx, p *Pledge) {
	outbox.Put(tx, outbox.Event{Topic: "sponsor.changed", Aggregate: p.ID, Version: p.Version, Payload: pledgePayload{p.ID}})
}

// command runs one of the desk's commands under a rule.
func command[T any](ctx context.Context, s *Service, actor org.Actor, mutation, key string, in any, action string,
	fn func(context.Context, *store.Tx, org.Actor, time.Time) (T, error)) (T, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, mutation, key, in), func(ctx context.Context, tx *store.Tx) (T, error) {
		var zero T
		a, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return zero, err
		}
		if err := s.rules.Check(a, action, org.Object{Unit: "liaison"}); err != nil {
			return zero, err
		}
		return fn(ctx, tx, a, now)
	})
}

func length(field, v string, least, most int) error {
	if n := len([]rune(v)); n < least || n > most {
		return fault.Input(field, fmt.Sprintf("长度须为 %d 到 %d 个字", least, most), fmt.Sprintf("between %d and %d characters", least, most))
	}
	return nil
}
