package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"kelian/auth"
	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/netmon/probe"
	"kelian/netmon/probe/faulty"
	"kelian/notify/mailsink"
	"kelian/org"
	"kelian/web"
)

// demo is the federation that `kelian demo` runs: the real service on
// invented people and a network on loopback that can be cut.
type demo struct {
	a        *App
	net      *faulty.Network
	sink     *mailsink.Sink
	accounts []demoAccount
	cut      atomic.Bool
	touched  atomic.Int64 // when somebody last used /demo, in Unix seconds
}

// The schedule of outages, while nobody uses /demo.
const (
	outageEvery = 5 * time.Minute
	outageFor   = 90 * time.Second
	pauseAfter  = 3 * time.Minute
)

// demoParams make a demo's passwords cheap to check: they are printed anyway.
var demoParams = auth.Params{Memory: 1024, Time: 1, Threads: 1}

// RunDemo seeds a demo in a fresh directory, or goes on with the one in the
// data directory, and serves it until ctx ends.
func RunDemo(ctx context.Context, flags config.Flags, open bool, out io.Writer) error {
	dir := flags.DataDir
	if v, ok := os.LookupEnv("KELIAN_DATA_DIR"); dir == "" && ok {
		dir = v
	}
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "kelian-demo-*"); err != nil {
			return err
		}
	}
	release, err := holdLock(dir)
	if err != nil {
		return err
	}
	defer release()
	sink, err := mailsink.Start(mailsink.Options{Dir: filepath.Join(dir, "mail")})
	if err != nil {
		return err
	}
	defer func() { _ = sink.Close() }()
	c, err := demoConfig(flags, dir, sink, open)
	if err != nil {
		return err
	}
	d := &demo{net: new(faulty.Network), sink: sink}
	d.touched.Store(time.Now().Unix() - int64(pauseAfter/time.Second))
	if err := d.prepare(ctx, c, dir); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "kelian.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	d.a, err = Open(ctx, c, NewLog(c.LogLevel, log), DemoOptions(Options{Migrate: true, Network: d.net, Admin: d.mount, Demo: d,
		Acceptance: 10 * time.Minute, Interval: 5 * time.Second}))
	if err != nil {
		return err
	}
	defer d.a.Close()
	stop, err := d.listen()
	if err != nil {
		return err
	}
	defer stop()
	d.tell(out, dir)
	go d.schedule(ctx)
	return d.a.Run(ctx, allRoles)
}

// demoConfig is the settings of a demo: plain http on loopback, mail to the
// sink, the loopback network allowed.
func demoConfig(flags config.Flags, dir string, sink *mailsink.Sink, open bool) (config.Config, error) {
	flags.DataDir, flags.AllowHTTP = dir, "true"
	flags.MailHost, flags.MailPort, flags.MailTLS, flags.MailFrom = sink.Host(), itoa(sink.Port()), "none", "kelian@kelian.example"
	flags.ProbeNets = "127.77.0.0/16"
	v, err := config.Read(flags, os.LookupEnv, nil)
	if err != nil {
		return config.Config{}, err
	}
	if v["public-url"].Text == "" {
		v["public-url"] = config.Value{Text: "http://" + v["listen"].Text, Origin: "default"}
	}
	c, err := v.Parse(true)
	if err != nil {
		return c, err
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && !open {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return c, fmt.Errorf("everybody who reaches %s can act as anybody in a demo: give --open if that is meant", c.Listen)
		}
	}
	return c, nil
}

type demoFile struct {
	URL      string        `json:"url"`
	GraphQL  string        `json:"graphql"`
	Accounts []demoAccount `json:"accounts"`
}

// prepare reads the demo of the directory, or seeds one.
func (d *demo) prepare(ctx context.Context, c config.Config, dir string) error {
	path := filepath.Join(dir, "demo.json")
	file := demoFile{URL: c.PublicURL, GraphQL: c.PublicURL + "/graphql"}
	raw, err := os.ReadFile(path)
	if err == nil {
		var old demoFile
		if err := json.Unmarshal(raw, &old); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		file.Accounts = old.Accounts
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	} else if file.Accounts, err = seedDemo(ctx, c, Options{Network: d.net}); err != nil {
		return fmt.Errorf("seed the demo: %w", err)
	}
	d.accounts = file.Accounts
	if raw, err = json.MarshalIndent(file, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o600)
}

// seedDemo makes the past with a clock of its own and does its background work
// at once; nothing is sent and nothing listens meanwhile.
func seedDemo(ctx context.Context, c config.Config, o Options) ([]demoAccount, error) {
	now := clock.System{}.Now()
	clk := clock.NewFake(now.AddDate(-1, 0, 0))
	c.Mail.Host, c.RedisURL = "", ""
	o.Migrate, o.Clock, o.Loopback, o.AuthParams = true, clk, true, demoParams
	a, err := Open(ctx, c, NewLog("error", io.Discard), o)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if fresh, err := a.fresh(ctx); err != nil || !fresh {
		return nil, errors.Join(err, errors.New("the database has accounts and is no demo's: give an empty data directory"))
	}
	s := &seeder{a: a, clk: clk, now: now}
	err = s.run(ctx)
	return s.accounts, err
}

// Accounts implements web.Demo.
func (d *demo) Accounts() []web.DemoAccount {
	titles := d.titles()
	about := map[string]castMember{}
	for _, c := range cast {
		about[c.Login] = c
	}
	var out []web.DemoAccount
	for _, a := range d.accounts {
		c, ok := about[a.Login]
		if !ok || c.LinkOnly {
			continue
		}
		t := titles[a.Seats[0]]
		out = append(out, web.DemoAccount{Login: a.Login, Name: a.Name, TitleZh: t.Zh, TitleEn: t.En, AboutZh: c.AboutZh, AboutEn: c.AboutEn})
	}
	return out
}

