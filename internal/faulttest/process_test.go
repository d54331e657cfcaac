//go:build fault && linux

package faulttest_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

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
	w.struck(false)
	w.mu.Lock()
	w.killed++
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
