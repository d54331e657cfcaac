package property

import (
	"fmt"

	"kelian/internal/id"
	"kelian/internal/store"
)

// The facts that definitions can ask this desk for.
const (
	FactRoomFree      = "room_free"      // bool: every room that the form asks for is free
	FactBoardFree     = "board_free"     // bool: every board slot
	FactEquipmentFree = "equipment_free" // bool: enough of everything to be lent
	FactStock         = "stock"          // int64: for how many times the asked quantity there is stock, of the scarcest item; 0 = none
)

// Facts lists the names of all facts.
func Facts() []string { return []string{FactRoomFree, FactBoardFree, FactEquipmentFree, FactStock} }

// AskFact answers a definition's question about a form, once the reads have
// run. What the requests own hold does not stand in the way: a request's own
// holds, and what it amends.
func (s *Service) AskFact(r *store.Reads, name string, form map[string]any, own ...id.ID) func() (any, error) {
	switch name {
	case FactRoomFree:
		return s.askAllFree(r, form, "room", own)
	case FactBoardFree:
		return s.askAllFree(r, form, "board", own)
	case FactEquipmentFree:
		return s.askAllFree(r, form, "equipment", own)
	case FactStock:
		return s.askStock(r, form)
	}
	return func() (any, error) { return nil, fmt.Errorf("property: there is no fact %q", name) }
}

func (s *Service) askAllFree(r *store.Reads, form map[string]any, kind string, own []id.ID) func() (any, error) {
	named := s.namedIn(form, kind)
	free := make([]func(Want, ...Reservation) (bool, Taken), len(named))
	for i, n := range named {
		n.ask(r)
		free[i] = n.askFree(r, own)
	}
	return func() (any, error) {
		var planned []Reservation
		for i, n := range named {
			w, known := n.found()
			if !known {
				continue
			}
			if ok, _ := free[i](w, planned...); !ok {
				return false, nil
			}
			planned = append(planned, Reservation{Place: w.Place, Item: w.Item, Quantity: w.Quantity, From: w.From, Until: w.Until})
		}
		return true, nil
	}
}

// askStock looks at the items that the form wants to buy or use. One that the
// register does not know is not in stock.
func (s *Service) askStock(r *store.Reads, form map[string]any) func() (any, error) {
	wanted := purchaseOf(form).Items
	rows := make([][]Item, len(wanted))
	for i, it := range wanted {
		name := it.Item
		if name == "" {
			name = it.Name
		}
		sel := s.db.R.NewSelect().Model((*Item)(nil))
		if one, ok := anyID(name); ok {
			sel = sel.Where("id = ?", one)
		} else {
			sel = sel.Where("code = ? OR name_zh = ? OR lower(name_en) = lower(?)", name, name, name)
		}
		r.Add(&rows[i], sel.OrderExpr("code").Limit(1))
	}
	return func() (any, error) {
		least := int64(-1)
		for i, it := range wanted {
			var times int64
			if len(rows[i]) > 0 {
				times = rows[i][0].Quantity / max(1, it.Quantity)
			}
			if least < 0 || times < least {
				least = times
			}
		}
		return max(0, least), nil
	}
}
