package repair

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// plain holds the actions that Do runs.
var plain = map[Action]func(a *act, to State) error{
	ActAccept:       (*act).accept,
	ActDecline:      func(a *act, to State) error { return a.giveBack(ActDecline, dispatch.StateDeclined, to) },
	ActRelease:      func(a *act, to State) error { return a.giveBack(ActRelease, dispatch.Released, to) },
	ActClaim:        (*act).claim,
	ActTakeOver:     (*act).takeOver,
	ActPartsArrived: func(a *act, to State) error { a.become(ActPartsArrived, to); return nil },
	ActWaitOwner:    (*act).waitOwner,
	ActResume:       func(a *act, to State) error { a.become(ActResume, to); return nil },
	ActFix:          (*act).fix,
	ActUnfixable:    (*act).unfixable,
	ActClose:        (*act).close,
	ActCancel:       (*act).cancel,
	ActReopen:       (*act).reopen,
}

func (a *act) accept(to State) error {
	a.s.Dispatcher.Accept(a.tx, a.t.Assignment, a.now)
	a.become(ActAccept, to)
	a.tellReporter("repair.assigned")
	return nil
}

// giveBack ends the assignment and asks the next person.
func (a *act) giveBack(action Action, end dispatch.State, to State) error {
	a.end(end)
	a.become(action, to)
	return a.dispatch()
}

func (a *act) claim(to State) error {
	return a.take(ActClaim, dispatch.Claimed, to)
}

func (a *act) takeOver(to State) error {
	if a.t.Worker == a.actor.Person {
		return fault.Refuse("ALREADY_YOURS", "这张报修单已经是你的了", "the ticket is yours already")
	}
	if !slices.Contains(a.roles, Lead) && a.now.Before(a.t.LeaseUntil) {
		return fault.Refuse("LEASED", "同事还在处理，48 小时没有动静后才能接手；急的话请负责人接手或改派",
			"a colleague is at it; it can be taken over after 48 hours without a move, or by a lead at once").At("ticket")
	}
	a.end(dispatch.StateTaken)
	return a.take(ActTakeOver, dispatch.TakenOver, to)
}

// take gives the ticket to the actor, as accepted.
func (a *act) take(action Action, how dispatch.How, to State) error {
	if a.t.attached() {
		return errAttached()
	}
	asg, err := a.s.Dispatcher.Give(a.ctx, a.tx, store.NewReads(a.tx), a.t.task(), a.t.need(), a.actor.Person, how, id.Nil, a.now)
	if err != nil {
		return err
	}
	a.t.Worker, a.t.Assignment = asg.Person, asg.ID
	a.become(action, to)
	a.tellReporter("repair.assigned")
	return nil
}

func errAttached() error {
	return fault.Refuse("ATTACHED", "这张报修单跟随网络故障的报修单，故障修好后一起关闭", "this report follows the incident's ticket and is closed with it")
}

func (a *act) waitOwner(to State) error {
	a.public = true
	a.become(ActWaitOwner, to)
	a.tellReporter("repair.status")
	return nil
}

func (a *act) fix(to State) error {
	a.public = true
	a.end(dispatch.Done)
	a.become(ActFix, to)
	a.tellReporter("repair.fixed")
	if a.t.Source == FromIncident {
		outbox.Put(a.tx, outbox.Event{Topic: TopicAttached, Aggregate: a.t.Incident, Payload: attachedPayload{a.t.Incident, true}})
	}
	a.wind()
	return nil
}

func (a *act) unfixable(to State) error {
	a.public = true
	a.end(dispatch.Done)
	a.become(ActUnfixable, to)
	a.tellReporter("repair.unfixable")
	a.wind()
	return nil
}

// wind sets the timers of the end: a device is reminded of, anything else
// closes itself.
func (a *act) wind() {
	if a.t.Device {
		a.remind(0)
		return
	}
	outbox.Timer(a.tx, a.t.ID, timerClose, outbox.Event{Topic: TopicAutoClose, Aggregate: a.t.ID, Payload: ticketPayload{a.t.ID}, DueAt: a.now.Add(CloseWait)})
}

func (a *act) remind(n int) {
	if n < len(pickupReminders) {
		outbox.Timer(a.tx, a.t.ID, timerPickup, outbox.Event{Topic: TopicPickup, Aggregate: a.t.ID, Payload: pickupPayload{a.t.ID, n},
			DueAt: a.t.FixedAt.AddDate(0, 0, pickupReminders[n])})
	}
}

