//go:build fault && linux

package faulttest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/notify"
	"kelian/notify/mailsink"

	"github.com/uptrace/bun"
)

// world is one scenario: a federation in a database of its own, its processes
// and the mailbox of everybody.
type world struct {
	t      *testing.T
	dir    string
	db     *store.DB
	env    map[string]string // of every process
	sink   *mailsink.Sink
	fig    *figures
	began  time.Time // what the seeds left is older
	expect expectations

	mu      sync.Mutex
	procs   []*process
	killed  int
	hits    int            // letters that a fault caught between send and record
	slow    map[id.ID]bool // letters whose sender got no answer in time
	errs    []string
	pending sync.WaitGroup // recoveries that are being measured
	latest  atomic.Int64   // the newest of them
	client  *http.Client
}

// shape says what a world is made of.
type shape struct {
	sqlite   bool
	postgres string // address of a database elsewhere; "" = a copy on the test server
	redis    string // "" = a database of the shared server; on SQLite inside the process
	env      map[string]string
	rcpt     func(string) string // the sink's answer to RCPT TO
}

func newWorld(t *testing.T, s shape) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), env: map[string]string{}, slow: map[id.ID]bool{}, fig: &figures{name: t.Name()}, began: time.Now().UTC(), client: &http.Client{Timeout: 15 * time.Second}}
	for k, v := range s.env {
		w.env[k] = v
	}
	switch {
	case s.sqlite:
		if err := os.CopyFS(w.dir+"/data", os.DirFS(seeded.sqlite)); err != nil {
			t.Fatal(err)
		}
		w.env["KELIAN_DATABASE_URL"] = "sqlite://" + filepath.Join(w.dir, "data", "kelian.db")
	case s.postgres != "":
		w.env["KELIAN_DATABASE_URL"] = s.postgres
	default:
		address, name, err := seeded.fresh()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)") })
		w.env["KELIAN_DATABASE_URL"] = address
	}
	if !s.sqlite {
		if w.env["KELIAN_REDIS_URL"] = s.redis; s.redis == "" {
			w.env["KELIAN_REDIS_URL"] = shared.url()
		}
	}
	mailbox, err := os.MkdirTemp(memory(), "kelian-fault-mail-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(mailbox) })
	if w.sink, err = mailsink.Start(mailsink.Options{Dir: mailbox, Rcpt: s.rcpt}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sink.Close() })
	w.env["KELIAN_MAIL_HOST"], w.env["KELIAN_MAIL_PORT"] = w.sink.Host(), fmt.Sprint(w.sink.Port())
	if w.db, err = store.Open(context.Background(), store.Options{URL: w.env["KELIAN_DATABASE_URL"], Key: testkit.Key, Pool: 3}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	looking := make(chan struct{})
	go func() { defer close(looking); w.watch(ctx) }()
	t.Cleanup(func() { cancel(); <-looking })
	t.Cleanup(w.end)
	w.listenAsDevices()
	return w
}

// memory is where a mail server can sync a letter at once, however busy the
// disk is; "" = the usual place.
func memory() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// listenAsDevices lets the devices answer on a port where the machine may not
// ping them.
func (w *world) listenAsDevices() {
	if seeded.pings {
		return
	}
	devices.Do(func() {
		for _, addr := range slices.Concat([]netip.Addr{coreSwitch}, quietSide, cutSide) {
			ln, err := net.Listen("tcp", netip.AddrPortFrom(addr, devicePort).String())
			if err != nil {
				w.t.Error(err)
				continue
			}
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					_ = c.Close()
				}
			}()
		}
	})
}

var devices sync.Once

// wrong notes what the scenario must not show; it may come from any goroutine.
func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, fmt.Sprintf(format, args...))
}

// cut and restore change the network that the monitors see.
func (w *world) cut(addrs []netip.Addr)     { w.network("cut", addrs) }
func (w *world) restore(addrs []netip.Addr) { w.network("restore", addrs) }

