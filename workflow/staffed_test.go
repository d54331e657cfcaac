package workflow_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/proof"
)

const twoDuties = `key: office.duties
unit: office
title: {zh: 两人把关, en: Four eyes}
about: {zh: 说明, en: About}
form:
  required: [amount]
  properties:
    amount: {type: integer, minimum: 0, maximum: 1000, x-title: {zh: 金额, en: Sum}}
flow:
  - step: first
    title: {zh: 一, en: First}
    ask: [office.head, office.deputy]
  - step: second
    title: {zh: 二, en: Second}
    ask: [office.deputy, office.keeper]
    distinct_from: [first]
send_back: {targets: [start], max: 2}
policy: {empty: fed.chair}
on_approved: [property.purchase]
`

func TestPublishingRunsTheProofAgainstTheDirectory(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := bareFed(t, db), context.Background()
		publish := func(source string) (workflow.Published, error) {
			return f.svc.Publish(ctx, by("hejing"), workflow.PublishInput{Source: source, IdempotencyKey: f.key()})
		}
		// Nobody is publicity's deputy in this federation.
		vacant := strings.NewReplacer("[office.head, office.deputy]", "[publicity.deputy]", "policy: {empty: fed.chair}\n", "").Replace(twoDuties)
		_, err := publish(vacant)
		if p := refused[workflow.Problems](t, err, "DEFINITION_INVALID"); p[0].Code != "STAFF_VACANT" || p[0].Line != 12 {
			t.Fatalf("%+v", p)
		}
		_, err = publish(strings.Replace(twoDuties, ", max: 2", "", 1))
		if p := refused[workflow.Problems](t, err, "DEFINITION_INVALID"); p[0].Code != "ENDLESS_CYCLE" {
			t.Fatalf("%+v", p)
		}
		draft, err := f.svc.CheckSource(ctx, by("hejing"), vacant)
		if err != nil || draft.OK() || draft.People.Verdict != proof.Refuted {
			t.Fatalf("%+v %v", draft, err)
		}
		if r, err := f.svc.CheckSource(ctx, by("hejing"), "key: ["); err != nil || r.OK() || r.Findings[0].Code != "YAML" {
			t.Fatalf("%+v %v", r, err)
		}
		if _, err := f.svc.CheckSource(ctx, by("zhouhang"), twoDuties); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("anybody has texts proven: %v", err)
		}
		v, err := publish(twoDuties)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.svc.Report(ctx, by("zhouhang"), v.Version); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("anybody reads who is lacking: %v", err)
		}
		r, err := f.svc.Report(ctx, by("hejing"), v.Version)
		if err != nil || r == nil || !r.OK() || r.Control.Verdict != proof.Proven || r.People.Verdict != proof.Proven || r.Definition != "office.duties" {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

func TestAVersionThatLosesItsPeopleIsToldOfOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		outbox.Route(workflow.TopicStaffing, "workflow")
		outbox.Route(workflow.TopicUnstaffed, "test")
		v := f.publish(twoDuties)
		look := func() {
			f.clock.Advance(time.Hour)
			f.inTx(func(_ context.Context, tx *store.Tx) error {
				outbox.Timer(tx, named("schedule"), "staffing", outbox.Event{Topic: workflow.TopicStaffing})
				return nil
			})
			f.deliver(workflow.TopicStaffing, f.svc.OnStaffing)
			f.deliver(workflow.TopicStaffing, f.svc.OnStaffing) // one for each version
		}
		look()
		if told := f.events(workflow.TopicUnstaffed, v.Version); len(told) != 0 {
			t.Fatalf("told of a version that has its people: %v", told)
		}
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id IN (?, ?, ?)`, f.clock.Now(), named("songlan"), named("odeputy"), named("chair"))
			return nil
		})
		look()
		look()
		told := f.events(workflow.TopicUnstaffed, v.Version)
		if len(told) != 1 || !strings.Contains(told[0], `"owner":"office"`) || !strings.Contains(told[0], "Second") {
			t.Fatalf("%v", told)
		}
		r, err := f.svc.Report(context.Background(), by("hejing"), v.Version)
		if err != nil || len(r.Unstaffed()) != 1 || r.Control.Verdict != proof.Proven || r.People.Verdict != proof.Refuted {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

// deliver hands the topic's due rows to a handler.
func (f *fed) deliver(topic string, handle func(context.Context, outbox.Delivery) error) {
	f.t.Helper()
	rows, err := outbox.Claim(context.Background(), f.db, outbox.QueueDefault, f.clock.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, row := range rows {
		d, err := outbox.Load(context.Background(), f.db, row.ID, row.Attempt)
		if err != nil {
			f.t.Fatal(err)
		}
		if d.Topic == topic {
			err = handle(context.Background(), d)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}
