package property_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/request"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"

	"pgregory.net/rapid"
)

func activity(room, from, to string) map[string]any {
	return map[string]any{"room": room, "from": from, "to": to}
}

func TestARequestHoldsItsRoomUntilItIsDecided(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		room := w.place("A101", property.Room)
		one := w.submit(activity("A101", "2026-10-20T14:00:00+08:00", "2026-10-20T16:00:00+08:00"))
		if b := w.busy(room); len(b) != 1 || b[0].State != property.Held || !b[0].From.Equal(time.Date(2026, 10, 20, 6, 0, 0, 0, time.UTC)) || !b[0].Owner.IsZero() {
			t.Fatalf("%+v", b)
		}
		// A form that overlaps by a minute learns it before it is submitted, one
		// that begins at the end is free; the request itself is not in its own way.
		for _, c := range []struct {
			from, to string
			request  id.ID
			free     bool
		}{
			{"2026-10-20T15:59:00+08:00", "2026-10-20T18:00:00+08:00", id.Nil, false},
			{"2026-10-20T16:00:00+08:00", "2026-10-20T18:00:00+08:00", id.Nil, true},
			{"2026-10-20T13:00:00+08:00", "2026-10-20T14:00:00+08:00", id.Nil, true},
			{"2026-10-20T13:00:00+08:00", "2026-10-20T17:00:00+08:00", id.Nil, false},
			{"2026-10-20T13:00:00+08:00", "2026-10-20T17:00:00+08:00", one, true},
		} {
			got, err := w.fact(property.FactRoomFree, activity("A101", c.from, c.to), c.request)
			if err != nil || got != c.free {
				t.Fatalf("%+v: %v %v", c, got, err)
			}
		}
		// A second request for the same time holds nothing and its people are told.
		two := w.submit(activity("A101", "2026-10-20T15:00:00+08:00", "2026-10-20T17:00:00+08:00"))
		if b := w.busy(room); len(b) != 1 || w.toldAbout("reservation.clash") == 0 {
			t.Fatalf("%+v, told %+v", b, w.told)
		}
		w.status(one, "APPROVED", property.EffectReserve)
		if b := w.busy(room); len(b) != 1 || b[0].State != property.Reserved {
			t.Fatalf("%+v", b)
		}
		// A training names another effect; its room is certain all the same.
		hall := w.place("H1", property.Room)
		three := w.submit(map[string]any{"room": "H1", "sessions": []any{map[string]any{"start": "2026-10-21T19:00:00+08:00", "end": "2026-10-21T21:00:00+08:00"},
			map[string]any{"start": "2026-10-22T19:00:00+08:00", "end": "2026-10-22T21:00:00+08:00"}}})
		w.status(three, "APPROVED", "training.schedule")
		if b := w.busy(hall); len(b) != 2 || b[0].State != property.Reserved || b[1].State != property.Reserved {
			t.Fatalf("%+v", b)
		}
		before := w.toldAbout("reservation.clash")
		w.status(two, "APPROVED", property.EffectReserve)
		if b := w.busy(room); len(b) != 1 || b[0].Request != one || w.toldAbout("reservation.clash") == before {
			t.Fatalf("%+v", b)
		}
		w.status(one, "STOPPED")
		if b := w.busy(room); len(b) != 0 {
			t.Fatalf("%+v", b)
		}
	})
}

// A moved time overlaps the old one: the old one stays until the change is
// approved, then the new one takes its place.
func TestAnAmendmentTakesThePlaceOfWhatItAmends(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		room := w.place("A101", property.Room)
		base := w.submit(activity("A101", "2026-10-20T14:00:00+08:00", "2026-10-20T16:00:00+08:00"))
		w.status(base, "APPROVED", property.EffectReserve)
		moved := activity("A101", "2026-10-20T15:00:00+08:00", "2026-10-20T17:00:00+08:00")
		if free, err := w.fact(property.FactRoomFree, moved, base); err != nil || free != true {
			t.Fatalf("the room is taken by what is amended: %v %v", free, err)
		}
		change := id.New()
		w.requests[change] = &asked{moved, request.Meta{Title: "开放日", Requester: id.New(), Amends: base}}
		w.status(change, "OPEN")
		if b := w.busy(room); len(b) != 1 || b[0].Request != base || w.toldAbout("reservation.clash") != 0 {
			t.Fatalf("%+v", b)
		}
		w.status(change, "APPROVED", property.EffectReserve)
		w.status(base, "SUPERSEDED")
		if b := w.busy(room); len(b) != 1 || b[0].Request != change || b[0].State != property.Reserved || b[0].Until.UTC().Hour() != 9 {
			t.Fatalf("%+v", b)
		}
	})
}

