package property

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Want is what a form asks to reserve: a place, or a quantity of an item.
type Want struct {
	Place    id.ID
	Item     id.ID
	Quantity int64
	From     time.Time
	Until    time.Time
	Name     string // of the place or item, for messages
	Unit     string // in whose custody it is
}

// The names under which forms ask for things. Values are codes, ids or TypeIDs;
// one of a list may also be an object that names it as item, room or code.
var (
	roomFields  = []string{"room", "rooms", "place"}
	boardFields = []string{"board", "boards", "board_slot", "board_slots", "places"}
	itemFields  = []string{"equipment", "loan"}
)

// period reads when: from/to, start/end, or the same inside "when". A date
// without a time is the whole local day, the last one included.
func (s *Service) period(form map[string]any) (from, until time.Time, ok bool) {
	if w, is := form["when"].(map[string]any); is {
		return s.period(w)
	}
	pick := func(names ...string) (time.Time, bool, bool) {
		for _, n := range names {
			text, _ := form[n].(string)
			if t, err := time.Parse(time.RFC3339, text); err == nil {
				return t.UTC().Truncate(time.Microsecond), false, true
			}
			for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04"} {
				if t, err := time.ParseInLocation(layout, text, s.Location); err == nil {
					return t.UTC(), false, true
				}
			}
			if t, err := time.ParseInLocation("2006-01-02", text, s.Location); err == nil {
				return t.UTC(), true, true
			}
		}
		return time.Time{}, false, false
	}
	from, day, ok := pick("from", "start", "starts_at", "start_at", "when", "date")
	if !ok {
		return from, until, false
	}
	until, last, ok := pick("to", "until", "end", "ends_at", "end_at")
	switch {
	case ok && last:
		until = until.In(s.Location).AddDate(0, 0, 1).UTC()
	case !ok && day:
		until = from.In(s.Location).AddDate(0, 0, 1).UTC()
	case !ok:
		hours, _ := integer(form["hours"])
		until = from.Add(time.Duration(max(1, hours)) * time.Hour)
	}
	return from, until, until.After(from)
}

// wants reads everything that the form asks to reserve; kind limits it to
// "room", "board" or "equipment", "" = all. What the register does not know,
// such as a room of another owner, is left out.
func (s *Service) wants(ctx context.Context, q bun.IDB, form map[string]any, kind string) ([]Want, error) {
	var out []Want
	for _, part := range sessions(form) {
		from, until, _ := s.period(part) // zero: only what has days of its own
		for _, g := range []struct {
			kind   string
			fields []string
			place  PlaceKind
		}{{"room", roomFields, Room}, {"board", boardFields, Board}, {"equipment", itemFields, ""}} {
			if kind != "" && kind != g.kind {
				continue
			}
			fields := g.fields
			if action, _ := part["action"].(string); g.kind == "equipment" && (action == "loan" || action == "borrow") {
				fields = append([]string{"items", "item"}, fields...)
			}
			for _, f := range fields {
				for _, v := range list(part[f]) {
					w, found, err := s.find(ctx, q, v, g.place)
					if err != nil {
						return nil, err
					}
					w.From, w.Until = from, until
					own, timed := v.(map[string]any)
					if timed {
						// One of them may have days of its own, as a board has.
						if f, u, ok := s.period(own); ok {
							w.From, w.Until = f, u
						}
					}
					if found && w.Until.After(w.From) {
						out = append(out, w)
					}
				}
			}
		}
	}
	return out, nil
}

// sessions gives the form itself and, for forms with several dates, each of
// them over the form's own fields.
func sessions(form map[string]any) []map[string]any {
	var out []map[string]any
	for _, v := range list(form["sessions"]) {
		if m, ok := v.(map[string]any); ok {
			one := map[string]any{}
			for k, x := range form {
				one[k] = x
			}
			for k, x := range m {
				one[k] = x
			}
			out = append(out, one)
		}
	}
	if out == nil {
		out = append(out, form)
	}
	return out
}