func (w *world) network(what string, addrs []netip.Addr) {
	w.expect.cutting(what == "cut", addrs)
	var list []string
	for _, a := range addrs {
		list = append(list, `"`+a.String()+`"`)
	}
	body := []byte("[" + strings.Join(list, ",") + "]")
	for _, p := range w.procs {
		if !strings.Contains(p.roles, "monitor") {
			continue
		}
		err := poll("the network is "+what, under.wait, func() bool {
			res, err := w.client.Post("http://"+p.admin+"/network/"+what, "application/json", bytes.NewReader(body))
			if err != nil {
				return false // it has just been killed; the next one is told again
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusNoContent
		})
		if err != nil {
			w.wrong("%v", err)
		}
	}
}

// sending are the letters under way; ok is false while the database is away.
func (w *world) sending() (rows []id.ID, ok bool) {
	err := w.db.R.NewRaw(`SELECT id FROM delivery WHERE channel = 'email' AND state = 'sending'`).Scan(context.Background(), &rows)
	return rows, ignoreNone(err) == nil
}

// struck counts the letters that a fault has caught between send and record:
// those that were received and are not booked as sent. Where their senders
// live on, one that is still on its way counts too.
func (w *world) struck(alive bool) {
	var rows []id.ID
	err := poll("the deliveries are read", under.wait, func() (ok bool) { rows, ok = w.sending(); return ok })
	if err != nil {
		w.wrong("%v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range rows {
		if alive || w.copies(r) > 0 {
			w.hits++
		}
	}
}

// copies is how often a delivery's letter was received.
func (w *world) copies(delivery id.ID) int {
	return w.sink.Copies(delivery.TypeID("dlv") + "@127.0.0.1")
}

func ignoreNone(err error) error {
	if store.NoRows(err) {
		return nil
	}
	return err
}

// recovering measures from now until everything that was due or half sent now
// is done and the service answers. A fault that hits before then takes the
// measurement over: what the first one left is part of what it has to recover.
func (w *world) recovering(what string) {
	began := time.Now()
	var due, half []id.ID
	mine := w.latest.Add(1)
	w.pending.Go(func() {
		seen := false
		err := poll("work resumes after "+what, under.recover, func() bool {
			if w.latest.Load() != mine {
				return true
			}
			if !seen {
				if due, seen = w.due(began.UTC()); seen {
					half, seen = w.sending()
				}
				if !seen {
					return false
				}
			}
			return w.answers() && (!w.works() || w.over("outbox", due, "pending", "sent") && w.over("delivery", half, "sending"))
		})
		if w.latest.Load() == mine {
			w.fig.recovered(time.Since(began))
		}
		if err != nil {
			w.wrong("%v: %s", err, w.left(due))
		}
	})
}

// over says that none of the rows is in one of the states any more.
func (w *world) over(table string, rows []id.ID, states ...string) bool {
	if len(rows) == 0 {
		return true
	}
	var n int
	err := w.db.R.NewSelect().Table(table).ColumnExpr("count(*)").Where("id IN (?)", bun.List(rows)).Where("state IN (?)", bun.List(states)).Scan(context.Background(), &n)
	return err == nil && n == 0
}

// works says that a process does background work.
func (w *world) works() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.procs, func(p *process) bool { return strings.Contains(p.roles, "worker") })
}

func (w *world) answers() bool {
	w.mu.Lock()
	procs := w.procs
	w.mu.Unlock()
	for _, p := range procs {
		if strings.Contains(p.roles, "api") && !p.ready() {
			return false
		}
	}
	return true
}

// left names rows that are not done, for a failure.
func (w *world) left(rows []id.ID) string {
	var out []struct {
		Topic, Consumer, State string
		Attempt, Failures      int
		Error                  *string
	}
	q := w.db.R.NewSelect().Table("outbox").Column("topic", "consumer", "state", "attempt", "failures", "error").Where("state IN ('pending', 'sent')")
	if len(rows) > 0 {
		q = q.Where("id IN (?)", bun.List(rows))
	}
	_ = q.Scan(context.Background(), &out)
	return fmt.Sprintf("%+v", out)
}

// settle waits until everything that is due now is done; more may have come.
func (w *world) settle() error {
	began := time.Now().UTC()
	var due []id.ID
	seen := false
	err := poll("what is due is done", under.wait, func() bool {
		if !seen {
			due, seen = w.due(began)
		}
		return seen && w.over("outbox", due, "pending", "sent")
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, w.left(due))
	}
	return nil
}

// due are the rows that are under way or due at the time; ok is false while
// the database is away.
func (w *world) due(at time.Time) (rows []id.ID, ok bool) {
	err := w.db.R.NewRaw(`SELECT id FROM outbox WHERE state = 'sent' OR state = 'pending' AND due_at <= ?`, at).Scan(context.Background(), &rows)
	return rows, ignoreNone(err) == nil
}

// drain waits until nothing is due, under way or half sent; with letters,
// until those are sent that a mail server took too long for.
func (w *world) drain(letters bool) error {
	half := []string{"sending"}
	if letters {
		half = append(half, "waiting")
	}
	return poll("the outbox is empty", under.wait, func() bool {
		rows, ok := w.due(time.Now().UTC())
		if !ok || len(rows) > 0 {
			return false
		}
		n, err := w.db.R.NewSelect().Table("delivery").Where("channel = 'email'").Where("state IN (?)", bun.List(half)).Count(context.Background())
		return err == nil && n == 0
	})
}

// watch notes the letters whose sender got no answer in time: on a machine
// that is too busy for the short limits, that too is between send and record.
func (w *world) watch(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *world) look() {
	var rows []id.ID
	if w.db.R.NewRaw(`SELECT id FROM delivery WHERE state = 'waiting' AND reason = ?`, notify.Uncertain).Scan(context.Background(), &rows) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range rows {
		w.slow[r] = true
	}
}