func TestResubmittedAndRefusedRequestsGiveBackWhatTheyHeld(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		room, board := w.place("A101", property.Room), w.place("B1", property.Board)
		mikes := w.item("mike", property.Equipment, 5)
		form := map[string]any{"room": "A101", "board_slot": map[string]any{"board": "B1", "from": "2026-10-13", "to": "2026-10-20"},
			"equipment": []any{map[string]any{"item": "mike", "qty": float64(3)}}, "when": map[string]any{"from": "2026-10-20 14:00", "to": "2026-10-20 16:00"}}
		one := w.submit(form)
		first := w.busy(room)
		slot := w.busy(board)
		if len(first) != 1 || len(slot) != 1 || w.busy(mikes)[0].Quantity != 3 {
			t.Fatalf("%+v", first)
		}
		if !slot[0].From.Equal(time.Date(2026, 10, 12, 16, 0, 0, 0, time.UTC)) || !slot[0].Until.Equal(time.Date(2026, 10, 20, 16, 0, 0, 0, time.UTC)) {
			t.Fatalf("the board has days of its own: %+v", slot)
		}
		w.status(one, "RETURNED")
		if len(w.busy(room)) != 1 {
			t.Fatal("a request that was sent back lost its room")
		}
		// The event again, late or doubled, changes nothing.
		w.status(one, "OPEN")
		if again := w.busy(room); len(again) != 1 || again[0].ID != first[0].ID {
			t.Fatalf("%+v", again)
		}
		w.requests[one].form["when"] = map[string]any{"from": "2026-10-21", "to": "2026-10-22"}
		delete(w.requests[one].form, "equipment")
		w.status(one, "OPEN")
		b := w.busy(room)
		if len(b) != 1 || !b[0].From.Equal(time.Date(2026, 10, 20, 16, 0, 0, 0, time.UTC)) || !b[0].Until.Equal(time.Date(2026, 10, 22, 16, 0, 0, 0, time.UTC)) || len(w.busy(mikes)) != 0 {
			t.Fatalf("dates are whole local days, the last included: %+v", b)
		}
		w.requests[one].meta.Status = "REJECTED"
		w.event("workflow.rejected", map[string]any{"request": one})
		w.handlers.Drain(t, db, w.clock)
		if len(w.busy(room))+len(w.busy(board)) != 0 {
			t.Fatal("a rejected request keeps its places")
		}
	})
}

