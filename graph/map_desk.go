package graph

import (
	"context"
	"time"

	"kelian/auth"
	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/desk/training"
	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
)

func (r *Resolver) purchase(ctx context.Context, p property.Purchase) model.Purchase {
	r.load(ctx).lines.Want(p.ID)
	return model.Purchase{ID: p.ID.TypeID("pur"), Number: p.Number, State: model.PurchaseState(p.State), Total: p.Total, Funded: p.Funded,
		Request: p.Request.TypeID("req"), Ticket: ref("tkt", p.Ticket), Reason: some(p.Reason), CreatedAt: p.CreatedAt, Key: p.ID}
}

func (r *Resolver) purchaseByID(ctx context.Context, purchase id.ID) (*model.Purchase, error) {
	found, err := r.Property.PurchasesByID(ctx, actorOf(ctx), purchase)
	p, ok := found[purchase]
	if err != nil || !ok {
		return nil, err
	}
	out := r.purchase(ctx, p)
	return &out, nil
}

func (r *Resolver) sealUse(ctx context.Context, u property.SealUse) model.SealUse {
	return model.SealUse{ID: u.ID.TypeID("sea"), Request: u.Request.TypeID("req"), Number: u.Number, Seal: u.Seal, Title: u.Title, Recipient: u.Recipient,
		Copies: int(u.Copies), Sha256: u.SHA256, Requester: r.personOrNil(ctx, u.Requester, ""), Unit: u.Unit, SealedAt: u.SealedAt}
}

// actOnPurchase is the frame of the three actions.
func (r *Resolver) actOnPurchase(ctx context.Context, in model.PurchaseActionInput,
	act func(ctx context.Context, in property.PurchaseActInput) (property.Outcome, error)) (model.PurchasePayload, error) {
	purchase, err := parse("pur", in.Purchase, "purchase")
	if err == nil {
		_, err = act(ctx, property.PurchaseActInput{Purchase: purchase, Reason: or(in.Reason), IdempotencyKey: in.IdempotencyKey})
	}
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.PurchasePayload{UserErrors: refused}, err
	}
	p, err := r.purchaseByID(ctx, purchase)
	return model.PurchasePayload{Purchase: p}, err
}

func organisationOf(o sponsor.Organisation) model.Organisation {
	return model.Organisation{ID: o.ID.TypeID("out"), Name: o.Name, Kind: model.OrganisationKind(o.Kind)}
}

func (r *Resolver) pledge(ctx context.Context, p sponsor.Pledge) model.Pledge {
	r.load(ctx).organisations.Want(p.Organisation)
	r.load(ctx).thanks.Want(p.ID)
	out := model.Pledge{ID: p.ID.TypeID("plg"), Number: p.Number, Kind: model.PledgeKind(p.Kind), State: model.PledgeState(p.State), Promised: p.Amount,
		Received: p.Received, Allocated: p.Allocated, DueAt: when(p.DueAt), Returns: p.Returns, CreatedAt: p.CreatedAt, Key: p.ID, SponsorKey: p.Organisation}
	if p.Kind == sponsor.Cash {
		out.Available = p.Left()
	}
	return out
}

func (r *Resolver) pledgeByID(ctx context.Context, pledge id.ID) (*model.Pledge, error) {
	p, err := r.Sponsor.PledgeByID(ctx, actorOf(ctx), pledge)
	if err != nil {
		return nil, gone(err)
	}
	out := r.pledge(ctx, *p)
	return &out, nil
}

func (r *Resolver) pledgePayload(ctx context.Context, pledge id.ID, err error, names ...string) (model.PledgePayload, error) {
	refused, err := r.refusals(ctx, err, names...)
	if err != nil || refused != nil {
		return model.PledgePayload{UserErrors: refused}, err
	}
	p, err := r.pledgeByID(ctx, pledge)
	return model.PledgePayload{Pledge: p}, err
}

// fresh asks that the password was given within the last ten minutes: money
// moves.
func (r *Resolver) fresh(ctx context.Context) error {
	return auth.Fresh(whoOf(ctx).info, r.Clock.Now())
}

var pledgeActions = map[model.PledgeAction]sponsor.Action{
	model.PledgeActionContact: sponsor.ActContact, model.PledgeActionNegotiate: sponsor.ActNegotiate, model.PledgeActionAgree: sponsor.ActAgree,
	model.PledgeActionDeliver: sponsor.ActDeliver, model.PledgeActionThank: sponsor.ActThank, model.PledgeActionLose: sponsor.ActLose,
}

func (r *Resolver) actOnPledge(ctx context.Context, pledge string, in sponsor.ActInput) (model.PledgePayload, error) {
	var err error
	if in.Pledge, err = parse("plg", pledge, "pledge"); err == nil {
		_, err = r.Sponsor.Act(ctx, actorOf(ctx), in)
	}
	names := []string{"due", "dueAt"}
	if in.Action == sponsor.ActAgree {
		names = append(names, "amount", "promised")
	}
	return r.pledgePayload(ctx, in.Pledge, err, names...)
}

func (r *Resolver) trainingTask(ctx context.Context, v training.TaskView) model.TrainingTask {
	r.load(ctx).sessions.Want(v.Session)
	out := model.TrainingTask{ID: v.ID.TypeID("trt"), Kind: model.TrainingTaskKind(v.Kind), State: model.TrainingTaskState(v.State), DueAt: v.DueAt,
		Person: r.personOrNil(ctx, v.Person, v.Name), SessionKey: v.Session}
	if v.Why.Zh != "" {
		why := text(v.Why.Zh, v.Why.En)
		out.Explanation = &why
	}
	return out
}

func (r *Resolver) session(ctx context.Context, t *model.TrainingTask) (training.Session, error) {
	s, ok, err := r.load(ctx).sessions.Get(ctx, t.SessionKey)
	if err == nil && !ok {
		err = fault.Missing()
	}
	return s, err
}

func (r *Resolver) trainingTaskByID(ctx context.Context, task id.ID) (*model.TrainingTask, error) {
	list, err := r.Training.TasksByID(ctx, actorOf(ctx), task)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	out := r.trainingTask(ctx, list[0])
	return &out, nil
}

var trainingActions = map[model.TrainingTaskAction]training.Action{
	model.TrainingTaskActionAccept: training.ActAccept, model.TrainingTaskActionDecline: training.ActDecline, model.TrainingTaskActionSwap: training.ActSwap,
	model.TrainingTaskActionAnswer: training.ActAnswer, model.TrainingTaskActionAssign: training.ActAssign, model.TrainingTaskActionDone: training.ActDone,
}

// cursorOf is for the desks that tell the next page by the last row's place.
func cursorOf(at time.Time, row id.ID) string { return store.Cursor(at, row) }