func (a *act) close(to State) error {
	if a.t.Device && a.t.State != Returned {
		return fault.Refuse("DEVICE_NOT_RETURNED", "设备还没有取回，请先登记归还", "the device has not been returned; record its return first")
	}
	a.become(ActClose, to)
	a.shut()
	return nil
}

func (a *act) cancel(to State) error {
	a.public, a.reason = true, ReasonDeclined
	if slices.Contains(a.roles, Reporter) && !slices.Contains(a.roles, Lead) {
		a.reason = ReasonWithdrawn
	}
	a.end(dispatch.Cancelled)
	a.become(ActCancel, to)
	if a.t.Reason == ReasonDeclined {
		a.tellReporter("repair.cancelled")
	}
	a.shut()
	return nil
}

// shut takes back the timers and starts the time after which the reporter's
// personal values are erased.
func (a *act) shut() {
	outbox.Void(a.tx, a.t.ID)
	a.tx.QueueSQL(`UPDATE personal SET until = ? WHERE subject = ?`, a.t.keep(), a.t.ID)
}

func (a *act) reopen(to State) error {
	t := a.t
	end := t.FixedAt
	if !t.ClosedAt.IsZero() {
		end = t.ClosedAt
	}
	switch {
	case !t.ErasedAt.IsZero():
		return fault.Refuse("ERASED", "这张报修单的个人信息已删除，请重新报修", "the personal data of this ticket is erased; please report again")
	case t.State == Cancelled && t.Reason != ReasonRecovered:
		return wrongState(t)
	case a.now.After(end.Add(ReopenWithin)):
		return fault.Refuse("TOO_LATE", "结束超过 14 天不能重新打开，请重新报修", "it ended more than 14 days ago; please report again")
	}
	if t.attached() {
		t.Incident = id.Nil // it is a case of its own now
	}
	t.FixedAt, t.ClosedAt, t.Reason = time.Time{}, time.Time{}, ""
	t.DueAt, t.PausedFor = a.now.Add(t.Kind.term()), 0
	a.become(ActReopen, to)
	outbox.Void(a.tx, t.ID)
	a.tx.QueueSQL(`UPDATE personal SET until = NULL WHERE subject = ?`, t.ID)
	return a.dispatch()
}

// TriageInput says what a ticket needs. Kind "" and Device nil leave what is
// there; no skills means those of the kind.
type TriageInput struct {
	Ticket         id.ID
	Kind           Kind
	Device         *bool
	Skills         []string
	Certificates   []string
	Note           string
	IdempotencyKey string
}

// Triage says what the ticket needs and asks the first technician at once:
// ASSIGNED, or TRIAGED with nobody free.
func (s *Service) Triage(ctx context.Context, actor org.Actor, in TriageInput) (Outcome, error) {
	if in.Kind != "" && !slices.Contains(Kinds, in.Kind) {
		return Outcome{}, fault.Input("kind", "没有这种报修", "no such kind of repair")
	}
	for field, list := range map[string][]string{"skills": in.Skills, "certificates": in.Certificates} {
		if err := checkNames(field, list); err != nil {
			return Outcome{}, err
		}
	}
	return s.act(ctx, actor, ActTriage, in.Ticket, in.IdempotencyKey, in, func(a *act, to State) error {
		if a.t.attached() {
			return errAttached()
		}
		if err := a.say(in.Note); err != nil {
			return err
		}
		a.t.require(in)
		a.become(ActTriage, to)
		return a.dispatch()
	})
}

// AssignInput names who gets the ticket.
type AssignInput struct {
	Ticket         id.ID
	Person         id.ID
	Note           string
	IdempotencyKey string
}

