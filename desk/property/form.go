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

// wants reads everything that the form asks to reserve.
func (s *Service) wants(ctx context.Context, q bun.IDB, form map[string]any) ([]Want, error) {
	r := store.NewReads(q)
	named := s.namedIn(form, "")
	for _, n := range named {
		n.ask(r)
	}
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	var out []Want
	for _, n := range named {
		if w, ok := n.found(); ok {
			out = append(out, w)
		}
	}
	return out, nil
}

// namedIn lists what the form asks to reserve, as it names it; kind limits it
// to "room", "board" or "equipment", "" = all.
func (s *Service) namedIn(form map[string]any, kind string) []*named {
	var out []*named
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
					n := &named{s: s, kind: g.place, want: Want{From: from, Until: until}}
					if own, timed := v.(map[string]any); timed {
						// One of them may have days of its own, as a board has.
						if f, u, ok := s.period(own); ok {
							n.want.From, n.want.Until = f, u
						}
					}
					if n.read(v) && n.want.Until.After(n.want.From) {
						out = append(out, n)
					}
				}
			}
		}
	}
	return out
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

// named is a thing as a form names it; what the register does not know, such
// as a room of another owner, is not found.
type named struct {
	s      *Service
	kind   PlaceKind // "" = an item
	text   string    // id, TypeID or code
	want   Want
	items  []Item
	places []Place
}

// read takes what the form's value says; false where it names nothing.
func (n *named) read(v any) bool {
	n.want.Quantity = 1
	if m, is := v.(map[string]any); is {
		for _, k := range []string{"quantity", "qty", "count"} {
			if c, is := integer(m[k]); is {
				n.want.Quantity = c
			}
		}
		v = first(m, "item", "asset", "room", "board", "place", "code")
	}
	n.text, _ = v.(string)
	return n.text != "" && n.want.Quantity >= 1
}

func (n *named) ask(r *store.Reads) {
	if n.kind == "" {
		r.Add(&n.items, n.row((*Item)(nil)))
	} else {
		r.Add(&n.places, n.row((*Place)(nil)))
	}
}

func (n *named) row(model any) *bun.SelectQuery {
	q := byName(n.s.db.R.NewSelect().Model(model), n.text)
	if n.kind == "" {
		return q.Where("kind = ?", Equipment)
	}
	return q.Where("kind = ?", n.kind)
}

// found is what is wanted, once the reads have run.
func (n *named) found() (Want, bool) {
	w := n.want
	switch {
	case len(n.items) > 0:
		w.Item, w.Name, w.Unit = n.items[0].ID, n.items[0].NameZh, n.items[0].Unit
	case len(n.places) > 0:
		w.Place, w.Name, w.Unit, w.Quantity = n.places[0].ID, n.places[0].NameZh, n.places[0].Unit, 1
	default:
		return w, false
	}
	return w, true
}

// askFree is the service's askFree for a thing that is being looked up.
func (n *named) askFree(r *store.Reads, except []id.ID) func(Want, ...Reservation) (bool, Taken) {
	if n.kind == "" {
		return n.s.askFree(r, "item", n.row((*Item)(nil)).Column("id"), n.want, except)
	}
	return n.s.askFree(r, "place", n.row((*Place)(nil)).Column("id"), n.want, except)
}

// byName selects by id, TypeID or code.
func byName(q *bun.SelectQuery, text string) *bun.SelectQuery {
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
