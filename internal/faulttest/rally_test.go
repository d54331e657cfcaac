//go:build fault && linux

package faulttest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/testkit/linear"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// A rally asks eight people at once and two after them; helpers are who gets
// tasks handed and is asked to sign.
var (
	rallySteps = map[string][]string{
		"money": {"office.head", "office.keeper", "liaison.head", "technical.head"},
		"place": {"fed.vice", "supervision.head", "supervision.member", "league.teacher"},
		"last":  {"college.mech.head", "society.robotics.advisor"},
	}
	helpers   = []string{technician, "liaison.member", "league.finance"}
	requester = "society.robotics.chair"
)

func rallyYAML() string {
	ask := func(step string) string { return "[seat(" + strings.Join(rallySteps[step], "), seat(") + ")]" }
	return `key: office.rally
unit: office
title: {zh: 会签, en: Rally}
about: {zh: 示例, en: An example}
form:
  required: [title, budget]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 标题, en: Title}}
    budget: {type: integer, minimum: 0, x-title: {zh: 预算, en: Budget}}
flow:
  - par:
      - step: money
        title: {zh: 经费, en: Money}
        ask: ` + ask("money") + `
        rule: all
        reads: [/budget]
      - step: place
        title: {zh: 场地, en: Place}
        ask: ` + ask("place") + `
        rule: all
        reads: [/title]
  - step: last
    title: {zh: 审批, en: Approval}
    ask: ` + ask("last") + `
policy: {not_requester: true}
send_back: {targets: [start], mode: return_to_me, max: 9}
`
}

func rallyForm(title string, budget int) map[string]any {
	return map[string]any{"title": title, "budget": budget}
}

// rally is a set of requests in many hands, and all that its clients do.
type rally struct {
	*world
	doors    []string
	asked    sync.Mutex
	requests []string
	history  *linear.Recorder
	edits    atomic.Int64
	stop     chan struct{}
}

// The requests of a rally: so many are in its hands at a time, and so many in
// all.
const (
	atATime = 5
	inAll   = 40
)