// Assign offers the ticket to a named technician, whatever their skills and
// hours; the capacity holds.
func (s *Service) Assign(ctx context.Context, actor org.Actor, in AssignInput) (Outcome, error) {
	var holders func() []org.Holder
	ask := func(r *store.Reads, now time.Time) {
		holders = org.AskHolders(r, now, slices.Concat(technicians, leadSeats)...)
	}
	return s.act(ctx, actor, ActAssign, in.Ticket, in.IdempotencyKey, in, func(a *act, _ State) error {
		if a.t.attached() {
			return errAttached()
		}
		if err := a.say(in.Note); err != nil {
			return err
		}
		if !slices.ContainsFunc(holders(), func(h org.Holder) bool { return h.Person == in.Person }) {
			return fault.Refuse("NOT_A_TECHNICIAN", "这位同学现在不是技术部的人员", "this person holds no seat in the technical department now").At("person")
		}
		if a.t.Worker == in.Person {
			return fault.Refuse("ALREADY_ASKED", "已经派给这位同学了", "this person has been asked already").At("person")
		}
		a.end(dispatch.Cancelled)
		asg, err := s.Dispatcher.Give(a.ctx, a.tx, store.NewReads(a.tx), a.t.task(), a.t.need(), in.Person, dispatch.ByHand, a.actor.Person, a.now)
		if err != nil {
			return err
		}
		a.offer(ActAssign, asg)
		return nil
	}, ask)
}

// ReturnInput hands a device back. Code is the pick-up code, if the reporter
// shows it; a wrong one is refused.
type ReturnInput struct {
	Ticket         id.ID
	Code           string
	Note           string
	IdempotencyKey string
}

// Return records that the device went back to its owner.
func (s *Service) Return(ctx context.Context, actor org.Actor, in ReturnInput) (Outcome, error) {
	return s.act(ctx, actor, ActReturn, in.Ticket, in.IdempotencyKey, in, func(a *act, to State) error {
		if !a.t.Device {
			return fault.Refuse("NO_DEVICE", "这张报修单没有收过设备，直接关闭即可", "nothing was handed in for this ticket; close it")
		}
		if in.Code != "" && in.Code != s.PickupCode(a.t.ID) {
			return fault.Refuse("WRONG_CODE", "取件码不对，请核对报修页面上的取件码", "the pick-up code is wrong; compare it with the ticket's page").At("code")
		}
		if err := a.say(in.Note); err != nil {
			return err
		}
		a.become(ActReturn, to)
		outbox.Void(a.tx, a.t.ID, timerPickup)
		outbox.Timer(a.tx, a.t.ID, timerClose, outbox.Event{Topic: TopicAutoClose, Aggregate: a.t.ID, Payload: ticketPayload{a.t.ID}, DueAt: a.now.Add(CloseWait)})
		return nil
	})
}

// NoteInput adds to the timeline.
type NoteInput struct {
	Ticket         id.ID
	Text           string // 1 to 2,000 characters
	Public         bool   // the reporter sees it
	IdempotencyKey string
}

// Note adds a line to the timeline.
func (s *Service) Note(ctx context.Context, actor org.Actor, in NoteInput) (Outcome, error) {
	return s.act(ctx, actor, ActNote, in.Ticket, in.IdempotencyKey, in, func(a *act, _ State) error {
		if err := checkText("text", in.Text, 1, 2000); err != nil {
			return err
		}
		if err := a.say(in.Text); err != nil {
			return err
		}
		if slices.Contains(a.roles, Holder) && a.t.State.taken() {
			a.t.LeaseUntil = a.now.Add(Lease)
		}
		a.public = in.Public
		a.enter(ActNote, a.t.State)
		return nil
	})
}

// SetCapacity sets how many tasks a technician has at most.
func (s *Service) SetCapacity(ctx context.Context, actor org.Actor, person id.ID, n int, key string) error {
	now := s.clock.Now()
	in := fmt.Sprint(person, n)
	_, err := store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "setRepairCapacity", key, in), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.rules.Check(actor, "repair.capacity", org.Object{Unit: "technical"}); err != nil {
			return struct{}{}, err
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: s.rules.Under(actor, "repair.capacity", org.Object{Unit: "technical"}), Action: "repair.capacity",
			Object: outbox.Ref{Kind: "per", ID: person}, Data: map[string]int{"capacity": n}, At: now})
		return struct{}{}, dispatch.SetCapacity(ctx, tx, person, n)
	})
	return err
}

// require takes over what a triage says.
func (t *Ticket) require(in TriageInput) {
	if in.Kind != "" {
		t.Kind = in.Kind
	}
	if in.Device != nil {
		t.Device = *in.Device
	}
	skills := in.Skills
	if len(skills) == 0 && t.Source == FromReport {
		skills = t.Kind.skills()
	}
	if len(skills) > 0 {
		t.Skills = strings.Join(skills, ",")
	}
	t.Certificates = strings.Join(in.Certificates, ",")
}
