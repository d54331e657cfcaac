package app

import (
	"context"

	"kelian/desk/dispatch"
	"kelian/desk/property"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/trace"
	"kelian/org"
)

// cards says who describes which kind of object in a trace. Each asks the
// domain that owns the object, which leaves out what the actor may not see.
func (a *App) cards() map[string]trace.Cards {
	return map[string]trace.Cards{
		"trn": a.transitionCards, "inc": a.incidentCards, "hst": a.hostCards, "tkt": a.ticketCards, "asg": a.assignmentCards,
		"req": a.requestCards, "dec": a.decisionCards, "pur": a.purchaseCards, "res": a.reservationCards,
		"plg": a.pledgeCards, "led": a.entryCards, "thk": a.thanksCards, "trg": a.trainingCards, "trt": a.trainingTaskCards, "ntf": a.notificationCards,
	}
}

func (a *App) incidentCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Netmon.IncidentsByID(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for _, v := range list {
		state := "CLOSED"
		if v.Open {
			state = "OPEN"
		}
		out[v.ID] = trace.Card{Zh: "故障 " + v.Number + "：" + v.Title.Zh, En: "Incident " + v.Number + ": " + v.Title.En, State: state, At: v.OpenedAt,
			Path: "/incidents/" + v.ID.TypeID("inc")}
	}
	return out, hide(err)
}

func (a *App) hostCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Netmon.HostsByID(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for _, v := range list {
		out[v.ID] = trace.Card{Zh: "主机 " + v.Name.Zh, En: "Host " + v.Name.En, State: string(v.State)}
	}
	return out, hide(err)
}

func (a *App) ticketCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Repair.Many(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: "报修 " + v.Number + "：" + v.Title.Zh, En: "Repair " + v.Number + ": " + v.Title.En, State: string(v.State), At: v.CreatedAt,
			Path: "/tickets/" + k.TypeID("tkt")}
	}
	return out, hide(err)
}

// assignmentCards shows an assignment to those who see its task.
func (a *App) assignmentCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	rows, err := dispatch.ByID(ctx, a.DB.R, ids...)
	if err != nil {
		return nil, err
	}
	tasks := map[string][]id.ID{}
	var people []id.ID
	for _, r := range rows {
		tasks[r.TaskKind] = append(tasks[r.TaskKind], r.TaskID)
		people = append(people, r.Person)
	}
	tickets, err := a.ticketCards(ctx, actor, tasks["repair"])
	if err != nil {
		return nil, err
	}
	sessions, err := a.trainingTaskCards(ctx, actor, tasks["training"])
	if err != nil {
		return nil, err
	}
	names, err := org.Names(ctx, a.DB.R, people...)
	if err != nil {
		return nil, err
	}
	out := map[id.ID]trace.Card{}
	for k, r := range rows {
		_, seen := tickets[r.TaskID]
		if _, ok := sessions[r.TaskID]; !seen && !ok {
			continue
		}
		out[k] = trace.Card{Zh: "派给 " + names[r.Person], En: "Given to " + names[r.Person], State: string(r.State), At: r.OfferedAt}
	}
	return out, nil
}

func (a *App) requestCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Workflow.Summaries(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: v.Kind.Zh + " " + v.Number + "：" + v.Title, En: v.Kind.En + " " + v.Number + ": " + v.TitleIn().En, State: string(v.Status), At: v.OpenedAt,
			Path: "/requests/" + k.TypeID("req")}
	}
	return out, hide(err)
}

func (a *App) decisionCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Workflow.DecisionCards(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		seat := org.SeatTitle(v.Seat)
		out[k] = trace.Card{Zh: "意见（" + seat.Zh + "）", En: "Decision by " + seat.En, State: string(v.Verdict), At: v.At}
	}
	return out, hide(err)
}

func (a *App) transitionCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Netmon.TransitionCards(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: "检测：" + v.Why.Zh, En: "Observed: " + v.Why.En, State: v.To, At: v.At}
	}
	return out, hide(err)
}

func (a *App) purchaseCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Property.PurchasesByID(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: "采购 " + v.Number + "，" + property.Yuan(v.Total) + " 元", En: v.NumberEn() + ", " + property.Yuan(v.Total) + " yuan",
			State: string(v.State), At: v.CreatedAt, Path: "/purchases"}
	}
	return out, hide(err)
}

func (a *App) reservationCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Property.ReservationsByID(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		span := v.From.In(a.Config.Timezone).Format("01-02 15:04") + "–" + v.Until.In(a.Config.Timezone).Format("15:04")
		out[k] = trace.Card{Zh: "预约 " + span, En: "Reservation " + span, State: string(v.State), At: v.CreatedAt}
	}
	return out, hide(err)
}

func (a *App) pledgeCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	_, _, list, err := a.Sponsor.Cards(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: v.Number + "，" + property.Yuan(v.Amount) + " 元", En: v.NumberEn() + ", " + property.Yuan(v.Amount) + " yuan",
			State: string(v.State), At: v.CreatedAt, Path: "/pledges"}
	}
	return out, hide(err)
}

func (a *App) entryCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, _, _, err := a.Sponsor.Cards(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: "记账 " + property.Yuan(v.Amount) + " 元", En: "Ledger entry of " + property.Yuan(v.Amount) + " yuan", State: string(v.Kind), At: v.At, Path: "/pledges"}
	}
	return out, hide(err)
}

func (a *App) thanksCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	_, list, _, err := a.Sponsor.Cards(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		state := "OWED"
		if !v.DoneAt.IsZero() {
			state = "DONE"
		}
		out[k] = trace.Card{Zh: "致谢", En: "Thanks", State: state, At: v.OwedAt, Path: "/pledges"}
	}
	return out, hide(err)
}

func (a *App) trainingCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Training.SessionsByID(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		out[k] = trace.Card{Zh: "培训：" + v.Title, En: "Training: " + v.Title, State: string(v.State), At: v.StartsAt}
	}
	return out, hide(err)
}

func (a *App) trainingTaskCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Training.TasksByID(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for _, v := range list {
		out[v.ID] = trace.Card{Zh: "培训任务 " + string(v.Kind), En: "Training task " + string(v.Kind), State: string(v.State), At: v.DueAt}
	}
	return out, hide(err)
}

func (a *App) notificationCards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	list, err := a.Notify.Cards(ctx, actor, ids...)
	if err != nil {
		return nil, hide(err)
	}
	var people []id.ID
	for _, v := range list {
		if !v.Person.IsZero() {
			people = append(people, v.Person)
		}
	}
	names, err := org.Names(ctx, a.DB.R, people...)
	if err != nil {
		return nil, err
	}
	out := map[id.ID]trace.Card{}
	for k, v := range list {
		zh, en := "报修人", "the reporter"
		if n, ok := names[v.Person]; ok {
			zh, en = n, n
		}
		out[k] = trace.Card{Zh: "告知 " + zh, En: "Told " + en, State: v.Topic, At: v.At}
	}
	return out, nil
}

// hide turns a refusal into nothing to see.
func hide(err error) error {
	if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
