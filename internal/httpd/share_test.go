package httpd_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kelian/internal/httpd"
)

// desk is a server whose requests run until they are let go, one by one.
type desk struct {
	h       http.Handler
	release chan struct{}
	end     func() // lets all go

	mu     sync.Mutex
	order  []string               // who got a slot, in order
	status map[string]map[int]int // answers by who and status
}

// newDesk knows the accounts account1 to account3.
func newDesk(t *testing.T) *desk {
	d := &desk{release: make(chan struct{}), status: map[string]map[int]int{}}
	d.h = serve(t, httpd.Options{}, func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("kelian"); err == nil {
			httpd.Vouch(r.Context())
		}
		if r.URL.Path == "/sign-in" {
			return
		}
		d.mu.Lock()
		d.order = append(d.order, r.Header.Get("X-Who"))
		d.mu.Unlock()
		<-d.release
		ok(w, r)
	})
	d.end = sync.OnceFunc(func() { close(d.release); synctest.Wait() })
	t.Cleanup(d.end)
	for _, account := range []string{"account1", "account2", "account3"} {
		do(d.h, request("GET", "/sign-in", header{"Cookie": "kelian=" + account}))
	}
	return d
}

// send has somebody ask n times at once and waits until each runs, waits or
// was refused.
func (d *desk) send(who, addr, account string, n int) {
	h := header{"X-Who": who}
	if account != "" {
		h["Cookie"] = "kelian=" + account
	}
	for range n {
		go func() {
			w := do(d.h, from(addr, h))
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.status[who] == nil {
				d.status[who] = map[int]int{}
			}
			d.status[who][w.Code]++
		}()
	}
	synctest.Wait()
}

// let ends n requests, whichever come first, and says who ran after them.
func (d *desk) let(n int) []string {
	d.mu.Lock()
	seen := len(d.order)
	d.mu.Unlock()
	for range n {
		d.release <- struct{}{}
		synctest.Wait()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.order[seen:]
}

func (d *desk) refused(who string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status[who][http.StatusServiceUnavailable]
}

func count(list []string, who string) (n int) {
	for _, w := range list {
		if w == who {
			n++
		}
	}
	return n
}

func TestOneClientHoldsAQuarterAtMost(t *testing.T) {
	for name, c := range map[string]struct{ addr, account string }{
		"an address outside":   {"203.0.113.9", ""},
		"an account outside":   {"203.0.113.9", "account1"},
		"an account on campus": {"10.1.2.3", "account1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				d.send("attacker", c.addr, c.account, 32)
				if n := d.refused("attacker"); n != 0 {
					t.Fatalf("%d refused within a quarter of 64 slots and 64 places", n)
				}
				d.send("attacker", c.addr, c.account, 1)
				if n := d.refused("attacker"); n != 1 {
					t.Fatalf("the 33rd is not refused: %d", n)
				}
				d.send("campus", "10.1.2.3", "", 32)
				if n := count(d.order, "campus"); n != 32 {
					t.Fatalf("of 32 others %d have a slot", n)
				}
				d.end()
				if d.status["attacker"][200] != 32 || d.status["campus"][200] != 32 {
					t.Fatalf("%v", d.status)
				}
			})
		})
	}
}

func TestACrowdFillsWhatNobodyElseWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.send("campus", "10.1.2.3", "", 128)
		if n := d.refused("campus"); n != 0 || len(d.order) != 64 {
			t.Fatalf("a campus alone: %d refused, %d running", n, len(d.order))
		}
		// Somebody signed in comes into the full queue and is next.
		d.send("student", "10.1.2.3", "account1", 1)
		if got := d.refused("campus"); got != 1 || d.refused("student") != 0 {
			t.Fatalf("the longest queue was not shortened: %v", d.status)
		}
		if got := d.let(1); len(got) != 1 || got[0] != "student" {
			t.Fatalf("the free slot went to %v", got)
		}
		d.end()
		if d.status["campus"][200] != 127 || d.status["student"][200] != 1 {
			t.Fatalf("%v", d.status)
		}
	})
}

func TestAnAttackerWaitsAndTheCampusGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.send("first", "10.1.2.3", "", 64)
		for _, account := range []string{"account1", "account2", "account3"} {
			d.send("attacker", "10.1.2.3", account, 40)
		}
		if d.refused("attacker") != 120-64 {
			t.Fatalf("three accounts fill the queue and no more: %v", d.status)
		}
		// An account may send a tenth of what the campus address may: 5 places
		// for each of the three beside 49 for the campus.
		d.send("campus", "10.1.2.3", "", 49)
		if n := d.refused("campus"); n != 0 {
			t.Fatalf("the attacker's queue was not shortened: %d of the campus refused", n)
		}
		d.send("campus", "10.1.2.3", "", 1)
		if n := d.refused("campus"); n != 1 {
			t.Fatalf("the campus pushes the attacker out altogether: %d refused", n)
		}
		d.end()
		if d.status["campus"][200] != 49 || d.status["attacker"][200] != 15 {
			t.Fatalf("%v", d.status)
		}
	})
}

func TestWhoGivesUpLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.send("campus", "10.1.2.3", "", 64)
		d.send("late", "10.1.2.3", "", 64)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := d.refused("late"); n != 64 {
			t.Fatalf("%d gave up after 2 s", n)
		}
		d.send("next", "203.0.113.9", "", 32)
		if got := d.let(1); len(got) != 1 || got[0] != "next" {
			t.Fatalf("the slot went to %v", got)
		}
		d.end()
	})
}
