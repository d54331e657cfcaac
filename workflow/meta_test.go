package workflow_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// settled carries the effects of approvals and gives what the requester is told
// could not be done.
func (f *fed) settled(request id.ID) []string {
	f.t.Helper()
	f.carry(map[string]func(context.Context, outbox.Delivery) error{workflow.TopicApproved: f.svc.OnApproved})
	var out []string
	for _, p := range f.events(workflow.TopicUndone, request) {
		var u workflow.UndonePayload
		if err := json.Unmarshal([]byte(p), &u); err != nil {
			f.t.Fatal(err)
		}
		out = append(out, u.En)
	}
	return out
}

func (f *fed) holders(seat string) (out []string) {
	f.t.Helper()
	list, err := org.Holders(context.Background(), f.db.R, seat, f.clock.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, h := range list {
		out = append(out, nameOf[h.Person])
	}
	return out
}

func TestAnApprovedWorkflowIsPublished(t *testing.T) {
	outbox.Route(workflow.TopicUndone, "test")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		text := edited(t, "office.property", "value: 50000", "value: 100000")
		ask := func(over string) (id.ID, error) {
			form := with(t, newFlow, asJSON(map[string]any{"definition": "office.property", "text": text}))
			out, err := f.svc.Submit(ctx, by("odeputy"), workflow.SubmitInput{Definition: "meta.publish", Form: jsonForm(t, with(t, form, over)), IdempotencyKey: f.key()})
			return out.Request, err
		}
		req, err := ask("")
		if err != nil {
			t.Fatal(err)
		}
		v := f.view("hejing", req)
		facts := map[string]string{}
		for _, d := range v.Desk {
			facts[d.Name] = string(d.Value)
		}
		if !strings.Contains(facts["workflow.proof"], `"control":{"explored":`) || !strings.Contains(facts["workflow.diff"], `50000 → 100000`) || !strings.Contains(facts["workflow.diff"], `"from":1`) {
			t.Errorf("%v", facts)
		}
		second, err := ask("")
		if err != nil {
			t.Fatal(err)
		}
		f.approve(req, "hejing", "suhead", "chair")
		f.status(req, flow.Approved)
		if told := f.settled(req); len(told) != 0 {
			t.Errorf("%v", told)
		}
		f.settled(req) // delivered again
		vs, err := f.svc.Versions(ctx, by("odeputy"), "office.property")
		if err != nil || len(vs) != 2 || vs[1].Retired {
			t.Fatalf("%+v %v", vs, err)
		}
		f.sound(req)

		// The second was compared with what is no longer published.
		f.approve(second, "hejing", "suhead", "chair")
		if told := f.settled(second); len(told) != 1 || !strings.Contains(told[0], "meanwhile") {
			t.Errorf("%v", told)
		}
		if vs, err := f.svc.Versions(ctx, by("odeputy"), "office.property"); err != nil || len(vs) != 2 {
			t.Fatalf("%+v %v", vs, err)
		}
	})
}

func TestOnlySoundWorkflowsAreAskedFor(t *testing.T) {
	f, ctx := newFed(t, testkit.SQLite(t)), context.Background()
	submit := func(over map[string]any) error {
		form := with(t, newFlow, asJSON(over))
		return errOf(f.svc.Submit(ctx, by("odeputy"), workflow.SubmitInput{Definition: "meta.publish", Form: jsonForm(t, form), IdempotencyKey: f.key()}))
	}
	refused[workflow.Problems](t, submit(map[string]any{"text": "key: office.trial\nunit: office\n"}), "DEFINITION_INVALID")
	err := submit(map[string]any{"text": strings.Replace(trial("", keeperStep, headStep), ", max: 3", "", 1)})
	if p := refused[workflow.Problems](t, err, "DEFINITION_INVALID"); p[0].Code != "ENDLESS_CYCLE" {
		t.Errorf("%+v", p)
	}
	if e, _ := fault.As(err); strings.Join(e.Path, "/") != "form/text" {
		t.Errorf("%v", e.Path)
	}
	empty := trial("", strings.Replace(keeperStep, "office.keeper", "league.finance", 1), headStep)
	refused[workflow.Problems](t, submit(map[string]any{"text": empty, "league": true}), "DEFINITION_INVALID")
	if err := submit(map[string]any{"text": empty, "league": true, "understaffed": true}); err != nil {
		t.Errorf("although a step lacks people: %v", err)
	}
	for pointer, over := range map[string]map[string]any{
		"/definition": {"definition": "office.other"},
		"/league":     {"text": trial("", keeperStep, strings.Replace(headStep, "office.head", "league.teacher", 1))},
	} {
		if p := refused[*workflow.FormProblems](t, submit(over), "FORM_INVALID"); len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", pointer, p.Errors)
		}
	}
}

