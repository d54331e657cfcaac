package sponsor

import (
	"context"
	"strings"
	"time"

	"kelian/desk/tell"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// ActInput is an action on a pledge with what it needs.
type ActInput struct {
	Pledge         id.ID
	Action         Action
	Amount         int64     // agree: fen; receive: fen, what came (of goods and services: their value)
	Due            time.Time // agree: when it is to come
	Returns        string    // agree: what was promised in return, at most 500 characters; "" leaves it
	Voucher        string    // receive: number of the voucher, 1 to 100 characters, used once
	Reason         string    // lose: 1 to 500 characters
	IdempotencyKey string
}

func (in *ActInput) check(now time.Time) error {
	switch in.Action {
	case ActAgree:
		if in.Amount < 1 || in.Amount > maxAmount {
			return fault.Input("amount", "金额须在 0.01 元到 1000 万元之间", "the amount is between 0.01 and 10,000,000 yuan")
		}
		if !in.Due.After(now) || in.Due.After(now.AddDate(3, 0, 0)) {
			return fault.Input("due", "到账日期须在今后三年内", "the date is within the next three years")
		}
		return length("returns", in.Returns, 0, 500)
	case ActReceive:
		if in.Amount < 1 || in.Amount > maxAmount {
			return fault.Input("amount", "金额须在 0.01 元到 1000 万元之间", "the amount is between 0.01 and 10,000,000 yuan")
		}
		in.Voucher = strings.TrimSpace(in.Voucher)
		return length("voucher", in.Voucher, 1, 100)
	case ActLose:
		return length("reason", in.Reason, 1, 500)
	case ActContact, ActNegotiate, ActDeliver, ActThank:
		return nil
	}
	return fault.Input("action", "没有这个操作", "no such action")
}

// Act moves a pledge along its machine.
func (s *Service) Act(ctx context.Context, actor org.Actor, in ActInput) (Outcome, error) {
	now := s.clock.Now()
	if err := in.check(now); err != nil {
		return Outcome{}, err
	}
	cmd := store.FromClient(s.db, actor.Person, "pledge "+string(in.Action), in.IdempotencyKey, in)
	out, err := store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		r := store.NewReads(tx)
		judged, locked := org.AskJudge(r, actor, now), s.askPledge(r, tx, in.Pledge)
		tell := s.Tell.Ask(r, now, "liaison.head")
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		a, err := judged()
		if err != nil {
			return Outcome{}, err
		}
		p, organisation, err := locked()
		if err == nil && !s.rules.Can(a, actRead, org.Object{Unit: "liaison"}) {
			err = fault.Missing()
		}
		if err != nil {
			return Outcome{}, err
		}
		if err := s.rules.Check(a, "sponsor."+string(in.Action), org.Object{Unit: "liaison", Owner: p.Owner, State: string(p.State)}); err != nil {
			return Outcome{}, err
		}
		before := p.State
		if p.State, err = Next(in.Action, p.State); err != nil {
			return Outcome{}, err
		}
		p.ChangedAt, p.Version = now, p.Version+1
		touch(tx, p.Organisation, now)
		s.effect(tx, a, p, in, now)
		if in.Action == ActReceive {
			m := s.message(p, organisation, "pledge.received", now)
			m.Params["amount"] = yuan(in.Amount)
			s.Tell.Person(tx, p.Owner, m)
			tell(tx, m)
		}
		tx.Queue(tx.DB.Bun().NewUpdate().Model(p).WherePK())
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: "sponsor." + string(in.Action), Object: p.Ref(),
			Data: map[string]any{"from": before, "to": p.State, "amount": in.Amount, "voucher": in.Voucher}, At: now})
		changed(tx, p)
		return Outcome{p.ID, p.State, p.Version}, nil
	})
	if store.IsUnique(err, "pledge") {
		return out, fault.Refuse("VOUCHER_USED", "这个凭证号已用过", "this voucher number has been used").At("voucher")
	}
	return out, err
}

