package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

const (
	orderFields = `recurrence{id title rrule shift state mine next{at dueAt provisional} drafts{id at state request}} userErrors{code message path}`
	createOrder = `mutation($rrule:String!,$form:JSON!,$key:IdempotencyKey!){createRecurrence(input:{title:"月度计划",workflow:"office.plan",unit:"technical",seat:"technical.information.member",
		form:$form,rrule:$rrule,start:"2026-10-01T10:10:00+08:00",idempotencyKey:$key}){` + orderFields + `}}`
	actOnOrder = `mutation($id:ID!,$act:RecurrenceAct!,$key:IdempotencyKey!){actOnRecurrence(input:{recurrence:$id,act:$act,idempotencyKey:$key}){` + orderFields + `}}`
)

func TestAStandingOrder(t *testing.T) {
	outbox.Route(workflow.TopicRecurs, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		create := strings.Replace(createOrder, `unit:"technical"`, `unit:"technical.information"`, 1)
		form := vars{"dept": "technical", "period": "{year}年{month}月"}
		for rule, part := range map[string]string{"FREQ=HOURLY": "FREQ", "FREQ=MONTHLY;BYMONTHDAY=32": "BYMONTHDAY"} {
			a := w.good("zhouhang", create, vars{"rrule": rule, "form": form, "key": w.key()})
			if a.at("createRecurrence", "userErrors", 0, "code") != "BAD_RRULE" || fmt.Sprint(a.at("createRecurrence", "userErrors", 0, "path")) != "[input rrule "+part+"]" {
				t.Error(a.Body)
			}
		}
		if a := w.as("pan", create, vars{"rrule": "FREQ=DAILY", "form": form, "key": w.key()}); a.code() != "FORBIDDEN" {
			t.Error(a.Body)
		}
		p := w.good("zhouhang", `{recurrencePreview(rrule:"FREQ=MONTHLY;BYMONTHDAY=-1",start:"2026-10-01T08:00:00+08:00",shift:BEFORE){at dueAt provisional}}`, nil)
		if n := len(p.at("recurrencePreview").([]any)); n != 10 || p.at("recurrencePreview", 0, "at") != "2026-10-31T00:00:00.000000Z" || p.at("recurrencePreview", 0, "dueAt") != "2026-10-30T00:00:00.000000Z" {
			t.Error(p.Body)
		}
		a := w.good("zhouhang", create, vars{"rrule": "FREQ=MONTHLY;BYMONTHDAY=14", "form": form, "key": w.key()})
		order, _ := a.at("createRecurrence", "recurrence", "id").(string)
		if a.at("createRecurrence", "recurrence", "next", "dueAt") != "2026-10-14T02:10:00.000000Z" || order == "" {
			t.Fatal(a.Body)
		}
		w.clock.Advance(10 * time.Minute)
		w.deliver(workflow.TopicRecurs, func(ctx context.Context, d outbox.Delivery) error { return w.deps.Workflow.OnRecurs(ctx, d) })
		a = w.good("zhouhang", `{recurrences{id mine drafts{id state}}}`, nil)
		draft, _ := a.at("recurrences", 0, "drafts", 0, "id").(string)
		if a.at("recurrences", 0, "drafts", 0, "state") != "DUE" {
			t.Fatal(a.Body)
		}
		d := w.good("zhouhang", `query($d:ID!){recurrenceDraft(draft:$d){workflow unit form}}`, vars{"d": draft})
		if d.at("recurrenceDraft", "form", "period") != "2026年10月" {
			t.Error(d.Body)
		}
		filled := vars{"dept": "technical", "span": "month", "period": "2026年10月", "goals": []vars{{"text": "升级", "owner": "部长", "due": "2026-11-20"}}, "last_result": "完成"}
		send := `mutation($f:JSON!,$d:ID!,$key:IdempotencyKey!){submitRequest(input:{workflow:"office.plan",unit:"technical.information",form:$f,draft:$d,idempotencyKey:$key}){request{id} userErrors{code path}}}`
		s := w.good("zhouhang", send, vars{"f": filled, "d": draft, "key": w.key()})
		req := s.at("submitRequest", "request", "id")
		if req == nil {
			t.Fatal(s.Body)
		}
		if s := w.good("zhouhang", send, vars{"f": filled, "d": draft, "key": w.key()}); s.at("submitRequest", "userErrors", 0, "code") != "ALREADY_SENT" || fmt.Sprint(s.at("submitRequest", "userErrors", 0, "path")) != "[input draft]" {
			t.Error(s.Body)
		}
		a = w.good("zhouhang", actOnOrder, vars{"id": order, "act": "PAUSE", "key": w.key()})
		if a.at("actOnRecurrence", "recurrence", "state") != "PAUSED" || a.at("actOnRecurrence", "recurrence", "drafts", 0, "request") != req {
			t.Error(a.Body)
		}
		update := `mutation($id:ID!,$key:IdempotencyKey!){updateRecurrence(input:{recurrence:$id,title:"周计划",unit:"technical.information",seat:"technical.information.member",form:{},
			rrule:"FREQ=WEEKLY",start:"2026-11-02T08:00:00+08:00",idempotencyKey:$key}){` + orderFields + `}}`
		a = w.good("zhouhang", update, vars{"id": order, "key": w.key()})
		if a.at("updateRecurrence", "recurrence", "title") != "周计划" || a.at("updateRecurrence", "recurrence", "next") != nil {
			t.Error(a.Body)
		}
		if a := w.good("zhouhang", actOnOrder, vars{"id": order, "act": "SKIP", "key": w.key()}); a.at("actOnRecurrence", "userErrors", 0, "code") != "NOT_ACTIVE" {
			t.Error(a.Body)
		}
	})
}
