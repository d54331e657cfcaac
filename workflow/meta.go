package workflow

import (
	"context"
	"slices"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// The effects that this package handles itself, see OnApproved.
const (
	EffectPublish = "workflow.publish" // of a form with the fields text and, perhaps, understaffed
	EffectAppoint = "org.appoint"      // of a form with seat, person, kind, from and, perhaps, to and replaces
)

// The facts that this package records itself.
const (
	FactProof = "workflow.proof" // of the text in the form: what was proved
	FactDiff  = "workflow.diff"  // what it changes against the published version
	FactSeat  = "org.seat"       // of the seat in the form: its places, and who holds them
)

var (
	ownEffects = []string{EffectPublish, EffectAppoint}
	ownFacts   = []string{FactProof, FactDiff, FactSeat}
)

// TopicUndone tells the requester that what was approved could not be carried
// out: {request, person, zh, en}.
const TopicUndone = "workflow.undone"

// UndonePayload is what TopicUndone carries.
type UndonePayload struct {
	Request id.ID  `json:"request"`
	Person  id.ID  `json:"person"`
	Zh      string `json:"zh"`
	En      string `json:"en"`
}

// OnApproved handles TopicApproved with one of this package's effects. What the
// directory or the definitions refuse by now is not carried out, and the
// requester is told why.
func (s *Service) OnApproved(ctx context.Context, d outbox.Delivery) error {
	var p ApprovedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	carry := s.publishApproved
	if p.Effect == EffectAppoint {
		carry = s.appointApproved
	}
	err := carry(ctx, d, p.Request)
	f, refused := fault.As(err)
	if !refused || f.Code != fault.Rule && f.Code != fault.BadUserInput && f.Code != fault.NotFound {
		return err
	}
	_, err = store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		r, _, _, err := s.get(ctx, tx, p.Request)
		if err != nil {
			return struct{}{}, err
		}
		outbox.Put(tx, outbox.Event{Topic: TopicUndone, Aggregate: r.ID, Payload: UndonePayload{Request: r.ID, Person: r.Requester, Zh: f.Zh, En: f.En}})
		return struct{}{}, nil
	})
	return err
}

// approved reads the form of a request for its effect; nil when it is not
// approved any more, as after a stop.
func (s *Service) approved(ctx context.Context, q bun.IDB, request id.ID) (map[string]any, *row, flow.State, error) {
	r, st, _, err := s.get(ctx, q, request)
	if fault.Is(err, fault.NotFound) || err == nil && st.Status != flow.Approved {
		return nil, nil, st, nil
	}
	if err != nil {
		return nil, nil, st, err
	}
	return stored(r.Form).plainForm(), r, st, nil
}

// publishApproved publishes the text that was approved, unless another version
// took the place of the one that those who approved it saw it compared with.
// Steps that have lost their people since do not keep it back: the night's look
// tells who keeps the workflow.
func (s *Service) publishApproved(ctx context.Context, d outbox.Delivery, request id.ID) error {
	now := clock.Cut(s.clock.Now())
	form, r, st, err := s.approved(ctx, s.db.R, request)
	if err != nil || r == nil {
		return err
	}
	text, _ := form["text"].(string)
	def, report, err := s.proveText(ctx, text, now)
	if err != nil {
		return err
	}
	if err := refuted(report, true); err != nil {
		return err
	}
	_, err = store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (Published, error) {
		if _, again, _, err := s.approved(ctx, tx, request); err != nil || again == nil {
			return Published{}, err
		}
		if err := s.unchanged(ctx, tx, def.Flow.Key, st.Desk[FactDiff]); err != nil {
			return Published{}, err
		}
		out, err := s.publish(ctx, tx, def, report, org.Actor{Person: r.Requester}, now)
		if err == nil && out.Changed {
			outbox.Link(tx, r.ref(), outbox.Ref{Kind: RefVersion, ID: out.Version}, "published", now)
		}
		return out, err
	})
	return err
}

// appointApproved seats the person who was approved, from the day that the form
// says or from now where it is over; whom he replaces leaves the seat then.
func (s *Service) appointApproved(ctx context.Context, d outbox.Delivery, request id.ID) error {
	now := clock.Cut(s.clock.Now())
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		form, r, st, err := s.approved(ctx, tx, request)
		if err != nil || r == nil {
			return struct{}{}, err
		}
		a, err := s.appointment(form, now)
		if err != nil {
			return struct{}{}, err
		}
		reads := store.NewReads(tx)
		found := a.ask(reads)
		if err := reads.Run(ctx); err != nil {
			return struct{}{}, err
		}
		seat, err := found()
		if err != nil {
			return struct{}{}, err
		}
		if err := mayGrant(a.seat, st); err != nil {
			return struct{}{}, err
		}
		by := audit.Entry{Actor: r.Requester, At: now}
		for _, t := range seat.held {
			if t.PersonID == a.replaces {
				org.Dismiss(tx, t, a.from, by)
			}
		}
		if err := tx.Flush(ctx); err != nil {
			return struct{}{}, err
		}
		outbox.Link(tx, r.ref(), outbox.Ref{Kind: "per", ID: a.person}, "appointed", now)
		return struct{}{}, org.Appoint(ctx, tx, org.Tenure{ID: id.New(), SeatID: seat.ID, PersonID: a.person, Kind: a.kind, From: a.from, Until: a.until}, by)
	})
	return err
}

