package testschema

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"kelian/graph/internal/testschema/model"
	"kelian/internal/fault"
)

// Resolver answers from memory. Started counts the resolvers that ran, so a
// test can say that none did.
type Resolver struct {
	Started atomic.Int64
	Tickets []model.Ticket
	Manual  chan int                             // feeds Subscription.manual
	Ended   chan struct{}                        // told when a manual subscription's context ends; may be nil
	Load    func(context.Context) string         // what Subscription.loaded and Member.name see
	EndWith func(ctx context.Context, err error) // how a subscription ends with an error
}

type query struct{ *Resolver }
type mutation struct{ *Resolver }
type subscription struct{ *Resolver }
type member struct{ *Resolver }

// Query implements ResolverRoot.
func (r *Resolver) Query() QueryResolver { return query{r} }

// Mutation implements ResolverRoot.
func (r *Resolver) Mutation() MutationResolver { return mutation{r} }

// Subscription implements ResolverRoot.
func (r *Resolver) Subscription() SubscriptionResolver { return subscription{r} }

// Member implements ResolverRoot.
func (r *Resolver) Member() MemberResolver { return member{r} }

func (r query) one() { r.Started.Add(1) }

func (r query) Version(context.Context) (string, error) { r.one(); return "1", nil }
func (r query) Secret(context.Context) (string, error)  { r.one(); return "classified", nil }
func (r query) Me(context.Context) (*model.Member, error) {
	r.one()
	return &model.Member{ID: "mem_1", Name: "周航"}, nil
}
func (r query) Node(_ context.Context, id string) (model.Node, error) {
	r.one()
	return model.Member{ID: id, Name: "n"}, nil
}
func (r query) Nodes(_ context.Context, ids []string) ([]model.Node, error) {
	r.one()
	return make([]model.Node, len(ids)), nil
}
func (r query) Members(_ context.Context, first, _ *int) ([]model.Member, error) {
	r.one()
	n := 20
	if first != nil {
		n = *first
	}
	return make([]model.Member, n), nil
}
func (r query) Echo(_ context.Context, text string) (string, error) { r.one(); return text, nil }
func (r query) Int(_ context.Context, n int) (int, error)           { r.one(); return n, nil }
func (r query) Day(_ context.Context, on model.Day) (model.Day, error) {
	r.one()
	return on, nil
}
func (r query) Priority(_ context.Context, p model.Priority) (model.Priority, error) {
	r.one()
	return p, nil
}

// Fail answers with the kind of error it is asked for.
func (r query) Fail(_ context.Context, how string) (*string, error) {
	r.one()
	switch how {
	case "panic":
		var p *model.Ticket
		return &p.Title, nil
	case "sql":
		return nil, fmt.Errorf("load: %w", errors.New(`pq: relation "secret_table" does not exist`))
	case "canceled":
		return nil, context.Canceled
	case "deadline":
		return nil, fmt.Errorf("query: %w", context.DeadlineExceeded)
	case "missing":
		return nil, fmt.Errorf("load: %w", fault.Missing())
	case "denied":
		return nil, fault.Deny("request.read", "申请人", "the requester")
	case "input":
		return nil, fault.Input("input", "标题太长", "the title is too long").At("input", "title")
	case "rule":
		return nil, fault.Refuse("STALE_FORM", "表单已被修改", "the form was changed")
	case "busy":
		return nil, fault.Busy(errors.New("dial tcp 10.9.8.7:5432: refused"))
	}
	return nil, nil
}
func (r query) FailMany(_ context.Context, n int) ([]*string, error) {
	r.one()
	return nil, errors.New(strconv.Itoa(n))
}
func (r query) Wide(_ context.Context, n int) (string, error) {
	r.one()
	return strings.Repeat("x", n), nil
}
func (r query) Slow(ctx context.Context) (*string, error) {
	r.one()
	<-ctx.Done()
	return nil, ctx.Err()
}
func (r query) Tickets(_ context.Context, first *int) ([]model.Ticket, error) {
	r.one()
	if first != nil {
		return r.Resolver.Tickets[:min(*first, len(r.Resolver.Tickets))], nil
	}
	return r.Resolver.Tickets, nil
}
func (r query) Ticket(_ context.Context, no int) (*model.Ticket, error) {
	r.one()
	if no < 0 || no >= len(r.Resolver.Tickets) {
		return nil, nil
	}
	return &r.Resolver.Tickets[no], nil
}

func (r mutation) SignIn(context.Context, string, string) (bool, error) {
	r.Started.Add(1)
	return true, nil
}
func (r mutation) Touch(_ context.Context, n *int) (int, error) {
	return int(r.Started.Add(1)), nil
}
func (r mutation) Create(_ context.Context, in model.CreateInput) (string, error) {
	r.Started.Add(1)
	return in.Title, nil
}

func (r member) Friends(_ context.Context, _ *model.Member, first, _ *int) ([]model.Member, error) {
	return nil, nil
}
func (r member) Parent(_ context.Context, m *model.Member) (*model.Member, error) { return m, nil }

func (r subscription) Ticks(ctx context.Context, n int, fail *string) (<-chan int, error) {
	r.Started.Add(1)
	out := make(chan int, n)
	for i := range n {
		out <- i
	}
	if fail != nil {
		r.EndWith(ctx, fault.Deny(*fail, "", ""))
	}
	close(out)
	return out, nil
}
func (r subscription) Manual(ctx context.Context) (<-chan int, error) {
	r.Started.Add(1)
	if r.Ended != nil {
		context.AfterFunc(ctx, func() { r.Ended <- struct{}{} })
	}
	return r.Resolver.Manual, nil
}
func (r subscription) Loaded(ctx context.Context) (<-chan string, error) {
	out := make(chan string, 2)
	out <- r.Load(ctx)
	out <- r.Load(ctx)
	close(out)
	return out, nil
}
func (r subscription) Breaks(context.Context) (<-chan int, error) { panic("subscription broke") }
