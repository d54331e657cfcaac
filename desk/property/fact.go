package property

import (
	"context"
	"fmt"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
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

// Fact answers a definition's question about a form that is not yet a request.
func (s *Service) Fact(ctx context.Context, q bun.IDB, name string, form map[string]any) (any, error) {
	return s.FactFor(ctx, q, name, form, id.Nil)
}

// FactFor is Fact for a request that may itself hold what it asks for.
func (s *Service) FactFor(ctx context.Context, q bun.IDB, name string, form map[string]any, request id.ID) (any, error) {
	switch name {
	case FactRoomFree:
		return s.allFree(ctx, q, form, "room", request)
	case FactBoardFree:
		return s.allFree(ctx, q, form, "board", request)
	case FactEquipmentFree:
		return s.allFree(ctx, q, form, "equipment", request)
	case FactStock:
		return s.stock(ctx, q, form)
	}
	return nil, fmt.Errorf("property: there is no fact %q", name)
}

func (s *Service) allFree(ctx context.Context, q bun.IDB, form map[string]any, kind string, request id.ID) (bool, error) {
	wants, err := s.wants(ctx, q, form, kind)
	if err != nil {
		return false, err
	}
	var planned []Reservation
	for _, w := range wants {
		free, _, err := s.free(ctx, q, w, request, planned...)
		if err != nil || !free {
			return false, err
		}
		planned = append(planned, Reservation{Place: w.Place, Item: w.Item, Quantity: w.Quantity, From: w.From, Until: w.Until})
	}
	return true, nil
}

// stock looks at the items that the form wants to buy or use. One that the
// register does not know is not in stock.
func (s *Service) stock(ctx context.Context, q bun.IDB, form map[string]any) (int64, error) {
	least := int64(-1)
	for _, it := range purchaseOf(form).Items {
		name := it.Item
		if name == "" {
			name = it.Name
		}
		var row Item
		sel := q.NewSelect().Model(&row)
		if one, ok := anyID(name); ok {
			sel = sel.Where("id = ?", one)
		} else {
			sel = sel.Where("code = ? OR name_zh = ? OR lower(name_en) = lower(?)", name, name, name)
		}
		err := sel.OrderExpr("code").Limit(1).Scan(ctx)
		if err != nil && !store.NoRows(err) {
			return 0, store.Busy(err)
		}
		times := row.Quantity / max(1, it.Quantity)
		if least < 0 || times < least {
			least = times
		}
	}
	return max(0, least), nil
}
