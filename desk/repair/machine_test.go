package repair_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/make"
	"kelian/org"
)

// life is the ticket's life written down a second time, in another shape: per
// action and role the states it starts from, and where it leads ("=" stays).
const life = `
triage       worker lead              SUBMITTED TRIAGED > TRIAGED
dispatch     lead system              SUBMITTED TRIAGED > ASSIGNED
assign       lead                     SUBMITTED TRIAGED ASSIGNED > ASSIGNED
accept       assignee                 ASSIGNED > IN_PROGRESS
decline      assignee                 ASSIGNED > TRIAGED
lapse        system                   ASSIGNED > TRIAGED
claim        worker lead              SUBMITTED TRIAGED > IN_PROGRESS
release      assignee lead            IN_PROGRESS WAITING_PARTS WAITING_OWNER > TRIAGED
takeOver     worker lead              ASSIGNED IN_PROGRESS > IN_PROGRESS
takeOver     worker lead              WAITING_PARTS WAITING_OWNER > =
needPart     assignee                 IN_PROGRESS > WAITING_PARTS
partsArrived assignee lead system     WAITING_PARTS > IN_PROGRESS
waitOwner    assignee                 IN_PROGRESS > WAITING_OWNER
resume       assignee lead reporter   WAITING_OWNER > IN_PROGRESS
fix          assignee                 IN_PROGRESS WAITING_PARTS WAITING_OWNER > FIXED
unfixable    assignee lead            IN_PROGRESS WAITING_PARTS WAITING_OWNER > UNFIXABLE
return       worker lead              FIXED UNFIXABLE > RETURNED
close        worker lead reporter system  FIXED UNFIXABLE RETURNED > CLOSED
cancel       reporter                 SUBMITTED TRIAGED ASSIGNED WAITING_OWNER > CANCELLED
cancel       lead                     SUBMITTED TRIAGED ASSIGNED IN_PROGRESS WAITING_PARTS WAITING_OWNER > CANCELLED
recover      system                   SUBMITTED TRIAGED ASSIGNED > CANCELLED
settle       system                   SUBMITTED TRIAGED > CLOSED
reopen       reporter worker lead     FIXED UNFIXABLE RETURNED CLOSED CANCELLED > TRIAGED
note         reporter worker lead system  SUBMITTED TRIAGED ASSIGNED IN_PROGRESS WAITING_PARTS WAITING_OWNER FIXED UNFIXABLE RETURNED CLOSED CANCELLED > =
`

type step struct {
	action repair.Action
	role   repair.Role
	from   repair.State
}

// spec reads life.
func spec(t *testing.T) (map[step]repair.State, []repair.Action) {
	t.Helper()
	out := map[step]repair.State{}
	var actions []repair.Action
	for line := range strings.Lines(strings.TrimSpace(life)) {
		left, to, _ := strings.Cut(strings.TrimSpace(line), " > ")
		words := strings.Fields(left)
		action := repair.Action(words[0])
		if !slices.Contains(actions, action) {
			actions = append(actions, action)
		}
		for _, r := range words[1:] {
			if !slices.Contains(repair.Roles, repair.Role(r)) {
				continue
			}
			for _, s := range words[1:] {
				if from := repair.State(s); slices.Contains(repair.States, from) {
					next := repair.State(to)
					if to == "=" {
						next = from
					}
					out[step{action, repair.Role(r), from}] = next
				}
			}
		}
	}
	return out, actions
}

func TestMachineIsTheLifeOfATicket(t *testing.T) {
	want, actions := spec(t)
	for _, m := range repair.Machine {
		if !slices.Contains(actions, m.Action) {
			t.Errorf("%s is not in the life of a ticket", m.Action)
		}
	}
	for _, a := range actions {
		for _, r := range repair.Roles {
			for _, s := range repair.States {
				to, ok := repair.Next(a, s, []repair.Role{r})
				if next, allowed := want[step{a, r, s}]; ok != allowed || to != next {
					t.Errorf("%s by %s from %s leads to %q, %v; want %q, %v", a, r, s, to, ok, next, allowed)
				}
			}
		}
	}
}

