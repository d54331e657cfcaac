package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kelian/internal/app"
	"kelian/internal/id"
)

// demoProcess is `kelian demo` as a newcomer runs it.
type demoProcess struct {
	t             *testing.T
	binary, dir   string
	listen, admin string
	cmd           *exec.Cmd
	out           *logBuffer
	accounts      map[string]app.DemoAccount
	names         map[string]string // kept by earlier calls
}

// TestTour does what docs/tour.md says, call by call, and holds each answer
// against what the reader is promised.
func TestTour(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "kelian")
	if out, err := exec.Command("go", "build", "-o", binary, "kelian/cmd/kelian").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	day := time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)
	d := &demoProcess{t: t, binary: binary, dir: t.TempDir(), listen: freePort(t), admin: freePort(t), accounts: map[string]app.DemoAccount{},
		names: map[string]string{"start": day + "T06:00:00Z", "end": day + "T10:00:00Z"}}
	d.start()
	t.Cleanup(func() { d.kill() })
	steps := app.Tour()
	if len(steps) != 12 {
		t.Fatalf("%d steps", len(steps))
	}
	for i, s := range steps {
		if i == 11 { // the twelfth is about losing the process
			d.t = t
			d.loseAndFindAgain()
		}
		if len(s.Calls) == 0 {
			t.Errorf("step %d has nothing to do", i+1)
		}
		if !t.Run(fmt.Sprintf("%d %s", i+1, s.Title.En), func(t *testing.T) {
			d.t = t
			for _, c := range s.Calls {
				d.call(c)
			}
		}) {
			t.FailNow()
		}
	}
}

// TestTourIsWritten holds docs/tour.md against its source.
func TestTourIsWritten(t *testing.T) {
	raw, err := os.ReadFile("../../docs/tour.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != app.TourMarkdown() {
		t.Error("docs/tour.md is not what its steps say: go generate ./internal/app")
	}
}

func (d *demoProcess) env() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "KELIAN_") {
			out = append(out, e)
		}
	}
	return append(out, "KELIAN_DATA_DIR="+d.dir, "KELIAN_LISTEN="+d.listen, "KELIAN_ADMIN_LISTEN="+d.admin)
}

