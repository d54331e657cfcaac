package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"kelian/internal/fault"
)

// DomainResult is what the registry says of a domain.
type DomainResult struct {
	State   State // Reply: registered; Mismatch: not registered; else the registry could not be asked
	Expires time.Time
	Zh, En  string // why it is not Reply
	Took    time.Duration
}

// bootstrapFor is how long the list of registries is believed.
const bootstrapFor = 24 * time.Hour

// maxBootstrap is several times what the list measures.
const maxBootstrap = 1 << 20

// registry asks the registries of domains by RDAP (RFC 9082, RFC 9083); which
// one, says the bootstrap file (RFC 9224).
type registry struct {
	bootstrap string
	http      *Checker
}

type services struct {
	mu    sync.Mutex
	until time.Time
	byTop map[string][]string // suffix → base URLs
}

var known sync.Map // bootstrap URL → *services: one list for all checkers of a process

// Domain asks the domain's registry when the registration ends. The error is
// DOMAINS_NOT_ASKED when no bootstrap file is set, or ctx's.
func (c *Checker) Domain(ctx context.Context, name string, timeout time.Duration) (DomainResult, error) {
	if c.registry.bootstrap == "" {
		return DomainResult{State: Denied}, fault.Refuse("DOMAINS_NOT_ASKED", "没有设置域名注册局名录（KELIAN_RDAP_BOOTSTRAP），不检测域名到期",
			"no list of domain registries is set (KELIAN_RDAP_BOOTSTRAP): the end of domains is not checked")
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begun := time.Now()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	bases, err := c.registry.of(within, name)
	r := DomainResult{State: Unresolved, Zh: "找不到 " + name + " 的注册局：它的后缀可能没有 RDAP 服务", En: "no registry for " + name + ": its suffix may have no RDAP service"}
	if err != nil || len(bases) == 0 {
		if err != nil {
			r.Zh, r.En = "注册局名录读不到", "the list of registries cannot be read"
		}
		return r, ctx.Err()
	}
	base := bases[0]
	if i := slices.IndexFunc(bases, func(b string) bool { return strings.HasPrefix(b, "https://") }); i >= 0 {
		base = bases[i]
	}
	got, err := c.registry.http.HTTP(within, HTTPSpec{URL: strings.TrimSuffix(base, "/") + "/domain/" + name, Status: []int{200, 404},
		Header: http.Header{"Accept": {"application/rdap+json"}}, Timeout: timeout, limit: maxBootstrap})
	r.Took = time.Since(begun)
	switch {
	case err != nil || got.State != Reply:
		r.Zh, r.En = "注册局没有正常应答", "the registry did not answer properly"
	case got.Status == http.StatusNotFound:
		r.State, r.Zh, r.En = Mismatch, "域名 "+name+" 没有注册", "the domain "+name+" is not registered"
	default:
		if r.Expires, err = expiration(got.Body); err == nil {
			r.State, r.Zh, r.En = Reply, "", ""
		} else {
			r.Zh, r.En = "注册局没有说明到期时间", "the registry does not say when the registration ends"
		}
	}
	return r, ctx.Err()
}

func expiration(body []byte) (time.Time, error) {
	var doc struct {
		Events []struct {
			Action string    `json:"eventAction"`
			Date   time.Time `json:"eventDate"`
		} `json:"events"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return time.Time{}, err
	}
	for _, e := range doc.Events {
		if e.Action == "expiration" && !e.Date.IsZero() {
			return e.Date.UTC(), nil
		}
	}
	return time.Time{}, fault.Missing()
}

// of gives the base URLs of the longest suffix that is listed.
func (r *registry) of(ctx context.Context, name string) ([]string, error) {
	v, _ := known.LoadOrStore(r.bootstrap, &services{})
	s := v.(*services)
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.until) {
		got, err := r.http.HTTP(ctx, HTTPSpec{URL: r.bootstrap, limit: maxBootstrap, Timeout: 10 * time.Second})
		if err == nil && got.State == Reply {
			s.byTop, err = readBootstrap(got.Body)
		} else if err == nil {
			err = fault.Busy(nil)
		}
		if err != nil {
			return nil, err
		}
		s.until = time.Now().Add(bootstrapFor)
	}
	for suffix := name; suffix != ""; {
		if bases := s.byTop[suffix]; len(bases) > 0 {
			return bases, nil
		}
		_, suffix, _ = strings.Cut(suffix, ".")
	}
	return nil, nil
}

// readBootstrap reads {"services": [[["org"], ["https://…/"]], …]}.
func readBootstrap(raw []byte) (map[string][]string, error) {
	var doc struct {
		Services [][][]string `json:"services"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, s := range doc.Services {
		if len(s) < 2 {
			continue
		}
		for _, suffix := range s[0] {
			out[strings.ToLower(suffix)] = s[1]
		}
	}
	return out, nil
}
