package netmon

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"sync"
	"time"

	"kelian/netmon/probe"
)

// Prober sends the packets. In production it is a [LiveProber]; tests put
// something else in its place.
type Prober interface {
	// Sweep asks every target once; sweeps may run at the same time.
	Sweep(ctx context.Context, epoch uint64, targets []probe.Target) (probe.Round, error)
	TCP(ctx context.Context, target string, timeout time.Duration) (probe.TCPResult, error)
	HTTP(ctx context.Context, spec probe.HTTPSpec) (probe.HTTPResult, error)
	TLS(ctx context.Context, target, name string, timeout time.Duration) (probe.TLSResult, error)
	DNS(ctx context.Context, spec probe.DNSSpec) (probe.DNSResult, error)
	Domain(ctx context.Context, name string, timeout time.Duration) (probe.DomainResult, error)
	// Ping asks one address several times, on demand.
	Ping(ctx context.Context, addr netip.Addr, count int, interval, timeout time.Duration) (probe.Stats, error)
	Mode() (probe.Mode, probe.Diagnosis)
}

// ProberOptions of a LiveProber. Link and Wrap are nil in production; the demo
// and tests put a faulty network there.
type ProberOptions struct {
	Policy   *probe.Policy // nil allows nothing
	Timeout  time.Duration // of one echo; 0 = probe.DefaultTimeout
	Pace     int           // packets/s of all sweeps together; 0 = probe.DefaultPace
	NetPace  int           // packets/s to one /24 or IPv6 /64; 0 = probe.DefaultNetPace
	Mode     probe.Mode    // "" = the best that works
	Link     probe.Link
	Wrap     func(probe.DialFunc) probe.DialFunc
	Resolver probe.Resolver // nil = the system's
	Roots    *x509.CertPool // nil = the system's
	InFlight int            // TCP, HTTP and the like at once; 0 = 256
	// Registry and RegistryPolicy as in probe.CheckerOptions.
	Registry       string
	RegistryPolicy *probe.Policy
}

// LiveProber probes the real network. A sweep has a sweeper of its own, opened
// when all others are busy and kept from then on, for re-probes must not wait
// for the time-outs of another sweep.
type LiveProber struct {
	*probe.Checker
	*probe.Pinger
	opts   ProberOptions
	pacer  *probe.Pacer
	mode   probe.Mode
	diag   probe.Diagnosis
	mu     sync.Mutex
	idle   []*probe.Sweeper
	busy   sync.WaitGroup
	closed bool
}

// NewProber opens the first sweeper, which decides the mode.
func NewProber(o ProberOptions) (*LiveProber, error) {
	if o.Policy == nil {
		o.Policy = probe.NewPolicy(probe.PolicyOptions{})
	}
	p := &LiveProber{opts: o, pacer: probe.NewPacer(o.Pace, o.NetPace),
		Checker: probe.NewChecker(probe.CheckerOptions{Policy: o.Policy, Resolver: o.Resolver, Wrap: o.Wrap, InFlight: o.InFlight, Roots: o.Roots,
			Registry: o.Registry, RegistryPolicy: o.RegistryPolicy}),
		Pinger: probe.NewPinger(probe.PingerOptions{Policy: o.Policy, Link: o.Link})}
	s, err := p.open(o.Mode)
	if err != nil {
		return nil, err
	}
	p.mode, p.diag = s.Mode()
	p.idle = []*probe.Sweeper{s}
	return p, nil
}

func (p *LiveProber) open(mode probe.Mode) (*probe.Sweeper, error) {
	return probe.Open(probe.Options{Timeout: p.opts.Timeout, Pacer: p.pacer, Mode: mode, Link: p.opts.Link})
}

// Mode says how hosts are pinged and why so.
func (p *LiveProber) Mode() (probe.Mode, probe.Diagnosis) { return p.mode, p.diag }

// Close waits for running sweeps and gives the sockets back.
func (p *LiveProber) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.busy.Wait()
	var err error
	for _, s := range p.idle {
		err = errors.Join(err, s.Close())
	}
	p.idle = nil
	return err
}

func (p *LiveProber) take() (*probe.Sweeper, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, context.Canceled
	}
	p.busy.Add(1)
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return s, nil
	}
	s, err := p.open(p.mode)
	if err != nil {
		p.busy.Done()
	}
	return s, err
}

func (p *LiveProber) give(s *probe.Sweeper) {
	p.mu.Lock()
	p.idle = append(p.idle, s)
	p.mu.Unlock()
	p.busy.Done()
}

// Sweep asks the targets that the policy allows; the others are Denied, also
// those that it allowed when they were entered.
func (p *LiveProber) Sweep(ctx context.Context, epoch uint64, targets []probe.Target) (probe.Round, error) {
	allowed, where := make([]probe.Target, 0, len(targets)), make([]int, 0, len(targets))
	out := make([]probe.Outcome, len(targets))
	for i, t := range targets {
		if p.opts.Policy.CheckAddr(t.Addr) != nil {
			out[i].State = probe.Denied
			continue
		}
		allowed, where = append(allowed, t), append(where, i)
	}
	s, err := p.take()
	if err != nil {
		return probe.Round{Outcomes: out}, err
	}
	defer p.give(s)
	r, err := s.Sweep(ctx, epoch, allowed)
	for i, o := range r.Outcomes {
		out[where[i]] = o
	}
	r.Outcomes = out
	return r, err
}
