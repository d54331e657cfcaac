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
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
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
	hits    int // letters that a fault caught between send and record
	errs    []string
	pending sync.WaitGroup // recoveries that are being measured
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
	w := &world{t: t, dir: t.TempDir(), env: map[string]string{}, fig: &figures{name: t.Name()}, began: time.Now().UTC(), client: &http.Client{Timeout: 15 * time.Second}}
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
	var err error
	if w.sink, err = mailsink.Start(mailsink.Options{Dir: filepath.Join(w.dir, "mail"), Rcpt: s.rcpt}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sink.Close() })
	w.env["KELIAN_MAIL_HOST"], w.env["KELIAN_MAIL_PORT"] = w.sink.Host(), fmt.Sprint(w.sink.Port())
	if w.db, err = store.Open(context.Background(), store.Options{URL: w.env["KELIAN_DATABASE_URL"], Key: testkit.Key, Pool: 3}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	t.Cleanup(w.end)
	w.listenAsDevices()
	return w
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

// process is one kelian.
type process struct {
	w          *world
	roles      string
	api, admin string
	dir        string
	log        *os.File
	cmd        *exec.Cmd
	gone       chan struct{} // closed when the present one has ended
	again      bool          // start another when it was killed
	ending     bool          // it is told to stop
}

// start runs kelian with the roles; killAt is the point at which it dies, ""
// = nowhere. When it was killed another takes its place, without the point.
func (w *world) start(roles, killAt string, again bool) *process {
	w.t.Helper()
	n := len(w.procs)
	p := &process{w: w, roles: roles, api: freeAddress(), admin: freeAddress(), dir: filepath.Join(w.dir, fmt.Sprint("process", n)), again: again}
	if strings.HasPrefix(w.env["KELIAN_DATABASE_URL"], "sqlite") {
		p.dir = filepath.Join(w.dir, "data")
	}
	var err error
	if p.log, err = os.Create(filepath.Join(w.dir, fmt.Sprint("process", n, ".log"))); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.procs = append(w.procs, p)
	w.mu.Unlock()
	if err := p.run(killAt); err != nil {
		w.t.Fatal(err)
	}
	if err := poll("the process is ready", under.wait, p.ready); err != nil {
		w.t.Fatalf("%v\n%s", err, p.tail())
	}
	return p
}

func (p *process) run(killAt string) error {
	w := p.w
	env := map[string]string{"KELIAN_DATA_DIR": p.dir, "KELIAN_LISTEN": p.api, "KELIAN_ADMIN_LISTEN": p.admin, "KELIAN_PUBLIC_URL": "http://" + p.api}
	for k, v := range w.env {
		env[k] = v
	}
	if killAt != "" {
		env["KELIAN_KILL_AT"] = killAt
	}
	env["KELIAN_FAULT_CUT"] = w.expect.cutNow()
	cmd := exec.Command(binary, "serve", "--roles", p.roles)
	cmd.Env = settings(env)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &orphan
	gone := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.ending {
		return nil
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.gone = cmd, gone
	go func() {
		_ = cmd.Wait()
		p.ended(cmd)
		close(gone)
	}()
	return nil
}

// ended books a process that was killed and puts another in its place.
func (p *process) ended(cmd *exec.Cmd) {
	w := p.w
	w.mu.Lock()
	ending := p.ending
	w.mu.Unlock()
	if ending {
		return
	}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !st.Signaled() || st.Signal() != syscall.SIGKILL {
		// One that finds no database at its start ends, and is started again by
		// whoever supervises it.
		if p.again && strings.HasPrefix(p.lastLine(), "kelian: open database: UNAVAILABLE") {
			if err := p.run(""); err != nil {
				w.wrong("start again: %v", err)
			}
			return
		}
		w.wrong("a process ended by itself: %v\n%s", cmd.ProcessState, p.tail())
		return
	}
	hits := w.betweenSendAndRecord()
	w.mu.Lock()
	w.killed++
	w.hits += hits
	w.mu.Unlock()
	w.fig.fault()
	if !p.again {
		return
	}
	if err := p.run(""); err != nil {
		w.wrong("start again: %v", err)
		return
	}
	w.recovering("kill -9")
}

func (p *process) ready() bool {
	at := p.admin
	if strings.Contains(p.roles, "api") {
		at = p.api // opened last
	}
	res, err := p.w.client.Get("http://" + at + "/readyz")
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (p *process) signal(s syscall.Signal) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.cmd.Process.Signal(s)
}

// wait is until the present process has ended.
func (p *process) wait() error {
	p.w.mu.Lock()
	gone := p.gone
	p.w.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-time.After(under.wait):
		return fmt.Errorf("the process did not end\n%s", p.tail())
	}
}

func (p *process) tail() string {
	raw, _ := os.ReadFile(p.log.Name())
	if len(raw) > 6000 {
		raw = raw[len(raw)-6000:]
	}
	return string(raw)
}

func (p *process) lastLine() string {
	lines := strings.Split(strings.TrimSpace(p.tail()), "\n")
	return lines[len(lines)-1]
}

// end kills what still runs.
func (w *world) end() {
	w.mu.Lock()
	procs := w.procs
	for _, p := range procs {
		p.ending = true
	}
	w.mu.Unlock()
	for _, p := range procs {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(syscall.SIGCONT)
			_ = p.cmd.Process.Kill()
			<-p.gone
		}
		if w.t.Failed() {
			w.t.Logf("log of %s (%s):\n%s", p.roles, p.log.Name(), p.tail())
		}
		_ = p.log.Close()
	}
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

// betweenSendAndRecord counts the letters that were received and are not
// booked as sent.
func (w *world) betweenSendAndRecord() (n int) {
	var rows []id.ID
	err := poll("the deliveries are read", under.wait, func() bool {
		rows = nil
		return ignoreNone(w.db.R.NewRaw(`SELECT id FROM delivery WHERE channel = 'email' AND state = 'sending'`).Scan(context.Background(), &rows)) == nil
	})
	if err != nil {
		w.wrong("%v", err)
	}
	for _, r := range rows {
		if w.copies(r) > 0 {
			n++
		}
	}
	return n
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
// is done and the service answers.
func (w *world) recovering(what string) {
	began := time.Now()
	var due, half []id.ID
	w.pending.Go(func() {
		seen := false
		err := poll("work resumes after "+what, under.recover, func() bool {
			if !seen {
				due = nil
				err := w.db.R.NewRaw(`SELECT id FROM outbox WHERE state = 'sent' OR state = 'pending' AND due_at <= ?`, began.UTC()).Scan(context.Background(), &due)
				half = nil
				if err = ignoreNone(err); err == nil {
					err = ignoreNone(w.db.R.NewRaw(`SELECT id FROM delivery WHERE state = 'sending'`).Scan(context.Background(), &half))
				}
				if seen = err == nil; !seen {
					return false
				}
			}
			return w.answers() && w.over("outbox", due, "pending", "sent") && w.over("delivery", half, "sending")
		})
		w.fig.recovered(time.Since(began))
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

// drain waits until nothing is due, under way or half sent.
func (w *world) drain() error {
	return poll("the outbox is empty", under.wait, func() bool {
		var n, sending int
		err := w.db.R.NewRaw(`SELECT count(*) FROM outbox WHERE state = 'sent' OR state = 'pending' AND due_at <= ?`, time.Now().UTC()).Scan(context.Background(), &n)
		if err == nil {
			err = w.db.R.NewRaw(`SELECT count(*) FROM delivery WHERE state = 'sending'`).Scan(context.Background(), &sending)
		}
		return err == nil && n == 0 && sending == 0
	})
}