func (d *demoProcess) start() {
	d.t.Helper()
	d.out = &logBuffer{}
	d.cmd = exec.Command(d.binary, "demo")
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = d.env(), d.out, d.out
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	began := time.Now()
	eventually(d.t, "the demo answers", func() bool {
		res, err := http.Get("http://" + d.listen + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	d.t.Logf("it answers after %v", time.Since(began).Round(time.Millisecond))
	for _, want := range []string{"http://" + d.listen + "/demo", "17 台设备", "17 devices", "KELIAN_DATA_DIR=" + d.dir + " kelian demo"} {
		if !strings.Contains(d.out.String(), want) {
			d.t.Errorf("the demo does not print %q:\n%s", want, d.out)
		}
	}
	if said := strings.TrimSpace(d.out.String()); !strings.HasSuffix(said, "kelian serve") {
		d.t.Errorf("the demo does not end with the command of the real thing:\n%s", said)
	}
	raw, err := os.ReadFile(filepath.Join(d.dir, "demo.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	var file struct{ Accounts []app.DemoAccount }
	if err := json.Unmarshal(raw, &file); err != nil {
		d.t.Fatal(err)
	}
	for _, a := range file.Accounts {
		d.accounts[a.Login] = a
	}
}

// kill ends the process as a power cut does.
func (d *demoProcess) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

// fill puts in what was kept.
func (d *demoProcess) fill(s string) string {
	return app.TourName.ReplaceAllStringFunc(s, func(m string) string {
		login, isPassword := strings.CutPrefix(strings.TrimSuffix(m, ")"), "$(password ")
		switch {
		case m == "$(key)":
			return id.Secret(22)
		case isPassword:
			return d.accounts[login].Password
		}
		v, ok := d.names[m[1:]]
		if !ok {
			d.t.Fatalf("nothing was kept as %s", m)
		}
		return v
	})
}

// call asks until the answer holds what is promised, within the time promised.
func (d *demoProcess) call(c app.TourCall) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), max(c.Within, time.Millisecond))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		answer := d.ask(c)
		problem := d.judge(c, answer)
		if problem == "" {
			return
		}
		if ctx.Err() != nil {
			d.t.Fatalf("%s\n%s\nanswered\n%.2000s", problem, c.Query+c.Page+c.Admin+c.Run, answer)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (d *demoProcess) ask(c app.TourCall) string {
	d.t.Helper()
	who := client{t: d.t, url: "http://" + d.listen, name: c.As}
	switch {
	case c.Admin != "":
		res, err := http.Post("http://"+d.admin+c.Admin, "", nil)
		if err != nil {
			d.t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			d.t.Fatalf("%s answers %d", c.Admin, res.StatusCode)
		}
		return ""
	case c.Run != "":
		cmd := exec.Command(d.binary, strings.Fields(c.Run)...)
		cmd.Env = d.env()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return err.Error() + "\n" + string(out)
		}
		return string(out)
	case c.Page != "":
		method, body := http.MethodGet, ""
		if c.Form != "" {
			method, body = http.MethodPost, d.fill(c.Form)
		}
		req, err := http.NewRequestWithContext(d.t.Context(), method, who.url+d.fill(c.Page), strings.NewReader(body))
		if err != nil {
			d.t.Fatal(err)
		}
		if c.Form != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", who.url)
		}
		status, page := who.browse(req)
		if status != http.StatusOK {
			d.t.Fatalf("%s answers %d: %s", c.Page, status, page)
		}
		return page
	}
	if strings.HasPrefix(c.As, "$") {
		who.token = d.fill(c.As)
	} else if c.As != "" {
		who.token = d.accounts[c.As].Token
	}
	var vars map[string]any
	if c.Vars != "" {
		if err := json.Unmarshal([]byte(d.fill(c.Vars)), &vars); err != nil {
			d.t.Fatalf("%v: %s", err, c.Vars)
		}
	}
	return string(who.send(c.Query, vars).raw)
}

// judge keeps what is to be kept and says what of the promise does not hold.
func (d *demoProcess) judge(c app.TourCall, answer string) string {
	for _, k := range c.Keep {
		var got []string
		if c.Page == "" {
			got = at(d.t, answer, d.fill(k.Path))
		} else {
			got = []string{regexp.MustCompile(k.Path).FindString(answer)}
		}
		if len(got) != 1 || got[0] == "" || got[0] == "null" {
			return fmt.Sprintf("%s is %q, and has to be one thing", k.Path, got)
		}
		d.names[k.Name] = got[0]
	}
	for _, s := range c.Shows {
		if s.Path == "" {
			if !strings.Contains(answer, s.Value) {
				return "nothing says " + s.Value
			}
			continue
		}
		got := at(d.t, answer, d.fill(s.Path))
		found := false
		for _, g := range got {
			found = found || g == s.Value
		}
		if !found {
			return fmt.Sprintf("%s is %q and not %q", s.Path, got, s.Value)
		}
	}
	return ""
}

var pathPart = regexp.MustCompile(`^\s*(?:\|\s*)?(?:\.([A-Za-z]+)|\[(\d*)\]|(length)|select\(((?:\.[A-Za-z]+)+) == "([^"]*)"\))`)

// at reads the values at a path, in the part of jq's language that the tour
// uses: names, places, every place, select by one equal, length.
func at(t *testing.T, answer, path string) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader([]byte(answer)))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		return nil
	}
	values := []any{root}
	for rest := path; strings.TrimSpace(rest) != ""; {
		m := pathPart.FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("the path %q is not understood from %q on", path, rest)
		}
		rest = rest[len(m[0]):]
		var next []any
		for _, v := range values {
			list, _ := v.([]any)
			switch {
			case m[1] != "":
				next = append(next, field(v, m[1]))
			case m[2] != "":
				if n, _ := strconv.Atoi(m[2]); n < len(list) {
					next = append(next, list[n])
				}
			case m[3] != "":
				next = append(next, len(list))
			case m[4] != "":
				in := v
				for _, name := range strings.Split(m[4][1:], ".") {
					in = field(in, name)
				}
				if fmt.Sprint(in) == m[5] {
					next = append(next, v)
				}
			default:
				next = append(next, list...)
			}
		}
		values = next
	}
	var out []string
	for _, v := range values {
		if v == nil {
			v = "null"
		}
		out = append(out, fmt.Sprint(v))
	}
	return out
}

func field(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}
