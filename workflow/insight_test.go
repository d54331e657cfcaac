package workflow_test

import (
	"context"
	"math"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// The figures are those that were reckoned by hand, for whoever may count all
// and for whoever counts the own unit.
func TestInsightIsWhatIsReckonedByHand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		from := f.clock.Now()
		wait := func(minutes int) { f.clock.Advance(time.Duration(minutes) * time.Minute) }

		a := f.submit("zhouhang", "office.small", "", smallForm) // keeper 20, teacher 10, whole 30
		wait(20)
		f.decide("songlan", a, workflow.Approve, "")
		wait(10)
		f.decide("liu", a, workflow.Approve, "")

		b := f.submit("zhouhang", "office.small", "", smallForm) // keeper 10 + 20, teacher 10, whole 50
		wait(10)
		f.decide("songlan", b, workflow.SendBack, "写清楚")
		wait(10)
		f.resubmit("zhouhang", b, 1, `{"what":"六类网线","cost":500,"phone":"13800138000"}`)
		wait(20)
		f.decide("songlan", b, workflow.Approve, "")
		wait(10)
		f.decide("liu", b, workflow.Approve, "")

		c := f.submit("zhouhang", "office.small", "", smallForm) // keeper 10, teacher 100 and late, whole 110
		wait(10)
		f.decide("songlan", c, workflow.Approve, "")
		wait(100)
		f.decide("liu", c, workflow.Reject, "不需要")

		d := f.submit("zhouhang", "office.small", "", smallForm)
		if _, err := f.svc.Withdraw(ctx, by("zhouhang"), workflow.WithdrawInput{Request: d, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.submit("ayinuer", "office.small", "society.robotics", smallForm) // open and late
		wait(61)
		to := f.clock.Now()
		f.submit("zhouhang", "office.small", "", smallForm) // after the span

		ask := workflow.InsightQuery{Definition: "office.small", From: from, To: to}
		for _, who := range []string{"luyuan", "chair", "liu", "hejing"} {
			got, err := f.svc.Insight(ctx, by(who), ask)
			if err != nil {
				t.Fatalf("%s: %v", who, err)
			}
			m := time.Minute
			if got.Requests != 5 || got.Decided() != 3 || got.Status[flow.Approved] != 2 || got.Status[flow.Rejected] != 1 || got.Status[flow.Withdrawn] != 1 || got.Status[flow.Open] != 1 ||
				got.P50 != 50*m || got.P90 != 110*m || got.Reworked != 1 || got.SendBacks != 1 || got.Overdue != 2 || got.Bottleneck != "keeper" || len(got.Steps) != 2 {
				t.Fatalf("%s: %+v", who, got)
			}
			k, l := got.Steps[0], got.Steps[1]
			if k.Step != "keeper" || k.Requests != 3 || k.P50 != 20*m || k.P90 != 30*m || math.Abs(k.Share-0.4) > 1e-9 || k.Overdue != 1 {
				t.Errorf("%s: %+v", who, k)
			}
			if l.Step != "teacher" || l.Requests != 3 || l.P50 != 10*m || l.P90 != 100*m || math.Abs(l.Share-0.2) > 1e-9 || l.Overdue != 1 || l.Title.Zh != "团委老师" {
				t.Errorf("%s: %+v", who, l)
			}
		}
		own, err := f.svc.Insight(ctx, by("ayinuer"), ask)
		if err != nil || own.Requests != 1 || own.Overdue != 1 || own.Decided() != 0 || own.P50 != 0 || own.Bottleneck != "" {
			t.Fatalf("the society counts its own: %+v %v", own, err)
		}
		ask.Unit = "society.robotics"
		if one, err := f.svc.Insight(ctx, by("luyuan"), ask); err != nil || one.Requests != 1 {
			t.Fatalf("one unit: %+v %v", one, err)
		}
		if _, err := f.svc.Insight(ctx, by("aichair"), ask); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("a society counts another's: %v", err)
		}
		if _, err := f.svc.Insight(ctx, by("zhouhang"), workflow.InsightQuery{Definition: "office.small"}); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("a member counts: %v", err)
		}
		if _, err := f.svc.Insight(ctx, by("luyuan"), workflow.InsightQuery{Definition: "office.small", Term: "春"}); !fault.Is(err, fault.BadUserInput) {
			t.Fatalf("a term that is not there: %v", err)
		}
	})
}
