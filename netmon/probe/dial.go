package probe

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"kelian/internal/fault"
)

// DialFunc is net.Dialer.DialContext; the address is always a literal.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Resolver is the part of net.Resolver that checks use.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// CheckerOptions of a Checker.
type CheckerOptions struct {
	Policy   *Policy                 // nil allows nothing
	Resolver Resolver                // nil = the system's
	Wrap     func(DialFunc) DialFunc // stands before the dialer; nil in production
	InFlight int                     // checks at once; 0 = 256
	Roots    *x509.CertPool          // nil = the system's
	// Registry is the bootstrap file of RFC 9224 that names the servers of the
	// registries of domains; "" = domains are not asked about.
	Registry string
	// RegistryPolicy is asked about these servers; nil = Policy.
	RegistryPolicy *Policy
}

// Checker makes TCP, HTTP(S), TLS, DNS and domain checks. Names are resolved once per
// connection, every address passes the Policy, and exactly that address is
// dialled. Safe for concurrent use.
type Checker struct {
	policy   *Policy
	resolver Resolver
	dialer   DialFunc
	roots    *x509.CertPool
	slots    chan struct{}
	registry registry
}

// NewChecker makes a Checker.
func NewChecker(o CheckerOptions) *Checker {
	c := &Checker{policy: o.Policy, resolver: o.Resolver, roots: o.Roots}
	if c.policy == nil {
		c.policy = NewPolicy(PolicyOptions{})
	}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	if o.InFlight <= 0 {
		o.InFlight = 256
	}
	c.slots = make(chan struct{}, o.InFlight)
	c.dialer = (&net.Dialer{Control: c.policy.control, KeepAlive: -1}).DialContext
	if o.Wrap != nil {
		c.dialer = o.Wrap(c.dialer)
	}
	if o.Registry != "" {
		own := o
		own.Registry = ""
		if o.RegistryPolicy != nil {
			own.Policy = o.RegistryPolicy
		}
		c.registry = registry{bootstrap: o.Registry, http: NewChecker(own)}
	}
	return c
}

// enter takes one of the slots; the time limit of a check starts afterwards.
func (c *Checker) enter(ctx context.Context) (leave func(), err error) {
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TCPResult is the outcome of one TCP check.
type TCPResult struct {
	State        State          // Reply, Refused, Lost, Unreachable, NoRoute, Denied, Unresolved
	Addr         netip.AddrPort // where the connection went or was tried
	DNS, Connect time.Duration  // Connect is one round trip
}

// TCP connects to target ("host:port") and hangs up. The error is a refusal by
// the Policy (State Denied), BAD_USER_INPUT for a malformed target, or ctx's.
func (c *Checker) TCP(ctx context.Context, target string, timeout time.Duration) (TCPResult, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return TCPResult{}, err
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var hop hop
	conn, err := c.dial(within, target, &hop)
	r := TCPResult{State: Reply, Addr: hop.addr, DNS: hop.dns, Connect: hop.connect}
	if err == nil {
		_ = conn.Close()
		return r, nil
	}
	r.State = classify(err, hop.addr.Addr())
	return r, reportable(ctx, err)
}

// DialContext connects to "host:port" under the Policy, for an http.Transport.
func (c *Checker) DialContext(ctx context.Context, _, target string) (net.Conn, error) {
	return c.dial(ctx, target, new(hop))
}

// hop is what dialling one connection took.
type hop struct {
	network      string // "" = tcp
	addr         netip.AddrPort
	dns, connect time.Duration
}

// dial resolves, judges and connects. Of a name's addresses those that the
// Policy refuses are left out; the others are tried in turn, each with an
// equal share of the time that is left.
func (c *Checker) dial(ctx context.Context, target string, h *hop) (net.Conn, error) {
	host, service, err := net.SplitHostPort(target)
	port, perr := strconv.ParseUint(service, 10, 16)
	if err != nil || perr != nil || port == 0 || host == "" {
		return nil, fault.Input("target", "目标应写作 主机:端口，例如 10.1.2.3:443", "a target is host:port, such as 10.1.2.3:443")
	}
	begun := time.Now()
	addrs, err := c.resolve(ctx, host)
	h.dns = time.Since(begun)
	if err != nil {
		return nil, err
	}
	var allowed []netip.AddrPort
	var refusal error
	for _, a := range addrs {
		to := netip.AddrPortFrom(a.Unmap(), uint16(port))
		if err := c.policy.Check(to); err != nil {
			refusal = err
			continue
		}
		allowed = append(allowed, to)
	}
	if len(allowed) == 0 {
		return nil, refusal
	}
	for i, to := range allowed {
		var conn net.Conn
		if conn, err = c.connect(ctx, to, len(allowed)-i, h); err == nil || ctx.Err() != nil {
			return conn, err
		}
	}
	return nil, err
}

func (c *Checker) connect(ctx context.Context, to netip.AddrPort, share int, h *hop) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && share > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(share))
		defer cancel()
	}
	begun := time.Now()
	conn, err := c.dialer(ctx, cmp.Or(h.network, "tcp"), to.String())
	h.addr, h.connect = to, time.Since(begun)
	return conn, err
}

func (c *Checker) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := c.resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addrs, err
}

// wsaConnRefused is Windows' own number for ECONNREFUSED; nothing else uses it.
const wsaConnRefused = syscall.Errno(10061)

// classify turns a dial error into what it says about the target.
func classify(err error, addr netip.Addr) State {
	var dns *net.DNSError
	var num syscall.Errno
	switch {
	case fault.Is(err, fault.Rule), fault.Is(err, fault.BadUserInput):
		return Denied
	case errors.As(err, &dns):
		return Unresolved
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Lost
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, wsaConnRefused):
		return Refused
	case errors.As(err, &num) && num.Timeout():
		return Lost
	case errors.As(err, &num) && addr.IsValid():
		// The same error comes from this machine's routes and from routers.
		if _, err := preflight(addr); err != nil {
			return NoRoute
		}
		return Unreachable
	}
	return Lost
}

// reportable keeps the errors that are the caller's business: refusals, wrong
// input and the end of his own context. What the network did is the State.
func reportable(ctx context.Context, err error) error {
	if f, ok := fault.As(err); ok {
		return f
	}
	return ctx.Err()
}