// startRally submits the first requests; a process at each door is up.
func (w *world) startRally() (*rally, error) {
	r := &rally{world: w, history: linear.NewRecorder(), stop: make(chan struct{})}
	for _, p := range w.procs {
		r.doors = append(r.doors, p.api)
	}
	for range atATime {
		if err := r.another(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// another submits one more request.
func (r *rally) another() error {
	raw, err := r.mutate(seeded.tokens[requester], "submitRequest", "SubmitRequestInput", "request { id }",
		map[string]any{"workflow": "office.rally", "unit": "society.robotics", "form": rallyForm("first", 0)})
	if err != nil {
		return err
	}
	var out struct{ Request struct{ ID string } }
	if err := json.Unmarshal(raw, &out); err != nil {
		return err
	}
	r.asked.Lock()
	defer r.asked.Unlock()
	r.requests = append(r.requests, out.Request.ID)
	return nil
}

// all are the requests so far, the newest last.
func (r *rally) all() []string {
	r.asked.Lock()
	defer r.asked.Unlock()
	return slices.Clone(r.requests)
}

func (r *rally) door() string { return r.doors[rand.IntN(len(r.doors))] }

// unreached says that nobody listened: the operation has not happened.
func unreached(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// command sends a mutation once, or until its answer is known: somebody whose
// answer was lost tries again under the same key, or walks away.
func (r *rally) command(client int, token string, op linear.Op, field, inputType string, input map[string]any) (string, bool) {
	input["idempotencyKey"] = key()
	query := fmt.Sprintf("mutation($i: %s!) { %s(input: $i) { userErrors { code } } }", inputType, field)
	patient := rand.IntN(2) == 0
	out, ok := r.history.Do(client, op, func() (linear.Result, bool) {
		raw, err := r.askAt(r.door(), token, query, map[string]any{"i": input})
		if unreached(err) {
			return linear.Result{}, false
		}
		for patient && errors.Is(err, errUnknown) && r.running() {
			r.pause()
			raw, err = r.askAt(r.door(), token, query, map[string]any{"i": input})
		}
		if errors.Is(err, errUnknown) {
			return linear.Result{Unknown: true}, true
		}
		if err != nil {
			return linear.Result{Code: err.Error()}, true
		}
		var got map[string]struct{ UserErrors []struct{ Code string } }
		if err := json.Unmarshal(raw, &got); err != nil {
			return linear.Result{Code: err.Error()}, true
		}
		if refused := got[field].UserErrors; len(refused) > 0 {
			return linear.Result{Code: refused[0].Code}, true
		}
		return linear.Result{}, true
	})
	return out.Code, ok && !out.Unknown
}

func (r *rally) running() bool {
	select {
	case <-r.stop:
		return false
	default:
		return true
	}
}

// pause lets a little time pass, or the rally end.
func (r *rally) pause() {
	select {
	case <-r.stop:
	case <-time.After(time.Duration(20+rand.IntN(60)) * time.Millisecond):
	}
}

// member answers what waits in the inbox of a seat until the rally is over.
func (r *rally) member(client int, seat string) {
	token := seeded.tokens[seat]
	for r.running() {
		r.pause()
		raw, err := r.askAt(r.door(), token, "{ inbox(first: 50) { edges { node { id step request { id formRev } } } } }", nil)
		var out struct{ Inbox edges[inboxTask] }
		if err != nil || json.Unmarshal(raw, &out) != nil {
			continue
		}
		var mine []inboxTask
		for _, e := range out.Inbox.Edges {
			if slices.Contains(r.all(), e.Node.Request.ID) {
				mine = append(mine, e.Node)
			}
		}
		if len(mine) > 0 {
			r.act(client, seat, mine[rand.IntN(len(mine))])
		}
	}
}

// act is one of the things that somebody does with a task; mostly it is an
// approval.
func (r *rally) act(client int, seat string, x inboxTask) {
	op := linear.Op{Request: x.Request.ID, By: seeded.persons[seat], Task: x.ID, FormRev: x.Request.FormRev}
	token, helper := seeded.tokens[seat], seeded.persons[helpers[rand.IntN(len(helpers))]]
	decide := map[string]any{"task": x.ID, "formRev": x.Request.FormRev, "comment": "意见"}
	switch n := rand.IntN(100); {
	case n < 6:
		op.Kind, op.People = linear.Transfer, []string{helper}
		r.command(client, token, op, "transferTask", "TransferTaskInput", map[string]any{"task": x.ID, "to": helper})
	case n < 12:
		place := []flow.Place{flow.Before, flow.After, flow.Parallel}[rand.IntN(3)]
		op.Kind, op.People, op.Place = linear.Sign, []string{helper}, place
		r.command(client, token, op, "addSigners", "AddSignersInput", map[string]any{"task": x.ID, "place": strings.ToUpper(string(place)), "people": op.People})
	case n < 16:
		op.Kind, decide["verdict"] = linear.SendBack, "SEND_BACK"
		r.command(client, token, op, "decideTask", "DecideTaskInput", decide)
	case n < 17:
		op.Kind, op.Verdict, decide["verdict"] = linear.Decide, flow.Reject, "REJECT"
		r.command(client, token, op, "decideTask", "DecideTaskInput", decide)
	default:
		op.Kind, op.Verdict, decide["verdict"] = linear.Decide, flow.Approve, "APPROVE"
		r.command(client, token, op, "decideTask", "DecideTaskInput", decide)
	}
}

// owner reads the requests, edits them, hands them in again, amends what was
// approved, rarely withdraws, and asks for the next thing when one is over.
func (r *rally) owner(client int) {
	token, me := seeded.tokens[requester], seeded.persons[requester]
	for r.running() {
		r.pause()
		all := r.all()
		request := all[len(all)-1-rand.IntN(atATime)]
		seen, ok := r.read(client, request)
		if !ok {
			continue
		}
		op := linear.Op{Request: request, By: me}
		switch n := rand.IntN(100); {
		case seen.Status.Final() && n < 70:
			if len(all) < inAll && r.another() != nil {
				return // the database does not come back, which is told elsewhere
			}
		case seen.Status == flow.Approved:
			op.Kind = linear.Amend
			r.command(client, token, op, "amendRequest", "AmendRequestInput", map[string]any{"request": request, "form": rallyForm("amended", 1<<20)})
		case n < 15 || seen.Status == flow.Returned:
			e := int(r.edits.Add(1))
			form := rallyForm("first", e)
			if e%2 == 0 {
				form = rallyForm(fmt.Sprint("title ", e), 0)
			}
			text, _ := json.Marshal(form)
			op.Kind, op.FormRev, op.Form = linear.Resubmit, seen.FormRev, string(text)
			r.command(client, token, op, "resubmitRequest", "ResubmitRequestInput", map[string]any{"request": request, "form": form, "formRev": seen.FormRev})
		case n < 16:
			op.Kind = linear.Withdraw
			r.command(client, token, op, "withdrawRequest", "WithdrawRequestInput", map[string]any{"request": request})
		}
	}
}

// read looks at a request as its requester, until two answers in a row are the
// same: the parts of one answer are read by more than one statement, and may
// fall on both sides of a decision.
func (r *rally) read(client int, request string) (linear.Result, bool) {
	return r.history.Do(client, linear.Op{Request: request, By: seeded.persons[requester], Kind: linear.Read}, func() (linear.Result, bool) {
		var raw, before []byte
		var err error
		for try := 0; err == nil && (try < 2 || !bytes.Equal(raw, before)); try++ {
			before = raw
			raw, err = r.askAt(r.door(), seeded.tokens[requester],
				"query($id: ID!) { node(id: $id) { ... on Request { status formRev tasks { step state person { id } } } } }", map[string]any{"id": request})
		}
		if errors.Is(err, errUnknown) {
			return linear.Result{}, false
		}
		var got struct {
			Node struct {
				Status  flow.Status
				FormRev int
				Tasks   []struct {
					Step, State string
					Person      struct{ ID string }
				}
			}
		}
		if err == nil {
			err = json.Unmarshal(raw, &got)
		}
		if err != nil {
			return linear.Result{Code: err.Error()}, true
		}
		out := linear.Result{Status: got.Node.Status, FormRev: got.Node.FormRev}
		for _, x := range got.Node.Tasks {
			out.Tasks = append(out.Tasks, linear.Seen(x.Step, x.Person.ID, flow.TaskState(strings.ToLower(x.State))))
		}
		return out, true
	})
}

// begin sets the clients going; the answer ends them.
func (r *rally) begin() (end func()) {
	var wg sync.WaitGroup
	client := 0
	for _, seat := range slices.Concat(rallySteps["money"], rallySteps["place"], rallySteps["last"], helpers) {
		n := client
		wg.Go(func() { r.member(n, seat) })
		client++
	}
	for range 2 {
		n := client
		wg.Go(func() { r.owner(n) })
		client++
	}
	return func() { close(r.stop); wg.Wait() }
}

// more waits until so many more operations are in the history.
func (r *rally) more(n int) error {
	was, _ := r.history.Len()
	return poll("the clients go on", under.wait, func() bool {
		now, _ := r.history.Len()
		return now >= was+n
	})
}

// judge looks at every request a last time and demands an order of all that
// was done.
func (r *rally) judge() error {
	def, err := workflow.Load([]byte(rallyYAML()), workflow.Known{})
	if err != nil {
		return err
	}
	first, _ := json.Marshal(rallyForm("first", 0))
	m := linear.World{Def: def.Flow, Electors: map[string][]flow.Elector{}, By: seeded.persons[requester], Form: string(first), Tasks: map[string]string{}}
	for _, step := range slices.Sorted(maps.Keys(rallySteps)) {
		for _, seat := range rallySteps[step] {
			m.Electors[step] = append(m.Electors[step], flow.Elector{Person: seeded.persons[seat], Seat: seat})
		}
	}
	var rows []struct {
		ID   id.ID
		Name string
	}
	if err := r.db.R.NewRaw(`SELECT id, name FROM task`).Scan(context.Background(), &rows); err != nil {
		return err
	}
	for _, x := range rows {
		m.Tasks[x.ID.TypeID("tsk")] = x.Name
	}
	for _, request := range r.all() {
		if err := poll("the request is read", under.wait, func() bool { _, ok := r.read(0, request); return ok }); err != nil {
			return err
		}
	}
	return m.Judge(r.history)
}

// rallied runs a rally in which the process dies at the point and, later, the
// processes are killed at any moment, and judges it.
func rallied(t *testing.T, s shape, processes int, at string, kills int) (*rally, error) {
	w := newWorld(t, s)
	roles := "api" // nothing here waits for background work
	if s.sqlite {
		roles = whole // whose queue lives in the process
	}
	for i := range processes {
		point := ""
		if i == 0 {
			point = at
		}
		w.start(roles, point, true)
	}
	r, err := w.startRally()
	if err != nil {
		return nil, err
	}
	end := r.begin()
	err = r.more(100)
	if err == nil && at != "" {
		err = poll("the point is passed", under.wait, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.killed > 0
		})
	}
	for n := range kills {
		if err != nil {
			break
		}
		if err = w.procs[n%processes].signal(syscall.SIGKILL); err == nil || errors.Is(err, os.ErrProcessDone) { // it is being started
			err = r.more(100)
		}
	}
	end()
	w.pending.Wait()
	if err != nil {
		return nil, err
	}
	return r, r.judge()
}

// What the clients of a rally saw is explained by one order of what they did,
// on both databases, whenever the processes die.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shape     shape
		processes int
		at        string
	}{
		"sqlite":   {shape{sqlite: true}, 1, "after-commit/decideTask:9"},
		"postgres": {shape{}, 2, "before-commit/decideTask:9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := rallied(t, c.shape, c.processes, c.at, 3)
			if err != nil {
				t.Fatal(err)
			}
			f := &findings{w: r.world}
			f.requests()
			all, unknown := r.history.Len()
			t.Log(r.history.Counts())
			if r.killed < 3 {
				f.wrong = append(f.wrong, fmt.Sprintf("only %d processes were killed", r.killed))
			}
			r.fig.operations, r.fig.acked, r.fig.unknown = all, all-unknown, unknown
			f.judge(t)
		})
	}
}

// A service that forgets an acknowledged decision now and then is found out.
func TestForgottenDecisionsAreSeen(t *testing.T) {
	t.Parallel()
	_, err := rallied(t, shape{sqlite: true, env: map[string]string{"KELIAN_FAULT_BUG": "vote"}}, 1, "", 0)
	if err == nil || !strings.Contains(err.Error(), "no order") {
		t.Fatalf("the bug was not seen: %v", err)
	}
}