// effect is what the action changes beside the state.
func (s *Service) effect(tx *store.Tx, a org.Actor, p *Pledge, in ActInput, now time.Time) {
	switch in.Action {
	case ActAgree:
		p.Amount, p.DueAt = in.Amount, in.Due.UTC()
		if in.Returns != "" {
			p.Returns = in.Returns
		}
		overdueAt(tx, p.ID, p.DueAt)
	case ActReceive:
		p.Received, p.Voucher, p.ReceivedAt, p.ReceivedBy = in.Amount, in.Voucher, now, a.Person
		e := &Entry{ID: id.New(), Kind: Receive, From: account("sponsor", p.Organisation), To: account("pledge", p.ID), Amount: in.Amount,
			Pledge: p.ID, Voucher: in.Voucher, Actor: a.Person, At: now}
		tx.Queue(tx.DB.Bun().NewInsert().Model(e))
		outbox.Void(tx, p.ID, "overdue")
	case ActThank:
		tx.QueueSQL(`UPDATE thanks SET done_at = ?, done_by = ? WHERE pledge = ? AND done_at IS NULL AND void_at IS NULL`, now, a.Person, p.ID)
	case ActLose:
		p.Reason = in.Reason
		outbox.Void(tx, p.ID, "overdue")
	}
}

func overdueAt(tx *store.Tx, pledge id.ID, at time.Time) {
	outbox.Timer(tx, pledge, "overdue", outbox.Event{Topic: "sponsor.overdue", Aggregate: pledge, Payload: pledgePayload{pledge}, DueAt: at})
}

// remindEvery is how often an overdue pledge is brought to mind.
const remindEvery = 7 * 24 * time.Hour

// OnOverdue handles the timer sponsor.overdue: a pledge that was agreed and has
// not come is brought to mind, and again every week until it comes or is lost.
func (s *Service) OnOverdue(ctx context.Context, d outbox.Delivery) error {
	var in pledgePayload
	if err := d.Decode(&in); err != nil {
		return err
	}
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		r := store.NewReads(tx)
		locked, tell := s.askPledge(r, tx, in.Pledge), s.Tell.Ask(r, now, "liaison.head")
		if err := r.Run(ctx); err != nil {
			return struct{}{}, err
		}
		p, organisation, err := locked()
		if fault.Is(err, fault.NotFound) || err == nil && (p.State != Agreed || p.DueAt.After(now)) {
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		m := s.message(p, organisation, "pledge.overdue", now)
		s.Tell.Person(tx, p.Owner, m)
		overdueAt(tx, p.ID, now.Add(remindEvery))
		tell(tx, m)
		return struct{}{}, nil
	})
	return err
}

// message about a pledge; its parameters name the organisation, the amount in
// yuan and the date.
func (s *Service) message(p *Pledge, organisation, topic string, now time.Time) tell.Message {
	params := map[string]string{"number.zh": p.Number, "number.en": p.NumberEn(), "organisation": organisation, "amount": yuan(p.Amount)}
	if !p.DueAt.IsZero() {
		params["date"] = p.DueAt.In(s.Location).Format("2006-01-02")
	}
	return tell.Message{Topic: topic, Ref: p.Ref(), Params: params, Unit: "liaison", At: now}
}

// askPledge locks a pledge and reads its organisation's name.
func (s *Service) askPledge(r *store.Reads, tx *store.Tx, pledge id.ID) func() (*Pledge, string, error) {
	var rows []Pledge
	var names []string
	r.SQL(&rows, `SELECT * FROM pledge WHERE id = ? ?`, pledge, tx.DB.Lock(false))
	r.SQL(&names, `SELECT name FROM organisation WHERE id = (SELECT organisation FROM pledge WHERE id = ?)`, pledge)
	return func() (*Pledge, string, error) {
		if len(rows) == 0 {
			return nil, "", fault.Missing()
		}
		return &rows[0], strings.Join(names, ""), nil
	}
}

func (s *Service) load(ctx context.Context, q bun.IDB, pledge id.ID) (*Pledge, error) {
	var p Pledge
	err := q.NewSelect().Model(&p).Where("id = ?", pledge).Scan(ctx)
	if store.NoRows(err) {
		return nil, fault.Missing()
	}
	return &p, err
}
