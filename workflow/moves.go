package workflow

import (
	"context"
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// move is one move of somebody on a request: loaded, locked and judged.
type move struct {
	*thread
	by    flow.Actor
	task  *flow.Task // where it is about one
	facts flow.Facts
	seats []PersonSeat // of the people named
}

// moves is what a move is about: a request or one of its tasks, and the people
// that it names. An absent request, one that the actor may not read, and a
// task of either are fault.Missing.
type moves struct {
	mutation, key string
	input         any
	request, task id.ID
	people        []id.ID
	action        string // of the audit and of the rules
	// requester: the core says to others who can; they may know of the request.
	requester bool
	early     func(r *store.Reads)          // what else is read beside the request
	ask       func(x *move, r *store.Reads) // what else is read beside the directory
	bare      bool                          // the directory is not read: the move asks nobody, or reads it itself
}

// act is the frame of the moves: begin, the request under lock with the actor's
// seats, the directory, writes with commit.
func (s *Service) act(ctx context.Context, actor org.Actor, m moves, fn func(ctx context.Context, x *move) error) (Outcome, error) {
	if actor.Anonymous() {
		return Outcome{}, fault.SignIn()
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return Outcome{}, err
	}
	where, key := byID, m.request
	if !m.task.IsZero() {
		where, key = byTask, m.task
	}
	return raced(store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, m.mutation, m.key, m.input), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		r := store.NewReads(tx)
		loaded, judged := s.askLoad(r, tx, where, key, now, cal), org.AskJudge(r, actor, now)
		x := &move{facts: flow.Facts{Now: now}}
		if len(m.people) > 0 {
			askSeatsOf(r, &x.seats, m.people, now)
		}
		if m.early != nil {
			m.early(r)
		}
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		if x.thread, err = loaded(ctx); err != nil {
			return Outcome{}, err
		}
		if x.judge, err = judged(); err != nil {
			return Outcome{}, err
		}
		if err := s.mayMove(x, m); err != nil {
			return Outcome{}, err
		}
		if !m.task.IsZero() {
			x.task = x.byID(m.task)
		}
		if err := x.directory(ctx, r, m); err != nil {
			return Outcome{}, err
		}
		x.actor, x.seat = x.judge.Person, x.judge.Acting
		x.by = flow.Actor{Person: x.judge.Person.String(), Seat: x.judge.Acting, Door: flow.Console}
		if err := fn(ctx, x); err != nil {
			return Outcome{}, err
		}
		if err := x.save(m.action, false); err != nil {
			return Outcome{}, err
		}
		return x.outcome(), nil
	}))
}

// mayMove judges the actor. To somebody who may not read the request it does
// not exist; the office enters papers about requests that it does not follow.
func (s *Service) mayMove(x *move, m moves) error {
	mine := x.judge.Person == x.row.Requester
	paper := m.action == "workflow.paper" && s.rules.Can(x.judge, m.action, org.Object{})
	if !mine && !paper && !s.canRead(x.judge, &x.row, x.st) {
		return fault.Missing()
	}
	err := s.rules.Check(x.judge, m.action, readable(&x.row, x.st))
	if m.requester && !mine && x.judge.Scope("workflow") {
		return nil
	}
	return err
}

// directory reads the facts of the move.
func (x *move) directory(ctx context.Context, r *store.Reads, m moves) (err error) {
	if m.bare {
		return nil
	}
	facts := x.askFacts(r, "")
	if m.ask != nil {
		m.ask(x, r)
	}
	if err := r.Run(ctx); err != nil {
		return err
	}
	x.facts, _, err = facts()
	return err
}

// elector is a person named in a move, under a seat of his own: one of the
// unit that the task asks where he holds one.
func (x *move) elector(person id.ID) (flow.Elector, error) {
	e := flow.Elector{Person: person.String()}
	unit := ""
	if x.task != nil {
		unit = x.task.Elector.Seat[:max(0, strings.LastIndex(x.task.Elector.Seat, "."))]
	}
	for _, s := range x.seats {
		if s.Person == person && (e.Seat == "" || strings.HasPrefix(s.Seat, unit+".") && !strings.HasPrefix(e.Seat, unit+".")) {
			e.Seat = s.Seat
		}
	}
	if e.Seat == "" {
		return e, fault.Refuse("NO_SEAT", "这个人现在没有岗位，不能审批", "this person holds no seat now and cannot be asked")
	}
	return e, nil
}

// TransferInput hands one's own task to somebody else.
type TransferInput struct {
	Task           id.ID
	To             id.ID // person
	Comment        string
	IdempotencyKey string
}

