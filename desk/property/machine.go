package property

import (
	"slices"

	"kelian/internal/fault"
	"kelian/org"
)

// Action on a purchase.
type Action string

// The actions.
const (
	ActFund   Action = "fund"
	ActOrder  Action = "order"
	ActArrive Action = "arrive"
	ActCancel Action = "cancel"
)

// Move is one row of the machine. Who are seats of the rules; none means that
// another service acts, in its own transaction and by its own rule.
type Move struct {
	Action Action
	Who    []string
	From   []PurchaseState
	To     PurchaseState
}

// Machine is the life of a purchase. What was bought in a shop arrives without
// having been ordered.
var Machine = []Move{
	{ActFund, nil, []PurchaseState{Approved}, Funded},
	{ActOrder, []string{"office.keeper", "office.head", "office.deputy", org.Owner}, []PurchaseState{Funded}, Ordered},
	{ActArrive, []string{"office.keeper", "office.head", "office.deputy"}, []PurchaseState{Funded, Ordered}, Arrived},
	{ActCancel, []string{"office.head", "fed.vice", "fed.chair", org.Owner}, []PurchaseState{Approved, Funded, Ordered}, Cancelled},
}

// Next gives the state after the action, or the refusal that names the present
// one.
func Next(action Action, from PurchaseState) (PurchaseState, error) {
	for _, m := range Machine {
		if m.Action == action && slices.Contains(m.From, from) {
			return m.To, nil
		}
	}
	return "", fault.Refuse("WRONG_STATE", "采购单现在是“"+stateZh[from]+"”，不能这样办理", "the purchase is "+string(from)+" and does not take this now").With(from)
}

var stateZh = map[PurchaseState]string{Approved: "待出资", Funded: "已出资", Ordered: "已下单", Arrived: "已到货", Cancelled: "已取消"}
