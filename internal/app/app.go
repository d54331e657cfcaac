package app

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"kelian/auth"
	"kelian/desk/dispatch"
	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/sponsor"
	"kelian/desk/training"
	"kelian/file"
	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/trace"
	"kelian/jobs"
	"kelian/migrations"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/netmon/probe/faulty"
	"kelian/notify"
	"kelian/notify/mail"
	"kelian/org"
	"kelian/web"
	"kelian/webhook"
	"kelian/workflow"

	"github.com/prometheus/client_golang/prometheus"
)

// App is everything that one process has: the open database and queue, the
// domains bound to each other, and the handlers of background work.
type App struct {
	Config   config.Config
	Log      *slog.Logger
	Clock    clock.Clock
	DB       *store.DB
	Queue    *jobs.Redis
	Registry *jobs.Registry
	Feed     *outbox.Feed
	Rules    *org.Table

	Org        *org.Service
	Auth       *auth.Service
	Workflow   *workflow.Service
	Netmon     *netmon.Service
	Repair     *repair.Service
	Property   *property.Service
	Sponsor    *sponsor.Service
	Training   *training.Service
	Notify     *notify.Service
	File       *file.Service
	Webhook    *webhook.Service
	Dispatcher *dispatch.Dispatcher
	Tracer     *trace.Tracer
	Prober     *netmon.LiveProber

	options Options
	metrics *prometheus.Registry
	watcher atomic.Pointer[netmon.Monitor] // of the role monitor
	saved   chan struct{}                  // settings were saved in this process
	refolds atomic.Int64                   // requests that this process checked against their events
}

// Options is what differs between a service, the demo and tests.
type Options struct {
	Clock      clock.Clock
	Network    *faulty.Network                       // a network that can be cut; nil = the real one
	Loopback   bool                                  // loopback addresses may be probed
	Acceptance time.Duration                         // how long an offer of work stands; 0 = 15 min
	Interval   time.Duration                         // the monitor's epoch; 0 = 10 s
	ShardSize  int                                   // checks swept together; 0 = netmon.ShardSize
	Quiet      [2]int                                // hours of the local day without messages; zero = notify's
	Timing     jobs.Timing                           // zero = jobs.Shipped
	AuthParams auth.Params                           // zero = the shipped cost of a password
	Migrate    bool                                  // bring the schema up first
	Admin      func(mux *http.ServeMux)              // adds to the admin listener
	Demo       web.Demo                              // the tour, in the demo only
	Handled    func(topic string, d outbox.Delivery) // told of each row that was done

	settings config.Values // what Config was made of; nil = settings that are saved wait for the next start
	sockets  *sockets      // outlive the application; nil = it has its own
}

// Open opens the database and the queue and binds the domains.
func Open(ctx context.Context, c config.Config, log *slog.Logger, o Options) (*App, error) {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Timing == (jobs.Timing{}) {
		o.Timing = jobs.Shipped
	}
	a := &App{Config: c, Log: log, Clock: o.Clock, options: o, saved: make(chan struct{}, 1)}
	var err error
	if a.DB, err = OpenStore(ctx, c); err != nil {
		return nil, err
	}
	if err = a.open(ctx, o); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *App) open(ctx context.Context, o Options) error {
	var err error
	if o.Migrate {
		_, err = migrations.Up(ctx, a.DB.Bun())
	} else {
		err = migrations.Check(ctx, a.DB.Bun())
	}
	if err != nil {
		return err
	}
	if a.Queue, err = jobs.OpenRedis(a.Config.RedisURL); err != nil {
		return err
	}
	if a.Feed, err = outbox.NewFeed(ctx, a.DB, a.Log); err != nil {
		return err
	}
	if err := a.bind(o); err != nil {
		return err
	}
	a.handlers()
	if _, err := a.Workflow.EnsureBuiltin(ctx); err != nil {
		return fmt.Errorf("publish the built-in workflows: %w", err)
	}
	return nil
}

// Close closes what Open opened.
func (a *App) Close() {
	if a.Queue != nil {
		a.Queue.Close()
	}
	if a.Prober != nil {
		_ = a.Prober.Close()
	}
	_ = a.DB.Close()
}