func TestTheSchemaRefusesOverlaps(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		room, mikes := w.place("A101", property.Room), w.item("mike", property.Equipment, 5)
		at := func(h int) time.Time { return testkit.Start.Add(time.Duration(h) * time.Hour) }
		put := func(place, item id.ID, n int64, from, until int, state string) error {
			_, err := store.InTx(bg, db, store.Internal("raw"), func(ctx context.Context, tx *store.Tx) (int, error) {
				var released any
				if state == "RELEASED" {
					released = at(0)
				}
				_, err := tx.NewRaw(`INSERT INTO reservation (id, place, item, quantity, from_at, until_at, state, owner, created_at, released_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
					id.New(), place, item, n, at(from), at(until), state, id.New(), at(0), released).Exec(ctx)
				return 0, err
			})
			return err
		}
		for i, c := range []struct {
			place, item id.ID
			n           int64
			from, until int
			state       string
			ok          bool
		}{
			{room, id.Nil, 1, 2, 4, "HELD", true},
			{room, id.Nil, 1, 3, 5, "RESERVED", false},
			{room, id.Nil, 1, 1, 5, "HELD", false},
			{room, id.Nil, 1, 3, 5, "RELEASED", true},
			{room, id.Nil, 1, 4, 5, "RESERVED", true},
			{room, id.Nil, 1, 1, 2, "HELD", true},
			{room, id.Nil, 1, 8, 8, "HELD", false},
			{room, mikes, 1, 9, 10, "HELD", false},
			{id.Nil, id.Nil, 1, 9, 10, "HELD", false},
			{id.Nil, mikes, 3, 2, 6, "HELD", true},
			{id.Nil, mikes, 2, 4, 8, "HELD", true},
			{id.Nil, mikes, 1, 1, 5, "HELD", false},
			{id.Nil, mikes, 1, 3, 4, "HELD", true},
			{id.Nil, mikes, 3, 6, 9, "HELD", true},
			{id.Nil, mikes, 1, 7, 8, "HELD", false},
		} {
			if err := put(c.place, c.item, c.n, c.from, c.until, c.state); (err == nil) != c.ok || err != nil && !store.IsConstraint(err) {
				t.Fatalf("row %d %+v: %v", i, c, err)
			}
		}
		// What was released cannot come back over somebody else.
		_, err := store.InTx(bg, db, store.Internal("raw"), func(ctx context.Context, tx *store.Tx) (int, error) {
			_, err := tx.NewRaw(`UPDATE reservation SET state = 'HELD', released_at = NULL WHERE state = 'RELEASED'`).Exec(ctx)
			return 0, err
		})
		if !store.IsConstraint(err) {
			t.Fatalf("%v", err)
		}
	})
}

func TestOneOfManyGetsTheRoom(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		room := w.place("A101", property.Room)
		var wg sync.WaitGroup
		var mu sync.Mutex
		got, taken := 0, 0
		for i := range 24 {
			wg.Go(func() {
				from := testkit.Start.Add(time.Duration(i%3) * 10 * time.Minute)
				_, err := w.svc.Reserve(bg, w.keeper, property.ReserveInput{Place: room, From: from, Until: from.Add(time.Hour)})
				mu.Lock()
				defer mu.Unlock()
				switch e := (*fault.Error)(nil); {
				case err == nil:
					got++
				case errors.As(err, &e) && e.Reason == "TAKEN" && e.Detail.(property.Taken).Name == "A101":
					taken++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got != 1 || taken != 23 {
			t.Fatalf("%d got it, %d were told that it is taken", got, taken)
		}
	})
}

// Three until six and three from six on are never six at once.
func TestItemsAreCountedByTheMoment(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		mikes := w.item("mike", property.Equipment, 5)
		lend := func(n int64, from, until int) error {
			_, err := w.svc.Reserve(bg, w.keeper, property.ReserveInput{Item: mikes, Quantity: n,
				From: testkit.Start.Add(time.Duration(from) * time.Hour), Until: testkit.Start.Add(time.Duration(until) * time.Hour)})
			return err
		}
		for _, c := range []struct {
			n           int64
			from, until int
			free        bool
		}{{3, 2, 6, true}, {3, 6, 9, true}, {3, 5, 7, false}, {2, 2, 9, true}, {1, 8, 12, false}, {5, 9, 12, true}} {
			if err := lend(c.n, c.from, c.until); (err == nil) != c.free || err != nil && !fault.IsRule(err, "TAKEN") {
				t.Fatalf("%+v: %v", c, err)
			}
		}
	})
}

func TestOnlyTheKeeperReservesByHand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		room := w.place("A101", property.Room)
		in := property.ReserveInput{Place: room, From: testkit.Start, Until: testkit.Start.Add(time.Hour), IdempotencyKey: "k"}
		if _, err := w.svc.Reserve(bg, org.Actor{Person: mk.Officer(t, db, "陆远", "supervision.member")}, in); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
		one, err := w.svc.Reserve(bg, w.keeper, in)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.svc.Reserve(bg, w.keeper, in); err != nil || again != one {
			t.Fatal(again, err)
		}
		in.IdempotencyKey, in.Place = "k2", id.New()
		if _, err := w.svc.Reserve(bg, w.keeper, in); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		if err := w.svc.GiveBack(bg, w.keeper, property.GiveBackInput{Reservation: one, IdempotencyKey: "g"}); err != nil || len(w.busy(room)) != 0 {
			t.Fatal(err)
		}
	})
}

// Whatever is reserved and given back in whatever order: at no minute is a room
// taken twice or more of an item lent than there is, and nothing is refused
// that would have fitted.
func TestReservationsAgainstAPlainModel(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			tag := string(rune('a'+n%26)) + id.New().String()
			room := w.place("R"+tag, property.Room)
			item := w.item("I"+tag, property.Equipment, 3)
			taken := map[id.ID][24]int64{}
			type kept struct {
				thing       id.ID
				n           int64
				from, until int
			}
			live := map[id.ID]kept{}
			var order []id.ID
			for range rapid.IntRange(1, 14).Draw(rt, "steps") {
				if len(order) > 0 && rapid.IntRange(0, 3).Draw(rt, "give back") == 0 {
					i := rapid.IntRange(0, len(order)-1).Draw(rt, "which")
					k := live[order[i]]
					if err := w.svc.GiveBack(bg, w.keeper, property.GiveBackInput{Reservation: order[i]}); err != nil {
						rt.Fatal(err)
					}
					hours := taken[k.thing]
					for h := k.from; h < k.until; h++ {
						hours[h] -= k.n
					}
					taken[k.thing] = hours
					order = append(order[:i], order[i+1:]...)
					continue
				}
				k := kept{room, 1, rapid.IntRange(0, 22).Draw(rt, "from"), 0}
				k.until = rapid.IntRange(k.from+1, 23).Draw(rt, "until")
				in := property.ReserveInput{Place: room, From: testkit.Start.Add(time.Duration(k.from) * time.Hour), Until: testkit.Start.Add(time.Duration(k.until) * time.Hour)}
				most := int64(1)
				if rapid.Bool().Draw(rt, "item") {
					k.thing, k.n, most = item, rapid.Int64Range(1, 4).Draw(rt, "quantity"), 3
					in.Place, in.Item, in.Quantity = id.Nil, item, k.n
				}
				hours, fits := taken[k.thing], true
				for h := k.from; h < k.until; h++ {
					hours[h] += k.n
					fits = fits && hours[h] <= most
				}
				one, err := w.svc.Reserve(bg, w.keeper, in)
				if (err == nil) != fits || err != nil && !fault.IsRule(err, "TAKEN") {
					rt.Fatalf("%+v fits %v, got %v", k, fits, err)
				}
				if fits {
					taken[k.thing] = hours
					live[one] = k
					order = append(order, one)
				}
			}
		})
	})
}
