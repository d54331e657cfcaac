package workflow_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// answered approves one after the other, each so long after the last.
func (f *fed) answeredAfter(request id.ID, hours int, people ...string) {
	f.t.Helper()
	for _, p := range people {
		f.clock.Advance(time.Duration(hours) * time.Hour)
		f.decide(p, request, workflow.Approve, "")
	}
}

func (f *fed) replayed(who, source string, last int) workflow.ReplayReport {
	f.t.Helper()
	r, err := f.svc.Replay(context.Background(), by(who), workflow.ReplayInput{Source: source, Last: last})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func TestPastRequestsAreReplayedThroughADraft(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(trial("    cost: {type: integer, minimum: 0, maximum: 1000, x-title: {zh: 金额, en: Cost}}\n", keeperStep, headStep))
		small := f.submit("zhouhang", "office.trial", "", `{"title":"小","cost":10}`)
		f.answeredAfter(small, 2, "songlan", "hejing")
		big := f.submit("linxiaoman", "office.trial", "", `{"title":"大","cost":500}`)
		f.answeredAfter(big, 2, "songlan", "hejing")
		no := f.submit("zhouhang", "office.trial", "", `{"title":"不行","cost":20}`)
		f.answeredAfter(no, 2, "songlan")
		f.decide("hejing", no, workflow.Reject, "不需要")
		bare := f.submit("zhouhang", "office.trial", "", `{"title":"没写金额"}`)
		f.answeredAfter(bare, 2, "songlan", "hejing")
		f.status(no, flow.Rejected)

		// The head is asked only when it is dear, and then the chair, too.
		draft := trial("    cost: {type: integer, minimum: 0, maximum: 1000, x-title: {zh: 金额, en: Cost}}\n", keeperStep) + ""
		draft = strings.Replace(draft, "required: [title]", "required: [title, cost]", 1)
		draft = strings.Replace(draft, "send_back:", "  - when: cost > 100\n    do:\n      - {"+headStep+"}\n      - {"+chairStep+"}\nsend_back:", 1)
		r := f.replayed("liu", draft, 100)
		if r.Definition != "office.trial" || r.Examined != 4 || r.Bounded || len(r.Unfit) != 1 || r.Unfit[0].Request != bare || r.Unfit[0].Problems[0].Pointer != "/cost" {
			t.Fatalf("%+v", r)
		}
		got := map[id.ID]workflow.ReplayCase{}
		for _, c := range r.Changed {
			got[c.Request] = c
		}
		if c := got[big]; people(c.More) != "chair:chair" || people(c.Less) != "" || c.After.Status != flow.Approved {
			t.Errorf("%+v", c)
		}
		if c := got[small]; people(c.More) != "" || people(c.Less) != "head:hejing" || c.Change != -2*time.Hour {
			t.Errorf("%+v", c)
		}
		if c := got[no]; c.Before.Status != flow.Rejected || c.After.Status != flow.Approved {
			t.Errorf("another outcome: %+v", c)
		}
		seats := map[string]workflow.SeatChange{}
		for _, s := range r.Seats {
			seats[s.Seat] = s
		}
		if s := seats["office.head"]; len(seats) != 2 || s.Less != 2 || s.More != 0 || seats["fed.chair"].More != 1 {
			t.Errorf("%+v", r.Seats)
		}
		if r.Before != 4*time.Hour || r.After != 2*time.Hour || r.Change != -2*time.Hour {
			t.Errorf("%s → %s, %s", r.Before, r.After, r.Change)
		}
		if n := f.replayed("liu", draft, 2); n.Examined != 2 || len(n.Unfit) != 1 {
			t.Errorf("the newest two: %+v", n)
		}
		// Nothing of it happened.
		f.status(small, flow.Approved)
		f.sound(small)
	})
}

// Who does not follow every request learns seats, not people.
func TestAReplayNamesPeopleToThoseWhoMaySeeTheRequest(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(trial("", keeperStep))
		req := f.submit("zhouhang", "office.trial", "", `{"title":"甲"}`)
		draft := trial("", keeperStep, chairStep)
		c := f.replayed("hejing", draft, 10).Changed[0]
		if w := c.More[0].Who; !c.Request.IsZero() || c.Number != "" || c.Title != "" || w.Seat != "fed.chair" || w.Name != "" || !w.Person.IsZero() {
			t.Errorf("the head of the office is shown %+v", c)
		}
		if c := f.replayed("liu", draft, 10).Changed[0]; c.Request != req || people(c.More) != "chair:chair" {
			t.Errorf("%+v", c)
		}
	})
}

// The published text changes nothing.
func TestThePublishedTextReplaysAsItIs(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.answeredAfter(f.submit("zhouhang", "office.property", "", at680), 1, "songlan", "hejing", "guchen")
		back := f.submit("zhouhang", "office.property", "", at860)
		f.answeredAfter(back, 1, "songlan")
		f.submit("zhouhang", "office.property", "", at680)
		r := f.replayed("liu", string(builtin(t, "office.property").Source), 500)
		if r.Examined != 3 || len(r.Changed)+len(r.Unfit)+len(r.Seats) != 0 || r.Change != 0 {
			t.Errorf("%+v", r)
		}
		if text := r.Text(true); !strings.HasPrefix(text, "office.property：回放 3 份，0 份有变化，0 份表单不合\n") {
			t.Error(text)
		}
	})
}

func TestReplaysAreForThoseWhoPublish(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		source := string(builtin(t, "office.property").Source)
		for _, c := range []struct {
			who  string
			in   workflow.ReplayInput
			code fault.Code
		}{
			{"zhouhang", workflow.ReplayInput{Source: source, Last: 10}, fault.Forbidden},
			{"hejing", workflow.ReplayInput{Source: source, Last: 0}, fault.BadUserInput},
			{"hejing", workflow.ReplayInput{Source: source, Last: workflow.ReplayMax + 1}, fault.BadUserInput},
			{"hejing", workflow.ReplayInput{Source: "key: x\n", Last: 1}, fault.Rule},
		} {
			if err := errOf(f.svc.Replay(ctx, by(c.who), c.in)); !fault.Is(err, c.code) {
				t.Errorf("%s: %v", c.who, err)
			}
		}
	})
}
