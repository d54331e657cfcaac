package sponsor

import (
	"slices"

	"kelian/internal/fault"
	"kelian/org"
)

// Action on a pledge.
type Action string

// The actions.
const (
	ActContact   Action = "contact"
	ActNegotiate Action = "negotiate"
	ActAgree     Action = "agree"
	ActReceive   Action = "receive"
	ActDeliver   Action = "deliver" // what was promised in return
	ActThank     Action = "thank"
	ActLose      Action = "lose"
)

// Move is one row of the machine.
type Move struct {
	Action Action
	Who    []string
	From   []State
	To     State
}

var (
	liaison = []string{"liaison.head", "liaison.deputy", "liaison.member"}
	lead    = []string{"liaison.head", "liaison.deputy"}
)

// Machine is the life of a pledge.
var Machine = []Move{
	{ActContact, liaison, []State{Lead}, Contacted},
	{ActNegotiate, liaison, []State{Lead, Contacted}, Negotiating},
	{ActAgree, lead, []State{Lead, Contacted, Negotiating}, Agreed},
	{ActReceive, []string{"league.finance"}, []State{Agreed}, Received},
	{ActDeliver, liaison, []State{Received}, Delivered},
	{ActThank, liaison, []State{Delivered}, Thanked},
	{ActLose, lead, []State{Lead, Contacted, Negotiating, Agreed}, Lost},
}

// Next gives the state after the action, or the refusal that names the present
// one.
func Next(action Action, from State) (State, error) {
	for _, m := range Machine {
		if m.Action == action && slices.Contains(m.From, from) {
			return m.To, nil
		}
	}
	return "", fault.Refuse("WRONG_STATE", "这笔赞助现在是“"+StateZh(from)+"”，不能这样办理", "the pledge is "+string(from)+" and does not take this now").With(from)
}

// StateZh is the state in Chinese.
func StateZh(s State) string {
	return map[State]string{Lead: "线索", Contacted: "已联系", Negotiating: "商谈中", Agreed: "已约定", Received: "已到账",
		Delivered: "已履约", Thanked: "已致谢", Lost: "未成"}[s]
}

// Actions beside those of the machine.
const (
	actRead     = "sponsor.read"
	actEdit     = "sponsor.edit"     // organisations, contacts, new pledges
	actLook     = "sponsor.look"     // a contact's personal values
	actAllocate = "sponsor.allocate" // spend a received pledge
)

// Rules says who may do what. Who looks after a pledge does not confirm its
// money.
func Rules() []org.Rule {
	var rules []org.Rule
	add := func(action string, who ...string) {
		for _, w := range who {
			rules = append(rules, org.Rule{Action: action, Who: w})
		}
	}
	add(actRead, "liaison.*", "fed.*", "league.*", "supervision.*", "office.head", "office.deputy")
	add(actEdit, liaison...)
	add(actLook, liaison...)
	add(actAllocate, "liaison.head")
	for _, m := range Machine {
		if m.Action != ActReceive {
			add("sponsor."+string(m.Action), m.Who...)
			continue
		}
		for _, w := range m.Who {
			rules = append(rules, org.Rule{Action: "sponsor." + string(m.Action), Who: w,
				Guard: func(a org.Actor, o org.Object) bool { return a.Person != o.Owner },
				Zh:    "不是这笔赞助的经办人", En: "not the one who looks after the pledge"})
		}
	}
	return rules
}