// bind makes the domains and gives each what it asks of the others.
func (a *App) bind(o Options) error {
	loc := a.Config.Timezone
	a.Rules = Rules()
	a.Org = org.New(a.DB, a.Clock, a.Rules, loc)
	a.Auth = auth.New(a.DB, a.Clock, a.Rules, auth.Options{Campus: a.Config.CampusNets, Params: o.AuthParams})
	sender, err := mailSender(a.Config)
	if err != nil {
		return err
	}
	a.Notify = notify.New(a.DB, a.Clock, a.Rules, notify.Options{PublicURL: a.Config.PublicURL, Zone: loc, Mail: sender, Readers: readers{a}, Resolve: a.resolve, Secret: a.secret,
		QuietFrom: o.Quiet[0], QuietTo: o.Quiet[1]})
	a.Property = property.New(a.DB, a.Clock, a.Rules, property.Options{Location: loc, Requests: requests{a}, Tell: put})
	a.Sponsor = sponsor.New(a.DB, a.Clock, a.Rules, sponsor.Options{Location: loc, Purchases: a.Property, Requests: requests{a}, Tell: put})
	a.Dispatcher = dispatch.New(loc, o.Acceptance, nil)
	a.Training = training.New(a.DB, a.Clock, a.Rules, training.Options{Location: loc, Requests: requests{a}, Tell: put})
	facts := map[string]workflow.FactSource{}
	for _, f := range property.Facts() {
		facts[f] = a.Property
	}
	a.Workflow = workflow.New(a.DB, a.Clock, a.Rules, workflow.Options{Location: loc, Facts: facts, Effects: effects(), Files: attachments{a}, Signer: signer(a.Config)})
	if err := a.bindNetmon(o); err != nil {
		return err
	}
	a.Repair = repair.New(a.DB, a.Clock, a.Rules, repair.Options{Location: loc, Dispatcher: a.Dispatcher, Teller: teller{},
		Outages: a.Netmon, Incidents: incidents{a}, Purchases: purchases{a}})
	a.Tracer = trace.New(a.DB, a.cards())
	a.bindFiles()
	a.Org.OnErase(a.Auth.EraseAccount)
	a.Org.OnErase(a.Repair.EraseOwned)
	a.Org.OnErase(a.Workflow.EraseFor)
	a.Org.OnErase(a.Notify.EraseFor)
	a.Org.OnErase(a.File.EraseOwned)
	a.Org.OnExport(a.Auth.ExportAccount())
	a.Org.OnExport(org.Exporter{Name: "repair", Of: a.Repair.ExportOwned})
	a.Org.OnExport(org.Exporter{Name: "workflow", Of: a.Workflow.ExportFor})
	a.Org.OnExport(org.Exporter{Name: "files", Of: a.File.ExportOwned})
	return nil
}

// bindNetmon makes what dials addresses that people give.
func (a *App) bindNetmon(o Options) error {
	own, err := ownServices(a.Config)
	if err != nil {
		return err
	}
	a.bindWebhook(own)
	policy := probe.NewPolicy(probe.PolicyOptions{Allow: a.Config.ProbeNets, AllowLoopback: o.Loopback, Own: own})
	if a.Prober, err = newProber(policy, a.Config.RDAPBootstrap, own, o); err != nil {
		return err
	}
	a.Netmon = netmon.New(a.DB, a.Clock, a.Rules, netmon.Options{Policy: policy, Prober: a.Prober, Location: a.Config.Timezone, ShardSize: o.ShardSize})
	return nil
}

// mailSender is nil where no server is configured: people are then reached by
// the inbox and the to-tell list.
func mailSender(c config.Config) (notify.Sender, error) {
	m := c.Mail
	if m.Host == "" {
		return nil, nil
	}
	return mail.New(mail.Config{Host: m.Host, Port: m.Port, User: m.User, Password: m.Password, From: m.From, TLS: mailTLS[m.TLS]})
}

var mailTLS = map[string]mail.TLS{"tls": mail.Implicit, "starttls": mail.StartTLS, "none": mail.Plain}

// Rules is the one table of who may do what.
func Rules() *org.Table {
	return org.NewTable(org.Rules(), auth.Rules(), workflow.Rules(), netmon.Rules(), repair.Rules(), property.Rules(),
		sponsor.Rules(), training.Rules(), notify.Rules(), file.Rules(), webhook.Rules(), rules())
}

func effects() []string {
	return append(append(property.Effects(), sponsor.Effects()...), training.Effects()...)
}

// ownServices are the addresses that a check must never reach, whatever the
// operator allows: the service's own listeners, database and queue.
func ownServices(c config.Config) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	add := func(hostport string) error {
		host, port, err := net.SplitHostPort(hostport)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return err
		}
		addrs, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
		if host == "" {
			addrs, err = []netip.Addr{netip.IPv4Unspecified()}, nil
		}
		if err != nil {
			return err
		}
		for _, ip := range addrs {
			out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
		}
		return nil
	}
	errs := []error{add(c.Listen), add(c.AdminListen)}
	for _, s := range []string{c.DatabaseURL, c.RedisURL} {
		if u, err := url.Parse(s); err == nil && u.Port() != "" {
			errs = append(errs, add(u.Host))
		}
	}
	return out, errors.Join(errs...)
}

// sealKey signs the audit log's checkpoints; it is made from the server's key.
func sealKey(secret []byte) ed25519.PrivateKey {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("audit checkpoint"))
	return ed25519.NewKeyFromSeed(mac.Sum(nil))
}