func (d *demo) titles() map[string]org.Text {
	out := map[string]org.Text{}
	for _, u := range org.Template() {
		for _, s := range u.Seats {
			out[u.Code+"."+string(s.Role)] = org.Text{Zh: u.Short.Zh + s.Title.Zh, En: s.Title.En + ", " + u.Short.En}
		}
	}
	return out
}

// SignIn implements web.Demo.
func (d *demo) SignIn(ctx context.Context, login string) (string, error) {
	for _, a := range d.accounts {
		if a.Login == login && a.Password != "" {
			token, _, err := d.a.Auth.SignIn(ctx, login, a.Password, auth.Device{Label: "demo"}, netip.AddrFrom4([4]byte{127, 0, 0, 1}), "zh")
			return token, err
		}
	}
	return "", fault.Missing()
}

// Outage implements web.Demo: the switch and all behind it fall silent.
func (d *demo) Outage(context.Context) error {
	d.net.Cut(append(demoBehind(2), demoSwitch2)...)
	d.cut.Store(true)
	return nil
}

// Recover implements web.Demo.
func (d *demo) Recover(context.Context) error {
	d.net.Restore(append(demoBehind(2), demoSwitch2)...)
	d.cut.Store(false)
	return nil
}

// Touch implements web.Demo.
func (d *demo) Touch() { d.touched.Store(time.Now().Unix()) }

// Picture implements web.Demo.
func (d *demo) Picture(ctx context.Context) (web.DemoNetwork, error) {
	hosts, err := d.a.Netmon.Hosts(ctx, org.System())
	if err != nil {
		return web.DemoNetwork{}, err
	}
	status, err := d.a.Netmon.Status(ctx, org.System())
	if err != nil {
		return web.DemoNetwork{}, err
	}
	mode, _ := d.a.Prober.Mode()
	n := web.DemoNetwork{Round: status.Round, Asked: len(hosts), Age: -1, Mode: string(mode), Cut: d.cut.Load()}
	if mode == probe.ModeNone {
		n.Mode = "tcp"
	}
	if status.Round > 0 {
		n.Age = status.Age
	}
	for _, h := range hosts {
		dh := web.DemoHost{ID: h.ID.String(), NameZh: h.Name.Zh, NameEn: h.Name.En, State: string(h.State), Suppressed: slices.Contains(h.Overlays, "UNREACHABLE")}
		for _, group := range h.Needs {
			for _, need := range group {
				dh.Needs = append(dh.Needs, need.String())
			}
		}
		if h.State == "UP" {
			n.Answered++
		}
		n.Hosts = append(n.Hosts, dh)
	}
	return n, d.incident(ctx, &n)
}

// Mails implements web.Demo.
func (d *demo) Mails(context.Context) ([]web.DemoMail, error) {
	list, err := d.sink.Mails()
	var out []web.DemoMail
	for _, m := range list {
		out = append(out, web.DemoMail{ID: m.MessageID, To: m.To, Subject: m.Subject, Text: plainPart(m.Text), At: m.At})
	}
	return out, err
}

// mount adds the demo's levers to the admin listener.
func (d *demo) mount(mux *http.ServeMux) {
	for path, f := range map[string]func(context.Context) error{"POST /demo/outage": d.Outage, "POST /demo/recovery": d.Recover} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			d.Touch()
			if err := f(r.Context()); err != nil {
				httpd.Refuse(w, r, http.StatusServiceUnavailable, fault.Busy(err), nil)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	cutter{d.net}.mount(mux)
}

// schedule cuts the switch now and then, unless somebody uses the page.
func (d *demo) schedule(ctx context.Context) {
	tick := time.NewTicker(outageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Since(time.Unix(d.touched.Load(), 0)) < pauseAfter || d.cut.Load() {
			continue
		}
		_ = d.Outage(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(outageFor):
			_ = d.Recover(ctx)
		}
	}
}

// listen opens the devices' ports where they cannot be pinged.
func (d *demo) listen() (stop func(), err error) {
	mode, _ := d.a.Prober.Mode()
	if mode != probe.ModeNone {
		return func() {}, nil
	}
	addrs := append(append([]netip.Addr{demoCore, demoSwitch1, demoSwitch2, netip.MustParseAddr("127.77.0.10"), netip.MustParseAddr("127.77.0.11")}, demoBehind(1)...), demoBehind(2)...)
	var open []net.Listener
	stop = func() {
		for _, l := range open {
			_ = l.Close()
		}
	}
	for _, a := range addrs {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", netip.AddrPortFrom(a, demoPort).String())
		if err != nil {
			stop()
			return nil, fmt.Errorf("the demo's devices cannot listen on %s: %w", a, err)
		}
		open = append(open, l)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
	}
	return stop, nil
}

// tell prints what a newcomer needs, Chinese first.
func (d *demo) tell(out io.Writer, dir string) {
	mode, diag := d.a.Prober.Mode()
	how, howEn := "ICMP（"+string(mode)+"）", "ICMP ("+string(mode)+")"
	if mode == probe.ModeNone {
		how, howEn = "TCP 连接（"+diag.Zh+"）", "TCP connects ("+diag.En+")"
	}
	fmt.Fprintf(out, `科联 Kelian 演示已就绪
  打开        %[1]s/demo
  正在检测    17 台设备，用 %[2]s
  数据在      %[3]s
  再次打开    KELIAN_DATA_DIR=%[3]s kelian demo

The demo is ready
  open        %[1]s/demo
  probing     17 devices by %[4]s
  data        %[3]s
  go on later KELIAN_DATA_DIR=%[3]s kelian demo

正式使用 / the real thing:  kelian serve
`, d.a.Config.PublicURL, how, dir, howEn)
}
