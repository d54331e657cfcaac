//go:build fault && linux

package faulttest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"kelian/desk/repair"
)

// repairReport is one report by a stranger.
func (w *world) repairReport(kind, where string) error {
	in := map[string]any{"kind": kind, "building": where, "text": "没有网络", "name": "陈晓东", "consent": repair.ConsentVersion,
		"contact": map[string]any{"kind": "EMAIL", "value": key()[:12] + "@kelian.example"}}
	raw, err := w.mutate("", "submitRepair", "SubmitRepairInput", "ticket { number }", in)
	if err != nil {
		return err
	}
	var out struct{ Ticket *struct{ Number string } }
	if err := json.Unmarshal(raw, &out); err != nil || out.Ticket == nil {
		return fmt.Errorf("submitRepair: %s: %w", raw, err)
	}
	w.expect.note(&w.expect.repairs, out.Ticket.Number)
	return nil
}

type edges[T any] struct{ Edges []struct{ Node T } }

type inboxTask struct {
	ID, Step string
	Request  struct {
		ID      string
		FormRev int
	}
}

// decide answers the task that the request has put into the seat's inbox.
func (w *world) decide(seat, request, verdict string, more map[string]any) error {
	var task inboxTask
	err := w.read(seat, "{ inbox(first: 50) { edges { node { id step request { id formRev } } } } }", nil, func(raw json.RawMessage) bool {
		var out struct{ Inbox edges[inboxTask] }
		if json.Unmarshal(raw, &out) != nil {
			return false
		}
		for _, e := range out.Inbox.Edges {
			if task = e.Node; task.Request.ID == request {
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	in := map[string]any{"task": task.ID, "verdict": verdict, "formRev": task.Request.FormRev}
	for k, v := range more {
		in[k] = v
	}
	if _, err := w.mutate(seeded.tokens[seat], "decideTask", "DecideTaskInput", "request { id }", in); err != nil {
		return fmt.Errorf("%s: %w", seat, err)
	}
	w.expect.note(&w.expect.decisions, task.ID)
	return nil
}

var slot atomic.Int64

// submit asks for an activity; the first to be told of it is its advisor.
func (w *world) submit() (request string, form map[string]any, err error) {
	n := slot.Add(1)
	start := time.Now().UTC().Truncate(time.Hour).AddDate(0, 0, 20).Add(time.Duration(n) * 2 * time.Hour)
	form = map[string]any{"host": "society.robotics", "title": fmt.Sprintf("开放日 %d", n), "kind": "open_day", "start": start.Format(time.RFC3339),
		"end": start.Add(time.Hour).Format(time.RFC3339), "room": room, "people": 45, "external": false, "budget": 30000}
	in := map[string]any{"workflow": "supervision.activity", "unit": "society.robotics", "form": form}
	raw, err := w.mutate(seeded.tokens["society.robotics.chair"], "submitRequest", "SubmitRequestInput", "request { id }", in)
	if err != nil {
		return "", nil, err
	}
	var out struct{ Request struct{ ID string } }
	if err := json.Unmarshal(raw, &out); err != nil {
		return "", nil, err
	}
	w.expect.note(&w.expect.requests, out.Request.ID)
	return out.Request.ID, form, nil
}

// activity takes a society's idea through the whole second thread: asked,
// decided, sent back, changed, decided to the end.
func (w *world) activity() error {
	request, form, err := w.submit()
	if err != nil {
		return err
	}
	if err := w.decide("society.robotics.advisor", request, "APPROVE", nil); err != nil {
		return err
	}
	if err := w.decide("college.mech.head", request, "SEND_BACK", map[string]any{"to": "start", "again": "RETURN_TO_ME", "comment": "请写明理由"}); err != nil {
		return err
	}
	form["urgent_reason"] = "学院要求"
	if _, err := w.mutate(seeded.tokens["society.robotics.chair"], "resubmitRequest", "ResubmitRequestInput", "request { id }", map[string]any{"request": request, "form": form, "formRev": 1}); err != nil {
		return err
	}
	w.expect.note(&w.expect.resubmits, request)
	for _, seat := range []string{"college.mech.head", "supervision.member", "supervision.head", "league.teacher"} {
		if err := w.decide(seat, request, "APPROVE", nil); err != nil {
			return err
		}
	}
	w.expect.note(&w.expect.approved, request)
	return nil
}

// outage takes a cut cable through the whole first thread: incident, repair,
// part, approval, money, recovery.
func (w *world) outage() error {
	up := func(n int) error {
		return w.read("technical.head", "{ status { up round } }", nil, func(raw json.RawMessage) bool {
			var out struct{ Status struct{ Up int } }
			return json.Unmarshal(raw, &out) == nil && out.Status.Up == n
		})
	}
	all := 1 + len(quietSide) + len(cutSide)
	if err := up(all); err != nil {
		return err
	}
	w.cut(cutSide)
	if err := w.repairReport("NETWORK", building); err != nil {
		return err
	}
	if err := w.partFor(); err != nil {
		return err
	}
	// What the incident caused is to be there before it ends, for a message
	// about an incident that is over is not sent.
	if err := w.settle(); err != nil {
		return err
	}
	w.restore(cutSide)
	if err := w.read(technician, "{ incidents(first: 5, open: true) { edges { node { id } } } }", nil, func(raw json.RawMessage) bool {
		var out struct{ Incidents edges[struct{ ID string }] }
		return json.Unmarshal(raw, &out) == nil && len(out.Incidents.Edges) == 0
	}); err != nil {
		return err
	}
	return up(all)
}

type ticket struct{ ID, State, Incident, Request string }

// ticketIn waits for the technician's ticket of an incident in the state.
func (w *world) ticketIn(state string) (t ticket, err error) {
	err = w.read(technician, "{ repairTickets(first: 20, filter: {mine: true, open: true}) { edges { node { id state incident request } } } }", nil, func(raw json.RawMessage) bool {
		var out struct{ RepairTickets edges[ticket] }
		if json.Unmarshal(raw, &out) != nil {
			return false
		}
		for _, e := range out.RepairTickets.Edges {
			if t = e.Node; t.Incident != "" && t.State == state {
				return true
			}
		}
		return false
	})
	return t, err
}

// partFor accepts the incident's ticket, asks for a part and has it approved
// and paid for.
func (w *world) partFor() error {
	t, err := w.ticketIn("ASSIGNED")
	if err != nil {
		return err
	}
	token := seeded.tokens[technician]
	if _, err := w.mutate(token, "actOnRepair", "ActOnRepairInput", "ticket { id }", map[string]any{"ticket": t.ID, "action": "ACCEPT"}); err != nil {
		return err
	}
	if _, err := w.mutate(token, "needPart", "NeedPartInput", "ticket { id }", map[string]any{"ticket": t.ID, "text": "光模块", "amount": 86000}); err != nil {
		return err
	}
	if t, err = w.ticketIn("WAITING_PARTS"); err != nil {
		return err
	}
	w.expect.note(&w.expect.parts, t.Request)
	for _, seat := range []string{"office.keeper", "office.head", "fed.vice"} {
		if err := w.decide(seat, t.Request, "APPROVE", nil); err != nil {
			return err
		}
	}
	return w.pay(t.Request)
}

type purchase struct{ ID, State, Request string }

// pay allocates the received pledge to the request's purchase. Money asks for
// the password again, so it takes a session.
func (w *world) pay(request string) error {
	var p purchase
	if err := w.read("liaison.head", "{ purchases(first: 20) { edges { node { id state request } } } }", nil, func(raw json.RawMessage) bool {
		var out struct{ Purchases edges[purchase] }
		if json.Unmarshal(raw, &out) != nil {
			return false
		}
		for _, e := range out.Purchases.Edges {
			if p = e.Node; p.Request == request {
				return true
			}
		}
		return false
	}); err != nil {
		return err
	}
	raw, err := w.mutate("", "signIn", "SignInInput", "token", map[string]any{"login": "liaison.head", "password": seeded.password})
	if err != nil {
		return err
	}
	var session struct{ Token string }
	if err := json.Unmarshal(raw, &session); err != nil || session.Token == "" {
		return errors.New("signIn gave no token")
	}
	in := map[string]any{"pledge": seeded.pledge, "purchase": p.ID, "amount": 86000}
	if _, err := w.mutate(session.Token, "allocatePledge", "AllocatePledgeInput", "pledge { id }", in); err != nil {
		return err
	}
	w.expect.note(&w.expect.payments, p.ID)
	return nil
}
