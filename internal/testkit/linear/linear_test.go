package linear_test

import (
	"strings"
	"sync"
	"testing"

	"kelian/internal/testkit/linear"
	"kelian/workflow/flow"
)

// world asks three people at once, all of whom have to approve.
func world() linear.World {
	step := &flow.Step{Name: "heads", Ask: []string{"heads"}, Rule: flow.Rule{Kind: flow.All}, SendBack: []string{flow.Start}}
	return linear.World{
		Def:      &flow.Definition{Key: "test", Hash: "h", Blocks: []flow.Block{{Kind: flow.KindStep, Step: step}}, Policy: flow.Policy{NotRequester: true}},
		Electors: map[string][]flow.Elector{"heads": {{Person: "ann"}, {Person: "bob"}, {Person: "cho"}}},
		By:       "ling", Form: `{"title":"one"}`,
		Tasks: map[string]string{"a": "heads#1.1", "b": "heads#1.2", "c": "heads#1.3", "a2": "heads#2.1"},
	}
}

func approve(by, task string, rev int) linear.Op {
	return linear.Op{Request: "r", By: by, Kind: linear.Decide, Task: task, Verdict: flow.Approve, FormRev: rev}
}

var (
	read   = linear.Op{Request: "r", By: "ling", Kind: linear.Read}
	edit   = linear.Op{Request: "r", By: "ling", Kind: linear.Resubmit, FormRev: 1, Form: `{"title":"two"}`}
	open1  = linear.Result{Status: flow.Open, FormRev: 1}
	open2  = linear.Result{Status: flow.Open, FormRev: 2}
	stale  = linear.Result{Code: string(flow.StaleForm)}
	nobody = linear.Result{Unknown: true}
)

func seen(rev int, status flow.Status, states string) linear.Result {
	out := linear.Result{Status: status, FormRev: rev}
	for i, s := range strings.Fields(states) {
		out.Tasks = append(out.Tasks, linear.Seen("heads", []string{"ann", "bob", "cho"}[i%3], flow.TaskState(s)))
	}
	return out
}

// move is one operation of a hand-made history, after those before it.
type move struct {
	op  linear.Op
	out linear.Result
}

// history plays moves one after the other; those in beside begin before and
// end after all of them.
func history(beside []move, moves ...move) *linear.Recorder {
	r := linear.NewRecorder()
	var begun, done sync.WaitGroup
	end := make(chan struct{})
	for i, m := range beside {
		begun.Add(1)
		done.Go(func() {
			r.Do(i, m.op, func() (linear.Result, bool) { begun.Done(); <-end; return m.out, true })
		})
	}
	begun.Wait()
	for _, m := range moves {
		r.Do(len(beside), m.op, func() (linear.Result, bool) { return m.out, true })
	}
	close(end)
	done.Wait()
	return r
}

func TestGoodHistoriesAreExplained(t *testing.T) {
	for name, r := range map[string]*linear.Recorder{
		"one after the other": history(nil, move{approve("ann", "a", 1), open1}, move{approve("bob", "b", 1), open1},
			move{approve("cho", "c", 1), linear.Result{Status: flow.Approved, FormRev: 1}}, move{read, seen(1, flow.Approved, "done done done")}),
		"two at once, in whichever order": history([]move{{approve("ann", "a", 1), open1}, {approve("bob", "b", 1), open1}},
			move{read, seen(1, flow.Open, "open done open")}),
		"an edit beside an approval": history([]move{{edit, open2}}, move{approve("ann", "a", 1), open1}),
		"an approval after an edit":  history(nil, move{edit, open2}, move{approve("ann", "a", 1), stale}, move{approve("ann", "a", 2), open2}),
		"lost, and it happened":      history([]move{{approve("ann", "a", 1), nobody}}, move{read, seen(1, flow.Open, "done open open")}),
		"lost, and it did not happen": history([]move{{approve("ann", "a", 1), nobody}}, move{edit, open2},
			move{read, seen(2, flow.Open, "open open open")}),
		"another request": history(nil, move{approve("ann", "a", 1), open1}, move{linear.Op{Request: "s", By: "ling", Kind: linear.Read}, seen(1, flow.Open, "open open open")}),
	} {
		if err := world().Judge(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadHistoriesAreRefused(t *testing.T) {
	for name, r := range map[string]*linear.Recorder{
		"a vote is forgotten":              history(nil, move{approve("ann", "a", 1), open1}, move{read, seen(1, flow.Open, "open open open")}),
		"a vote counts twice":              history(nil, move{approve("ann", "a", 1), open1}, move{approve("ann", "a", 1), open1}),
		"two votes of three approve":       history(nil, move{approve("ann", "a", 1), open1}, move{approve("bob", "b", 1), linear.Result{Status: flow.Approved, FormRev: 1}}),
		"a form that nobody read":          history(nil, move{edit, open2}, move{approve("ann", "a", 1), open2}),
		"a stale refusal without an edit":  history(nil, move{approve("ann", "a", 1), stale}),
		"an old answer after a newer":      history([]move{{approve("ann", "a", 1), open1}}, move{read, seen(1, flow.Open, "done open open")}, move{read, seen(1, flow.Open, "open open open")}),
		"lost votes happen and are undone": history([]move{{approve("ann", "a", 1), nobody}}, move{read, seen(1, flow.Open, "done open open")}, move{read, seen(1, flow.Open, "open open open")}),
		"a task that never was":            history(nil, move{approve("ann", "z", 1), open1}),
	} {
		if err := world().Judge(r); err == nil || !strings.Contains(err.Error(), "no order") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