// Every action in every state by every role through the service: allowed ones
// lead where the life says, others are refused for the right reason and change
// nothing.
func TestEveryActionInEveryStateByEveryRole(t *testing.T) {
	want, actions := spec(t)
	internal := []repair.Action{"dispatch", "lapse", "recover", "settle"} // have no door
	actions = slices.DeleteFunc(actions, func(a repair.Action) bool { return slices.Contains(internal, a) })
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		// The assignee holds no seat, so that only the assignment speaks.
		holder := make.Officer(t, db, "旧干事")
		owner := make.Officer(t, db, "学生")
		worker := make.Officer(t, db, "干事", "technical.maintenance.technician")
		target := make.Officer(t, db, "新人", "technical.information.technician")
		for _, p := range []id.ID{worker, d.head, target} {
			if err := d.svc.SetCapacity(bg, as(d.head), p, 50, ""); err != nil {
				t.Fatal(err)
			}
		}
		actors := map[repair.Role]org.Actor{"reporter": as(owner), "worker": as(worker), "assignee": as(holder), "lead": as(d.head), "system": org.System()}
		tickets := map[step]id.ID{}
		make.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			n := 0
			for _, a := range actions {
				for _, r := range repair.Roles {
					for _, s := range repair.States {
						n++
						tickets[step{a, r, s}] = place(tx, n, s, a == "return", owner, holder)
					}
				}
			}
			return nil
		})
		wantState := map[id.ID]string{}
		var mu sync.Mutex
		check := func(st step) {
			held := slices.ContainsFunc(repair.States, func(s repair.State) bool { _, ok := want[step{st.action, st.role, s}]; return ok })
			out, err := d.run(actors[st.role], st.action, tickets[st], target)
			next, allowed := want[st]
			denied := fault.Is(err, fault.Forbidden) || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated)
			// Nobody is the assignee of a ticket that was not given out.
			nobody := st.role == "assignee" && slices.Contains([]repair.State{repair.Submitted, repair.Triaged, repair.Cancelled}, st.from)
			switch {
			case allowed && (err != nil || out.State != next):
				t.Errorf("%v: %s, %v; want %s", st, out.State, err, next)
			case !allowed && held && !nobody && !fault.IsRule(err, "WRONG_STATE"):
				t.Errorf("%v: %v; want WRONG_STATE", st, err)
			case !allowed && (!held || nobody) && !denied:
				t.Errorf("%v: %v; want a denial", st, err)
			}
			if !allowed {
				next = st.from
			}
			mu.Lock()
			defer mu.Unlock()
			wantState[tickets[st]] = fmt.Sprint(next, " after ", st)
		}
		var wg sync.WaitGroup
		for _, r := range repair.Roles {
			wg.Go(func() {
				for _, a := range actions {
					for _, s := range repair.States {
						check(step{a, r, s})
					}
				}
			})
		}
		wg.Wait()
		var rows []repair.Ticket
		if err := db.R.NewSelect().Model(&rows).Scan(bg); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if !strings.HasPrefix(wantState[row.ID], string(row.State)+" ") {
				t.Errorf("a ticket is %s, want %s", row.State, wantState[row.ID])
			}
		}
	})
}

// place writes a ticket in the state.
func place(tx *store.Tx, n int, s repair.State, device bool, owner, holder id.ID) id.ID {
	t := &repair.Ticket{ID: id.New(), Number: fmt.Sprintf("2025-%04d", n), Source: repair.FromReport, Kind: repair.Other, State: s, Device: device, Owner: owner,
		Skills: "nobody-knows", Lang: "zh", Version: 1, CreatedAt: testkit.Start, DueAt: testkit.Start}
	if s == repair.WaitingParts || s == repair.WaitingOwner {
		t.PausedAt = testkit.Start
	}
	if s == repair.Closed || s == repair.Cancelled {
		t.ClosedAt = testkit.Start
	}
	if s == repair.Cancelled {
		t.Reason = repair.ReasonRecovered
	}
	if s != repair.Submitted && s != repair.Triaged && s != repair.Cancelled {
		t.Worker, t.Assignment = holder, id.New()
		state, ended := "DONE", any(testkit.Start)
		switch s {
		case repair.Assigned:
			state, ended = "OFFERED", nil
		case repair.InProgress, repair.WaitingParts, repair.WaitingOwner:
			state, ended = "ACCEPTED", nil
		}
		tx.QueueSQL(`INSERT INTO assignment (id, task_kind, task_id, person, state, how, offered_at, deadline, ended_at, explanation)
			VALUES (?, 'repair', ?, ?, ?, 'BY_HAND', ?, ?, ?, '{}')`, t.Assignment, t.ID, holder, state, testkit.Start, testkit.Start, ended)
	}
	if s == repair.Fixed || s == repair.Unfixable || s == repair.Returned || s == repair.Closed {
		t.FixedAt = testkit.Start
	}
	tx.Queue(tx.DB.Bun().NewInsert().Model(t))
	return t.ID
}

// run calls the door of the action.
func (d *desk) run(actor org.Actor, action repair.Action, ticket, target id.ID) (repair.Outcome, error) {
	switch action {
	case repair.ActTriage:
		return d.svc.Triage(bg, actor, repair.TriageInput{Ticket: ticket, Skills: []string{"nobody-knows"}})
	case repair.ActAssign:
		return d.svc.Assign(bg, actor, repair.AssignInput{Ticket: ticket, Person: target})
	case repair.ActNeedPart:
		return d.svc.NeedPart(bg, actor, repair.NeedPartInput{Ticket: ticket, Text: "内存条", Amount: 12000})
	case repair.ActReturn:
		return d.svc.Return(bg, actor, repair.ReturnInput{Ticket: ticket})
	case repair.ActNote:
		return d.svc.Note(bg, actor, repair.NoteInput{Ticket: ticket, Text: "看过了"})
	}
	return d.svc.Do(bg, actor, action, repair.Input{Ticket: ticket})
}

// The rules come from the machine: whoever the machine names has a row, and the
// table of rules has no action of a ticket beside it.
func TestRulesFollowTheMachine(t *testing.T) {
	table := org.NewTable(repair.Rules())
	extra := []string{"repair.submit", "repair.board", "repair.contact", "repair.read", "repair.capacity", "repair.erase"}
	for _, a := range table.Actions() {
		if slices.Contains(extra, a) {
			continue
		}
		if !slices.ContainsFunc(repair.Machine, func(m repair.Move) bool { return "repair."+string(m.Action) == a }) {
			t.Errorf("%s has a rule and is no action", a)
		}
	}
	for _, m := range repair.Machine {
		if len(table.Rules("repair."+string(m.Action))) == 0 {
			t.Errorf("%s has no rule", m.Action)
		}
	}
}