// Transfer hands a task on; the other decides in the same place. Refusals:
// those of package flow, and NO_SEAT.
func (s *Service) Transfer(ctx context.Context, actor org.Actor, in TransferInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "transferTask", key: in.IdempotencyKey, input: in, task: in.Task, people: []id.ID{in.To}, action: "workflow.transfer"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		to, err := x.elector(in.To)
		if err != nil {
			return pointAt(err, "to")
		}
		return x.apply(ctx, flow.Transfer{By: x.by, Task: x.task.ID, To: to, Note: x.note(in.Comment)}, x.facts)
	})
}

func pointAt(err error, field string) error {
	if f, ok := fault.As(err); ok {
		return f.At(field)
	}
	return err
}

// AddSignersInput asks more people beside oneself: before one decides, after
// one approved, or at the same time. All of them have to approve unless Any.
type AddSignersInput struct {
	Task           id.ID
	Place          flow.Place
	Any            bool
	InTurn         bool
	People         []id.ID
	Comment        string
	IdempotencyKey string
}

// AddSigners adds signers to one's own task.
func (s *Service) AddSigners(ctx context.Context, actor org.Actor, in AddSignersInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	if !slices.Contains([]flow.Place{flow.Before, flow.After, flow.Parallel}, in.Place) {
		return Outcome{}, fault.Input("place", "place 应为 before、after 或 parallel", "place is before, after or parallel")
	}
	rule := flow.Rule{Kind: flow.All, InTurn: in.InTurn}
	if in.Any {
		rule.Kind = flow.Any
	}
	m := moves{mutation: "addSigners", key: in.IdempotencyKey, input: in, task: in.Task, people: in.People, action: "workflow.add_signers"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		cmd := flow.AddSigners{By: x.by, Task: x.task.ID, Place: in.Place, Rule: rule, Note: x.note(in.Comment)}
		for _, p := range in.People {
			e, err := x.elector(p)
			if err != nil {
				return pointAt(err, "people")
			}
			cmd.Who = append(cmd.Who, e)
		}
		return x.apply(ctx, cmd, x.facts)
	})
}

// UndoInput takes one's own decision back.
type UndoInput struct {
	Task           id.ID
	Comment        string // of Disown
	IdempotencyKey string
}

// Undo takes a vote back within flow.UndoWithin, while nobody relies on it.
func (s *Service) Undo(ctx context.Context, actor org.Actor, in UndoInput) (Outcome, error) {
	m := moves{mutation: "undoDecision", key: in.IdempotencyKey, input: in, task: in.Task, action: "workflow.undo"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		return x.apply(ctx, flow.Undo{By: x.by, Task: x.task.ID}, x.facts)
	})
}

// Disown says that a decision entered from paper was not one's own; the step
// is asked again.
func (s *Service) Disown(ctx context.Context, actor org.Actor, in UndoInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, true); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "disownDecision", key: in.IdempotencyKey, input: in, task: in.Task, action: "workflow.disown"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		return x.apply(ctx, flow.Disown{By: x.by, Task: x.task.ID, Note: x.note(in.Comment)}, x.facts)
	})
}

// NudgeInput asks those who are asked to hurry.
type NudgeInput struct {
	Request        id.ID
	IdempotencyKey string
}

// Nudge tells everybody with an open task again, at most once in four hours.
func (s *Service) Nudge(ctx context.Context, actor org.Actor, in NudgeInput) (Outcome, error) {
	m := moves{mutation: "nudgeRequest", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.nudge"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		return x.apply(ctx, flow.Nudge{By: x.by}, x.facts)
	})
}

// CopyInput lets people know of a request and read it.
type CopyInput struct {
	Request        id.ID
	People         []id.ID
	Comment        string
	IdempotencyKey string
}

// maxCopies bounds how many people one command tells.
const maxCopies = 50

// Copy tells people with a seat of the request; whoever may read it may.
func (s *Service) Copy(ctx context.Context, actor org.Actor, in CopyInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	if n := len(in.People); n == 0 || n > maxCopies {
		return Outcome{}, fault.Input("people", "一次抄送 1–50 人", "copy 1 to 50 people at a time")
	}
	m := moves{mutation: "copyRequest", key: in.IdempotencyKey, input: in, request: in.Request, people: in.People, action: "workflow.copy"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		cmd := flow.Copy{By: x.by, Note: x.note(in.Comment)}
		for _, p := range in.People {
			if _, err := x.elector(p); err != nil {
				return pointAt(err, "people")
			}
			cmd.People = append(cmd.People, p.String())
		}
		return x.apply(ctx, cmd, x.facts)
	})
}

// ResolveInput settles a blocking remark, by its number.
type ResolveInput struct {
	Request        id.ID
	N              int
	Comment        string
	IdempotencyKey string
}

// Resolve settles a blocking remark: by whom it was made, or by somebody who is
// asked now.
func (s *Service) Resolve(ctx context.Context, actor org.Actor, in ResolveInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "resolveComment", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.resolve"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		return x.apply(ctx, flow.Resolve{By: x.by, N: in.N, Note: x.note(in.Comment)}, x.facts)
	})
}
