package workflow

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// LinkDecision is a decision by link; Code is the second proof of a step that
// needs one.
type LinkDecision struct {
	Token          string
	Verdict        Verdict
	To             string
	Comment        string
	Code           string
	Fields         map[string]any // see DecideInput
	Score          *int           // see DecideInput
	IdempotencyKey string
}

// DecideByLink decides the link's task for its person. visitor is who opened
// the link: somebody signed in as another person is refused. A link that is
// stale, used or expired changes nothing and says so.
func (s *Service) DecideByLink(ctx context.Context, visitor org.Actor, in LinkDecision) (Outcome, error) {
	di := DecideInput{Verdict: in.Verdict, To: in.To, Comment: in.Comment, Fields: in.Fields, Score: in.Score}
	if err := di.check(); err != nil {
		return Outcome{}, err
	}
	m := linkMove{mutation: "decideByLink", token: in.Token, code: in.Code, key: in.IdempotencyKey, input: in}
	return s.throughLink(ctx, visitor, m, func(ctx context.Context, x *linked) (Outcome, error) {
		if task := x.byID(x.link.TaskID); task != nil && linkState(x.link, task, x.st, x.now) == LinkExpired {
			return Outcome{}, fault.Refuse("LINK_EXPIRED", "链接已过期，请联系申请人或办公室重新发送", "the link has expired; ask the requester or the office for a new one")
		}
		di.Task, di.FormRev = x.link.TaskID, x.link.FormRev
		x.tx.QueueSQL(`UPDATE decision_link SET used_at = ? WHERE id = ?`, x.now, x.link.ID)
		return x.decide(ctx, x.person, di, flow.Actor{Person: x.link.Person.String(), Door: flow.Link}, x.proved)
	})
}

// LinkUndo takes back what was decided with a link; Code as in LinkDecision.
type LinkUndo struct {
	Token          string
	Code           string
	IdempotencyKey string
}

// UndoByLink takes back the decision that was made with the link, under the
// rules of Undo. The task is opened again and a newer link is sent.
func (s *Service) UndoByLink(ctx context.Context, visitor org.Actor, in LinkUndo) (Outcome, error) {
	m := linkMove{mutation: "undoByLink", token: in.Token, code: in.Code, key: in.IdempotencyKey, input: in}
	return s.throughLink(ctx, visitor, m, func(ctx context.Context, x *linked) (Outcome, error) {
		task := x.byID(x.link.TaskID)
		if task == nil || x.link.UsedAt.IsZero() {
			return Outcome{}, fault.Refuse(string(flow.NotYours), "还没有用这个链接作过决定", "nothing was decided with this link yet")
		}
		if err := s.rules.Check(x.person, "workflow.undo", readable(&x.row, x.st)); err != nil {
			return Outcome{}, err
		}
		facts, _, err := x.facts(ctx, "")
		if err != nil {
			return Outcome{}, err
		}
		x.actor, x.judge, x.seat = x.link.Person, x.person, task.Elector.Seat
		by := flow.Actor{Person: x.link.Person.String(), Seat: task.Elector.Seat, Door: flow.Link}
		if err := x.apply(ctx, flow.Undo{By: by, Task: task.ID, Proved: x.proved}, facts); err != nil {
			return Outcome{}, err
		}
		if err := x.save("workflow.undo", false); err != nil {
			return Outcome{}, err
		}
		return x.outcome(), nil
	})
}

// linkMove is what a visitor does with a link.
type linkMove struct {
	mutation, token, code, key string
	input                      any
}

// linked is a request loaded by one of its links.
type linked struct {
	*thread
	link   linkRow
	person org.Actor // to whom the link was sent
	proved bool      // the visitor gave the code
}

// throughLink is the frame of what is done with a link: the code, begin, the
// request under lock, then fn.
func (s *Service) throughLink(ctx context.Context, visitor org.Actor, m linkMove, fn func(ctx context.Context, x *linked) (Outcome, error)) (Outcome, error) {
	hash := tokenHash(strings.TrimSpace(m.token))
	now, cal, err := s.now(ctx)
	if err != nil {
		return Outcome{}, err
	}
	proved := false
	if m.code != "" {
		if proved, err = s.prove(ctx, visitor, m, now); err != nil {
			return Outcome{}, err
		}
	}
	key := m.key
	if key != "" {
		key = hash[:32] + " " + key // strangers' keys never meet
	}
	return raced(store.InTx(ctx, s.db, store.FromClient(s.db, visitor.Person, m.mutation, key, m.input), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		r := store.NewReads(tx)
		loaded := s.askLoad(r, tx, byLink, hash, now, cal)
		var links []linkRow
		r.SQL(&links, `SELECT * FROM decision_link WHERE hash = ?`, hash)
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		t, err := loaded(ctx)
		if err != nil {
			return Outcome{}, err
		}
		if err := meant(links[0], visitor); err != nil {
			return Outcome{}, err
		}
		return fn(ctx, &linked{thread: t, link: links[0], person: org.Actor{Person: links[0].Person, Lang: visitor.Lang}, proved: proved})
	}))
}

// meant refuses who is signed in as somebody else than the link's person.
func meant(l linkRow, visitor org.Actor) error {
	if !visitor.Anonymous() && visitor.Person != l.Person {
		return fault.Refuse("LINK_FORWARDED", "这个链接是发给另一个人的，不能代他办理", "this link was sent to somebody else; nobody decides in that person's place")
	}
	return nil
}

// prove weighs the code that came with a link; a wrong one counts, whatever
// becomes of the move.
func (s *Service) prove(ctx context.Context, visitor org.Actor, m linkMove, now time.Time) (bool, error) {
	l, err := s.linkRow(ctx, m.token)
	if err == nil {
		err = meant(l, visitor)
	}
	if err != nil {
		return false, err
	}
	return s.proved(ctx, l, m.code, now)
}
