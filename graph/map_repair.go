package graph

import (
	"context"
	"slices"

	"kelian/desk/repair"
	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
)

func (r *Resolver) ticket(ctx context.Context, v repair.View) model.RepairTicket {
	r.load(ctx).asked.Want(v.ID)
	out := model.RepairTicket{ID: v.ID.TypeID("tkt"), Number: v.Number, Kind: model.RepairKind(v.Kind), State: model.RepairState(v.State),
		Building: some(v.Building), Title: text(v.Title.Zh, v.Title.En), Text: some(v.Text), Reporter: v.Reporter, CreatedAt: v.CreatedAt, DueAt: v.Due,
		Late: v.Late, ClosedAt: when(v.ClosedAt), WorkedMinutes: int(v.Worked.Minutes()), Incident: ref("inc", v.Incident), Request: ref("req", v.Request),
		Key: v.ID, AssignmentKey: v.Assignment}
	for _, a := range v.Actions {
		if name, ok := actionNames[a]; ok {
			out.Actions = append(out.Actions, name)
		}
	}
	return out
}

// repairActions are the schema's words for the machine's actions.
var repairActions = map[model.RepairAction]repair.Action{
	model.RepairActionTriage: repair.ActTriage, model.RepairActionAssign: repair.ActAssign, model.RepairActionAccept: repair.ActAccept,
	model.RepairActionDecline: repair.ActDecline, model.RepairActionClaim: repair.ActClaim, model.RepairActionRelease: repair.ActRelease,
	model.RepairActionTakeOver: repair.ActTakeOver, model.RepairActionNeedPart: repair.ActNeedPart, model.RepairActionPartsArrived: repair.ActPartsArrived,
	model.RepairActionWaitForOwner: repair.ActWaitOwner, model.RepairActionResume: repair.ActResume, model.RepairActionFix: repair.ActFix,
	model.RepairActionUnfixable: repair.ActUnfixable, model.RepairActionReturn: repair.ActReturn, model.RepairActionClose: repair.ActClose,
	model.RepairActionCancel: repair.ActCancel, model.RepairActionReopen: repair.ActReopen, model.RepairActionNote: repair.ActNote,
}

var actionNames = func() map[repair.Action]model.RepairAction {
	out := map[repair.Action]model.RepairAction{}
	for name, a := range repairActions {
		out[a] = name
	}
	return out
}()

// reporterActions are those that the holder of a link has.
var reporterActions = map[model.ReporterAction]repair.Action{
	model.ReporterActionCancel: repair.ActCancel, model.ReporterActionResume: repair.ActResume, model.ReporterActionClose: repair.ActClose,
	model.ReporterActionReopen: repair.ActReopen, model.ReporterActionNote: repair.ActNote,
}

func (r *Resolver) assignment(ctx context.Context, a repair.Asked) model.Assignment {
	return model.Assignment{ID: a.ID.TypeID("asg"), Person: r.person(ctx, a.Person, a.Name), State: model.AssignmentState(a.State), OfferedAt: a.OfferedAt,
		Deadline: when(a.Deadline), Explanation: text(a.Why.Zh, a.Why.En)}
}

func reporterTicket(v repair.LinkView) model.ReporterTicket {
	out := model.ReporterTicket{Number: v.Number, State: model.RepairState(v.State), DueAt: v.Due, PickupCode: some(v.PickupCode)}
	for name, a := range reporterActions {
		if slices.Contains(v.Actions, a) {
			out.Actions = append(out.Actions, name)
		}
	}
	slices.Sort(out.Actions)
	worker := v.WorkerName
	if o := v.Outage; o != nil {
		if worker == "" {
			worker = o.Worker // nobody is asked for a report that follows an incident
		}
		t := text(o.Title.Zh, o.Title.En)
		if o.Reason.Zh != "" {
			t = text(t.Zh+"。"+o.Reason.Zh, t.En+". "+o.Reason.En)
		}
		out.Explanation = &t
	}
	out.Worker = some(worker)
	for _, l := range v.Lines {
		out.Events = append(out.Events, model.TicketEvent{At: l.At, State: model.RepairState(l.To), Note: some(l.Note)})
	}
	return out
}

// reporterTicket reads what the holder of a link sees; nil for no link.
func (r *Resolver) byLink(ctx context.Context, token string) (*model.ReporterTicket, error) {
	v, err := r.Repair.ByLink(ctx, token)
	if err != nil {
		return nil, gone(err)
	}
	out := reporterTicket(v)
	return &out, nil
}

// ticketByID reads one ticket; nil when it is absent or foreign.
func (r *Resolver) ticketByID(ctx context.Context, ticket id.ID) (*model.RepairTicket, error) {
	v, err := r.Repair.Ticket(ctx, actorOf(ctx), ticket)
	if err != nil {
		return nil, gone(err)
	}
	out := r.ticket(ctx, v)
	return &out, nil
}

func (r *Resolver) ticketPayload(ctx context.Context, out repair.Outcome, err error) (model.RepairTicketPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.RepairTicketPayload{UserErrors: refused}, err
	}
	t, err := r.ticketByID(ctx, out.Ticket)
	return model.RepairTicketPayload{Ticket: t}, err
}

// actOnTicket runs one of the actions that need no more than a note, a pick-up
// code or a text.
func (r *Resolver) actOnTicket(ctx context.Context, in model.ActOnRepairInput) (repair.Outcome, error) {
	ticket, err := parse("tkt", in.Ticket, "ticket")
	if err != nil {
		return repair.Outcome{}, err
	}
	who, note := actorOf(ctx), or(in.Note)
	switch a := repairActions[in.Action]; a {
	case repair.ActTriage, repair.ActAssign, repair.ActNeedPart:
		return repair.Outcome{}, fault.Input("action", "这个动作有自己的变更：triageRepair、assignRepair、needPart", "this action has a mutation of its own: triageRepair, assignRepair, needPart")
	case repair.ActReturn:
		return r.Repair.Return(ctx, who, repair.ReturnInput{Ticket: ticket, Code: or(in.PickupCode), Note: note, IdempotencyKey: in.IdempotencyKey})
	case repair.ActNote:
		return r.Repair.Note(ctx, who, repair.NoteInput{Ticket: ticket, Text: note, Public: or(in.Public), IdempotencyKey: in.IdempotencyKey})
	default:
		return r.Repair.Do(ctx, who, a, repair.Input{Ticket: ticket, Note: note, IdempotencyKey: in.IdempotencyKey})
	}
}

var contactKinds = map[model.ContactKind]string{model.ContactKindPhone: "phone", model.ContactKindQq: "qq", model.ContactKindWechat: "wechat", model.ContactKindEmail: "email"}

func kindOfContact(kind string) *model.ContactKind {
	for name, k := range contactKinds {
		if k == kind {
			return &name
		}
	}
	return nil
}

// parseRef reads the identifier of an object of any kind.
func parseRef(s, field string) (outbox.Ref, error) {
	kind, v, err := id.Split(s)
	if err != nil {
		return outbox.Ref{}, fault.Input(field, "不是编号", "not an identifier")
	}
	return outbox.Ref{Kind: kind, ID: v}, nil
}
