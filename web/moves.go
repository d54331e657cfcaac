package web

import (
	"strconv"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// moves are what people do with a request beside deciding; done names the words
// that say so.
var moves map[string]struct {
	done string
	do   func(*call, id.ID) error
}

func init() { // the moves show the page again, which lists the moves
	moves = map[string]struct {
		done string
		do   func(*call, id.ID) error
	}{
		"withdraw": {"withdrawn", (*call).withdraw},
		"comment":  {"saved", (*call).comment},
		"resolve":  {"resolved", (*call).resolve},
		"transfer": {"handedon", (*call).transfer},
		"signers":  {"signers", (*call).addSigners},
		"undo":     {"undone", (*call).undo},
		"disown":   {"disowned", (*call).disown},
		"nudge":    {"nudged", (*call).nudge},
		"copy":     {"copied", (*call).copyTo},
		"stop":     {"stopped", (*call).stop},
	}
}

func (c *call) withdraw(which id.ID) error {
	_, err := c.Workflow.Withdraw(c.ctx(), c.actor, workflow.WithdrawInput{Request: which, Comment: c.in("comment"), IdempotencyKey: c.key()})
	return err
}

func (c *call) comment(which id.ID) error {
	_, err := c.Workflow.Comment(c.ctx(), c.actor, workflow.CommentInput{Request: which, Text: c.in("comment"), Blocking: c.in("blocking") == "yes", IdempotencyKey: c.key()})
	return under(err, "text", "say")
}

// under moves a refusal to the page's own name of a field.
func under(err error, from, to string) error {
	if e, ok := fault.As(err); ok && len(e.Path) > 0 && e.Path[0] == from {
		return e.At(to)
	}
	return err
}

func (c *call) resolve(which id.ID) error {
	n, err := strconv.Atoi(c.in("n"))
	if err != nil {
		return fault.Missing()
	}
	_, err = c.Workflow.Resolve(c.ctx(), c.actor, workflow.ResolveInput{Request: which, N: n, Comment: c.in("comment"), IdempotencyKey: c.key()})
	return err
}

func (c *call) transfer(id.ID) error {
	task, err := c.task()
	if err != nil {
		return err
	}
	who, err := c.pick(1)
	if err != nil {
		return err
	}
	_, err = c.Workflow.Transfer(c.ctx(), c.actor, workflow.TransferInput{Task: task, To: who[0], Comment: c.in("comment"), IdempotencyKey: c.key()})
	return under(err, "to", "who")
}

func (c *call) addSigners(id.ID) error {
	task, err := c.task()
	if err != nil {
		return err
	}
	who, err := c.pick(10)
	if err != nil {
		return err
	}
	in := workflow.AddSignersInput{Task: task, Place: flow.Place(c.in("place")), People: who, Comment: c.in("comment"), IdempotencyKey: c.key()}
	in.Any, in.InTurn = c.in("rule") == "any", c.in("rule") == "turn"
	_, err = c.Workflow.AddSigners(c.ctx(), c.actor, in)
	return under(err, "people", "who")
}

func (c *call) undo(id.ID) error {
	task, err := c.task()
	if err != nil {
		return err
	}
	_, err = c.Workflow.Undo(c.ctx(), c.actor, workflow.UndoInput{Task: task, IdempotencyKey: c.key()})
	return err
}

func (c *call) disown(id.ID) error {
	task, err := c.task()
	if err != nil {
		return err
	}
	_, err = c.Workflow.Disown(c.ctx(), c.actor, workflow.UndoInput{Task: task, Comment: c.in("comment"), IdempotencyKey: c.key()})
	return under(err, "comment", "disown")
}

func (c *call) nudge(which id.ID) error {
	_, err := c.Workflow.Nudge(c.ctx(), c.actor, workflow.NudgeInput{Request: which, IdempotencyKey: c.key()})
	return err
}

func (c *call) copyTo(which id.ID) error {
	who, err := c.pick(50)
	if err != nil {
		return err
	}
	_, err = c.Workflow.Copy(c.ctx(), c.actor, workflow.CopyInput{Request: which, People: who, Comment: c.in("comment"), IdempotencyKey: c.key()})
	return under(err, "people", "who")
}

func (c *call) stop(which id.ID) error {
	_, err := c.Workflow.Stop(c.ctx(), c.actor, workflow.StopInput{Request: which, Comment: c.in("comment"), IdempotencyKey: c.key()})
	return under(err, "comment", "stop")
}