// mayGrant holds approvals to what the rule on tenures says, whatever a
// definition asks: the League Committee fills the chairs' seats, and its own are
// not filled by request.
func mayGrant(seat string, st flow.State) error {
	unit := seat[:max(0, strings.LastIndex(seat, "."))]
	league := slices.ContainsFunc(st.Votes, func(v flow.Vote) bool {
		return v.Live && v.Verdict == flow.Approve && strings.HasPrefix(v.Elector.Seat, "league.")
	})
	switch {
	case unit == "league" || strings.HasPrefix(seat, outsideUnit):
		return fault.Refuse("NOT_BY_REQUEST", "团委和外单位的岗位不通过申请安排", "seats of the League Committee and of outside units are not filled by request")
	case unit == "fed" && !league:
		return fault.Refuse("LEAGUE_DECIDES", "主席团的岗位须由团委同意", "the League Committee has to agree on the chairs' seats")
	}
	return nil
}

// appointment is what a form asks for.
type appointment struct {
	seat             string
	person, replaces id.ID
	kind             org.TenureKind
	from, until      time.Time
}

// appointment reads a form; a day that is over is now.
func (s *Service) appointment(form map[string]any, now time.Time) (appointment, error) {
	text := func(name string) string { v, _ := form[name].(string); return v }
	a := appointment{seat: text("seat"), kind: org.TenureKind(strings.ToUpper(text("kind")))}
	var wrong []FieldError
	for name, into := range map[string]*id.ID{"person": &a.person, "replaces": &a.replaces} {
		v := text(name)
		if v == "" && name == "replaces" {
			continue
		}
		var err error
		if *into, err = id.Parse("per", v); err != nil {
			wrong = append(wrong, FieldError{Pointer: "/" + name, Code: "PERSON", Zh: "没有这个人", En: "there is no such person"})
		}
	}
	if len(wrong) > 0 {
		return a, formInvalid(wrong)
	}
	day := func(name string) (time.Time, bool) {
		t, err := time.ParseInLocation(time.DateOnly, text(name), s.Location)
		return t, err == nil
	}
	a.from = now
	if t, ok := day("from"); ok && t.After(now) {
		a.from = clock.Cut(t)
	}
	if t, ok := day("to"); ok {
		if a.until = clock.Cut(t.AddDate(0, 0, 1)); !a.until.After(a.from) {
			return a, formInvalid([]FieldError{{Pointer: "/to", Code: "OVER", Zh: "任期已经结束", En: "the term is over"}})
		}
	}
	return a, nil
}

// seatFound is the seat of an appointment with those who hold it when it
// begins.
type seatFound struct {
	ID       id.ID
	Capacity int
	held     []org.Tenure
}

// ask reads the seat and the person; the answer says field by field what there
// is not.
func (a appointment) ask(r *store.Reads) func() (seatFound, error) {
	var seats []seatFound
	var people []id.ID
	var held []org.Tenure
	r.SQL(&seats, `SELECT id, capacity FROM seat WHERE name = ?`, a.seat)
	r.SQL(&people, `SELECT id FROM person WHERE id = ? AND erased_at IS NULL`, a.person)
	r.SQL(&held, `SELECT tenure.* FROM tenure JOIN seat ON seat.id = tenure.seat_id WHERE seat.name = ? AND from_at <= ? AND (until_at IS NULL OR until_at > ?) ORDER BY from_at, tenure.id`,
		a.seat, a.from, a.from)
	return func() (seatFound, error) {
		var wrong []FieldError
		if len(seats) == 0 {
			wrong = append(wrong, FieldError{Pointer: "/seat", Code: "SEAT", Zh: "没有这个岗位", En: "there is no such seat"})
		}
		if len(people) == 0 {
			wrong = append(wrong, FieldError{Pointer: "/person", Code: "PERSON", Zh: "没有这个人", En: "there is no such person"})
		}
		free := len(seats) == 0 || len(held) < seats[0].Capacity
		replaced := a.replaces.IsZero()
		for _, t := range held {
			if t.PersonID == a.replaces {
				free, replaced = true, true
			}
		}
		switch {
		case !replaced:
			wrong = append(wrong, FieldError{Pointer: "/replaces", Code: "NOT_HELD", Zh: "这个人那时不在这个岗位上", En: "this person does not hold the seat then"})
		case !free:
			wrong = append(wrong, FieldError{Pointer: "/replaces", Code: "SEAT_FULL", Zh: "这个岗位那时已满，请写明接替谁", En: "the seat is full then; say who is replaced"})
		}
		if len(wrong) > 0 {
			return seatFound{}, formInvalid(wrong)
		}
		seats[0].held = held
		return seats[0], nil
	}
}

// askOwn is a fact of this package.
func (t *thread) askOwn(r *store.Reads, name string) func() (any, error) {
	fail := func(err error) func() (any, error) { return func() (any, error) { return nil, err } }
	form := t.filled.plainForm()
	if name != FactSeat {
		text, _ := form["text"].(string)
		if t.draft == nil || t.draft.text != text {
			return fail(errUnproved)
		}
		return func() (any, error) { return t.draft.facts[name], nil }
	}
	a, err := t.svc.appointment(form, t.now)
	if err != nil {
		return fail(err)
	}
	found := a.ask(r)
	return func() (any, error) {
		seat, err := found()
		if err != nil {
			return nil, err
		}
		holders := []string{}
		for _, h := range seat.held {
			holders = append(holders, h.PersonID.TypeID("per"))
		}
		return map[string]any{"capacity": seat.Capacity, "holders": holders, "from": a.from, "until": a.until}, nil
	}
}