// find looks up what a value names; place "" means an item.
func (s *Service) find(ctx context.Context, q bun.IDB, v any, place PlaceKind) (w Want, ok bool, err error) {
	w.Quantity = 1
	if m, is := v.(map[string]any); is {
		for _, k := range []string{"quantity", "qty", "count"} {
			if n, is := integer(m[k]); is {
				w.Quantity = n
			}
		}
		v = first(m, "item", "asset", "room", "board", "place", "code")
	}
	text, _ := v.(string)
	if text == "" || w.Quantity < 1 {
		return w, false, nil
	}
	if place == "" {
		var it Item
		err = named(q.NewSelect().Model(&it), text).Where("kind = ?", Equipment).Scan(ctx)
		w.Item, w.Name, w.Unit = it.ID, it.NameZh, it.Unit
	} else {
		var p Place
		err = named(q.NewSelect().Model(&p), text).Where("kind = ?", place).Scan(ctx)
		w.Place, w.Name, w.Unit, w.Quantity = p.ID, p.NameZh, p.Unit, 1
	}
	if store.NoRows(err) {
		return w, false, nil
	}
	return w, err == nil, err
}

// named selects by id, TypeID or code.
func named(q *bun.SelectQuery, text string) *bun.SelectQuery {
	if one, ok := anyID(text); ok {
		return q.Where("id = ?", one)
	}
	return q.Where("code = ?", text)
}

func anyID(text string) (id.ID, bool) {
	if _, one, err := id.Split(text); err == nil {
		return one, true
	}
	var one id.ID
	if len(text) == 36 && one.UnmarshalText([]byte(text)) == nil {
		return one, true
	}
	return id.Nil, false
}

// purchaseOf reads what the form asks to buy: items [{name, quantity, item,
// price of one}] with prices, the amount of each line, beside them or not; or a
// single amount. Money is fen. ticket names the repair.
func purchaseOf(form map[string]any) (in PurchaseInput) {
	items, prices := list(form["items"]), list(form["prices"])
	for i, v := range items {
		m, ok := v.(map[string]any)
		if !ok {
			continue
		}
		it := PurchaseItem{Quantity: 1}
		it.Name, _ = first(m, "name", "what", "title").(string)
		it.Item, _ = first(m, "item", "asset", "code").(string)
		if n, ok := integer(first(m, "quantity", "qty", "count")); ok {
			it.Quantity = n
		}
		one, _ := integer(first(m, "price", "unit_price"))
		it.Amount = one * it.Quantity
		if len(prices) == len(items) {
			it.Amount, _ = integer(prices[i])
		}
		in.Items = append(in.Items, it)
		in.Total += it.Amount
	}
	if n, ok := integer(first(form, "total", "amount", "sum", "price")); ok {
		in.Total = n
	}
	if len(in.Items) == 0 {
		name, _ := first(form, "name", "what", "title", "purpose").(string)
		in.Items = []PurchaseItem{{Name: name, Quantity: 1, Amount: in.Total}}
	}
	if text, _ := form["ticket"].(string); text != "" {
		in.Ticket, _ = anyID(strings.TrimSpace(text))
	}
	return in
}

func list(v any) []any {
	switch x := v.(type) {
	case nil:
		return nil
	case []any:
		return x
	case []string:
		out := make([]any, len(x))
		for i, s := range x {
			out[i] = s
		}
		return out
	}
	return []any{v}
}

func first(m map[string]any, names ...string) any {
	for _, n := range names {
		if v, ok := m[n]; ok && v != nil && v != "" {
			return v
		}
	}
	return nil
}

// integer reads a whole number as JSON and Go decoders give it.
func integer(v any) (int64, bool) {
	switch x := v.(type) {
	case int:
		return int64(x), true
	case int64:
		return x, true
	case float64:
		return int64(x), x == float64(int64(x))
	case json.Number:
		n, err := x.Int64()
		return n, err == nil
	}
	return 0, false
}
