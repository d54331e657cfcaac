package graph

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"kelian/auth"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/org"
)

// identity is who calls, and how.
type identity struct {
	org.Actor
	info  auth.SessionInfo
	token string // of a session; "" for API tokens and strangers
}

// call is one request; a sign-in changes who it is by.
type call struct {
	who    atomic.Pointer[identity]
	r      *http.Request
	w      http.ResponseWriter // nil where no header can be set any more
	page   bool                // sent by a page of this server
	cookie bool                // the session came as a cookie
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// whoOf is the caller; outside of a request a stranger.
func whoOf(ctx context.Context) *identity {
	if c := callOf(ctx); c != nil {
		return c.who.Load()
	}
	return &identity{Actor: org.Stranger("zh", "")}
}

func actorOf(ctx context.Context) org.Actor { return whoOf(ctx).Actor }

// anybody is the caller as a stranger, for what is public: a token needs no
// scope for what needs no token.
func anybody(ctx context.Context) org.Actor {
	who := whoOf(ctx)
	return org.Stranger(who.Lang, who.Address)
}

func langOf(ctx context.Context) string { return whoOf(ctx).Lang }

// accountOf names the account for the limits on streams.
func accountOf(ctx context.Context) string {
	if who := whoOf(ctx); !who.Anonymous() {
		return who.Person.String()
	}
	return ""
}

// door finds out who calls.
type door struct{ Deps }

// handler resolves the caller's credential around the guard. An unknown bearer
// is refused at once, so that its program hears of it; a browser whose session
// has ended is a stranger.
func (d *door) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{r: r, page: d.Origins.Own(r)}
		if r.Method == http.MethodPost && !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			c.w = w
		}
		ctx := context.WithValue(r.Context(), callKey{}, c)
		who, err := d.identify(ctx, r, c)
		if err != nil {
			e, ok := fault.As(err)
			if !ok {
				e = fault.Busy(err)
			}
			httpd.Refuse(w, r, httpd.Status(e), e, nil)
			return
		}
		c.who.Store(who)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (d *door) identify(ctx context.Context, r *http.Request, c *call) (*identity, error) {
	if v := r.Header.Get("Authorization"); v != "" {
		return d.byBearer(ctx, v)
	}
	who := d.stranger(ctx)
	token := d.Cookie.Token(r)
	if token == "" {
		return who, nil
	}
	actor, info, err := d.Auth.Resolve(ctx, token)
	switch {
	case fault.Is(err, fault.Unauthenticated):
		if c.w != nil {
			d.Cookie.Drop(c.w)
		}
		return who, nil
	case err != nil:
		return nil, err
	}
	c.cookie = true
	return d.known(ctx, r, actor, info, token), nil
}

func (d *door) stranger(ctx context.Context) *identity {
	return &identity{Actor: org.Stranger(httpd.Lang(ctx), addressOf(ctx))}
}

// known completes what auth says of an account with what the request says. A
// program that names no language is answered in its account's.
func (d *door) known(ctx context.Context, r *http.Request, actor org.Actor, info auth.SessionInfo, token string) *identity {
	httpd.Vouch(ctx)
	if r == nil || r.Header.Get("Accept-Language") != "" || actor.Lang == "" {
		actor.Lang = httpd.Lang(ctx)
	}
	actor.Address = addressOf(ctx)
	return &identity{Actor: actor, info: info, token: token}
}

// byBearer takes an API token, or the session that signIn gave to a program.
func (d *door) byBearer(ctx context.Context, authorization string) (*identity, error) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return nil, fault.SignIn()
	}
	c := callOf(ctx)
	if strings.HasPrefix(token, "kel_") {
		actor, info, err := d.Auth.ResolveBearer(ctx, token)
		if err != nil {
			return nil, err
		}
		return d.known(ctx, c.r, actor, info, ""), nil
	}
	actor, info, err := d.Auth.Resolve(ctx, token)
	if err != nil {
		return nil, err
	}
	return d.known(ctx, c.r, actor, info, token), nil
}

// bearer is what a WebSocket says in its connection_init.
func (d *door) bearer(ctx context.Context, authorization string) (context.Context, error) {
	who, err := d.byBearer(ctx, authorization)
	if err != nil {
		return nil, err
	}
	old := callOf(ctx)
	c := &call{r: old.r, page: old.page}
	c.who.Store(who)
	return context.WithValue(ctx, callKey{}, c), nil
}

// recheck looks whether a stream's reader is still signed in, and with which
// seats: what the stream tells from now on is judged by these.
func (d *door) recheck(ctx context.Context) error {
	who := whoOf(ctx)
	actor, info, err := d.Auth.Recheck(ctx, who.info)
	if err != nil {
		return err
	}
	actor.Lang, actor.Address = who.Lang, who.Address
	callOf(ctx).who.Store(&identity{Actor: actor, info: info, token: who.token})
	return nil
}

func (d *door) introspection(ctx context.Context) error {
	if d.Introspection || !whoOf(ctx).Anonymous() {
		return nil
	}
	return fault.Deny("graphql.introspect", "登录后的账号；也可以读 /graphql/schema.graphql", "accounts; or read /graphql/schema.graphql")
}

func addressOf(ctx context.Context) string {
	if a := httpd.ClientIP(ctx); a.IsValid() {
		return a.String()
	}
	return ""
}
