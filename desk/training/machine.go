package training

import (
	"slices"

	"kelian/internal/fault"
	"kelian/org"
)

// Action on a task.
type Action string

// The actions.
const (
	ActAccept  Action = "accept"
	ActDecline Action = "decline" // an offer, or give back what one accepted
	ActSwap    Action = "swap"    // propose a colleague
	ActAnswer  Action = "answer"  // a proposed swap
	ActAssign  Action = "assign"
	ActDone    Action = "done"
)

// Move is one row of the machine. The holder is the one who is asked or has
// the task, the substitute the colleague proposed by a swap.
type Move struct {
	Action Action
	Who    []string
	From   []TaskState
}

var leads = []string{"technical.head", "technical.deputy"}

// Machine says who may do what to a task in which state.
var Machine = []Move{
	{ActAccept, []string{org.Assignee}, []TaskState{Offered}},
	{ActDecline, []string{org.Assignee}, []TaskState{Offered, Accepted}},
	{ActSwap, []string{org.Assignee}, []TaskState{Offered, Accepted}},
	{ActAnswer, []string{org.Somebody}, []TaskState{Offered, Accepted}},
	{ActAssign, leads, []TaskState{Open, Offered, Accepted}},
	{ActDone, append([]string{org.Assignee}, leads...), []TaskState{Accepted}},
}

var stateZh = map[TaskState]string{Open: "待派", Offered: "待接受", Accepted: "已接受", Done: "已完成", Dropped: "已取消"}

// allowed says whether the task takes the action in its state.
func allowed(a Action, t *Task) error {
	for _, m := range Machine {
		if m.Action == a && slices.Contains(m.From, t.State) {
			return nil
		}
	}
	return fault.Refuse("WRONG_STATE", "任务现在是“"+stateZh[t.State]+"”，不能这样办理", "the task is "+string(t.State)+" and does not take this now").With(t.State)
}

const (
	actRead   = "training.read"
	actCourse = "training.course"
)

// Rules says who may do what.
func Rules() []org.Rule {
	rules := []org.Rule{{Action: actRead, Who: org.Somebody}}
	for _, w := range []string{"technical.head", "technical.deputy", "technical.trainer"} {
		rules = append(rules, org.Rule{Action: actCourse, Who: w})
	}
	for _, m := range Machine {
		for _, w := range m.Who {
			rules = append(rules, org.Rule{Action: "training." + string(m.Action), Who: w})
		}
	}
	return rules
}
