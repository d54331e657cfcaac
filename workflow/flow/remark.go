package flow

import (
	"fmt"
	"slices"
	"time"
)

// A requester may ask people to hurry so often.
const (
	nudgeEvery = 4 * time.Hour
	maxNudges  = 20
)

// move is Decide for the moves beside voting.
func (r *run) move(cmd Command) error {
	switch c := cmd.(type) {
	case Transfer:
		return r.transfer(c)
	case AddSigners:
		return r.addSigners(c)
	case Undo:
		return r.undo(c)
	case Disown:
		return r.disown(c)
	case Resolve:
		return r.resolve(c)
	case Nudge:
		return r.nudge(c)
	case Copy:
		return r.copy(c)
	case Stop:
		return r.stop(c)
	case Supersede:
		return r.supersede(c)
	case CloseOut:
		return r.closeOut(c)
	case Migrate:
		return r.migrate(c)
	case Reschedule:
		return r.reschedule(c)
	}
	return fmt.Errorf("flow: unknown command %T", cmd)
}

func (r *run) comment(c Comment) error {
	if r.st.Status == New {
		return r.wrongState()
	}
	if c.Task != "" && r.st.Task(c.Task) == nil {
		return refuse(NoSuchTask, "没有这项待办", "there is no such task", nil)
	}
	if c.Reply < 0 || c.Reply > len(r.st.Remarks) {
		return refuse(NoSuchTask, "没有这条意见", "there is no such remark", nil)
	}
	if c.Blocking && (c.By.Person == r.st.Requester || !r.elector(c.By.Person)) {
		return refuse(NotYourTask, "只有正在审批的人可以提出必须处理的意见", "only those who are asked now can make a remark that must be resolved", Who{})
	}
	r.emit(Commented{N: len(r.st.Remarks) + 1, Task: c.Task, Reply: c.Reply, Blocking: c.Blocking, Note: c.Note})
	return nil
}

// elector says that the person is asked now.
func (r *run) elector(person string) bool {
	return slices.ContainsFunc(r.st.OpenTasks(), func(t Task) bool { return t.Elector.Person == person })
}

func (r *run) unresolved() []int {
	var out []int
	for _, m := range r.st.Remarks {
		if m.Blocking && !m.Resolved {
			out = append(out, m.N)
		}
	}
	return out
}

func (r *run) resolve(c Resolve) error {
	if !slices.Contains(r.unresolved(), c.N) {
		return refuse(NoSuchTask, "没有这条待处理的意见", "there is no such open remark", nil)
	}
	if c.By.Person == r.st.Requester || r.st.Remarks[c.N-1].By != c.By.Person && !r.elector(c.By.Person) {
		return refuse(NotYours, "意见由提出的人或正在审批的人确认处理", "a remark is resolved by who made it or by those who are asked now", nil)
	}
	r.emit(Resolved{N: c.N, Note: c.Note})
	return nil
}

func (r *run) nudge(c Nudge) error {
	if r.st.Status != Open {
		return r.wrongState()
	}
	if c.By.Person != r.st.Requester {
		return refuse(NotRequester, "只有申请人可以催办", "only the requester nudges", nil)
	}
	if again := r.st.NudgedAt.Add(nudgeEvery); r.st.Nudges > 0 && r.now.Before(again) || r.st.Nudges >= maxNudges {
		return refuse(TooSoon, "刚催办过，请过几小时再催", "it was nudged a short while ago; wait some hours", Again{again})
	}
	var tasks []string
	for _, t := range r.st.OpenTasks() {
		tasks = append(tasks, t.ID)
	}
	r.emit(Nudged{N: r.st.Nudges + 1, Tasks: tasks})
	return nil
}

func (r *run) copy(c Copy) error {
	if r.st.Status == New {
		return r.wrongState()
	}
	var who []Elector
	for _, p := range c.People {
		who = append(who, Elector{Person: p})
	}
	r.copyTo(who, c.Note)
	return nil
}

// copyTo tells those who are not told yet.
func (r *run) copyTo(who []Elector, note *Note) {
	var people []string
	for _, e := range who {
		if e.Person != r.st.Requester && !slices.Contains(people, e.Person) && !slices.Contains(r.st.Copied, e.Person) {
			people = append(people, e.Person)
		}
	}
	if len(people) > 0 {
		r.emit(Copied{People: people, Note: note})
	}
}

// Notes collects the texts that events name, in order.
func Notes(events []Event) []Note {
	var out []Note
	add := func(n *Note) {
		if n != nil {
			out = append(out, *n)
		}
	}
	for _, ev := range events {
		switch b := ev.Body.(type) {
		case VoteCast:
			add(b.Note)
		case SentBack:
			add(b.Note)
		case Resubmitted:
			add(b.Note)
		case Commented:
			add(&b.Note)
		case Closed:
			add(b.Note)
		case Transferred:
			add(b.Note)
		case SignersAdded:
			add(b.Note)
		case Copied:
			add(b.Note)
		case Resolved:
			add(b.Note)
		case ClosedOut:
			add(b.Note)
		case Migrated:
			add(b.Note)
		}
	}
	return out
}