func TestAnApprovedAppointmentTakesEffect(t *testing.T) {
	outbox.Route(workflow.TopicUndone, "test")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		head := with(t, appoint, asJSON(map[string]any{"seat": "technical.head", "replaces": named("techhead").TypeID("per"), "from": "2026-10-01"}))
		req := f.submit("odeputy", "meta.seat", "office", head)
		again := f.submit("odeputy", "meta.seat", "office", head)
		f.approve(req, "hejing", "suhead", "chair")
		if told := f.settled(req); len(told) != 0 {
			t.Fatalf("%v", told)
		}
		f.clock.Advance(time.Second)
		if got := strings.Join(f.holders("technical.head"), " "); got != "linxiaoman" {
			t.Errorf("the seat is held by %s", got)
		}
		f.sound(req)
		f.approve(again, "hejing", "suhead", "chair")
		if told := f.settled(again); len(told) != 1 {
			t.Errorf("seated twice: %v", told)
		}

		later := f.submit("odeputy", "meta.seat", "office", with(t, appoint, `{"from":"2026-12-01","to":"2027-06-30","kind":"acting"}`))
		f.approve(later, "hejing", "suhead", "chair")
		f.settled(later)
		var until time.Time
		if err := db.R.NewRaw(`SELECT until_at FROM tenure JOIN seat ON seat.id = tenure.seat_id WHERE seat.name = 'technical.deputy' AND person_id = ? AND tenure.kind = 'ACTING'`,
			named("linxiaoman")).Scan(context.Background(), &until); err != nil || chinese(until) != "2027-07-01 00:00" {
			t.Errorf("%s %v", chinese(until), err)
		}
		if got := f.holders("technical.deputy"); len(got) != 0 {
			t.Errorf("seated before the day: %v", got)
		}
	})
}

func TestAppointmentsThatCannotBeAreNotAskedFor(t *testing.T) {
	f, ctx := newFed(t, testkit.SQLite(t)), context.Background()
	for _, c := range []struct {
		over    map[string]any
		pointer string
	}{
		{map[string]any{"seat": "technical.king"}, "/seat"},
		{map[string]any{"person": "per_1"}, "/person"},
		{map[string]any{"person": named("nobody").TypeID("per")}, "/person"},
		{map[string]any{"seat": "technical.head"}, "/replaces"},
		{map[string]any{"replaces": named("pan").TypeID("per")}, "/replaces"},
		{map[string]any{"to": "2026-10-01", "from": "2026-09-01"}, "/to"},
		{map[string]any{"seat": "league.finance"}, "/seat"},
	} {
		err := errOf(f.svc.Submit(ctx, by("odeputy"), workflow.SubmitInput{Definition: "meta.seat", Form: jsonForm(t, with(t, appoint, asJSON(c.over))), IdempotencyKey: f.key()}))
		if p := refused[*workflow.FormProblems](t, err, "FORM_INVALID"); len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%v: %+v", c.over, p.Errors)
		}
	}
}

// Whatever a definition asks, an approval seats nobody whom the rule on tenures
// leaves to the League Committee.
func TestNoDefinitionSeatsWhomTheLeagueSeats(t *testing.T) {
	outbox.Route(workflow.TopicUndone, "test")
	f := newFed(t, testkit.SQLite(t))
	src := edited(t, "meta.seat", "  - when: seat.startsWith('fed.')", "  - when: seat.startsWith('nothing.')", "!seat.startsWith('league.')", "!seat.startsWith('none.')")
	f.publish(strings.Replace(src, "key: meta.seat", "key: office.seats", 1))
	for seat, want := range map[string]string{"fed.vice": "agree", "league.finance": "not filled by request"} {
		req := f.submit("odeputy", "office.seats", "office", with(t, appoint, asJSON(map[string]any{"seat": seat})))
		f.approve(req, "hejing", "suhead", "chair")
		f.status(req, flow.Approved)
		if told := f.settled(req); len(told) != 1 || !strings.Contains(told[0], want) {
			t.Errorf("%s: %v", seat, told)
		}
	}
}
