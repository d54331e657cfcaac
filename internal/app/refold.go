package app

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/migrations"
	"kelian/notify"
	"kelian/org"
	"kelian/workflow"
)

// refoldEvery is how often a worker checks a few requests against their events
// (docs/limits.md); one process at a time, by lease.
const refoldEvery = time.Minute

// refold checks requests in the background until ctx ends.
func (a *App) refold(ctx context.Context) {
	owner := id.New().String()
	tick := time.NewTicker(refoldEvery)
	defer tick.Stop()
	since := workflow.ClosedAt{At: a.Clock.Now().Add(-10 * time.Minute)}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			since = a.refoldOnce(ctx, owner, since)
		}
	}
}

// refoldOnce is one round, if the owner holds the lease, and gives where the next
// one goes on: without the lease another process has looked until now.
func (a *App) refoldOnce(ctx context.Context, owner string, since workflow.ClosedAt) workflow.ClosedAt {
	holds, err := a.DB.Lease(ctx, "workflow.refold", owner, 3*refoldEvery)
	if err != nil {
		return since
	}
	if !holds {
		return workflow.ClosedAt{At: a.Clock.Now()}
	}
	done, err := a.Workflow.Refold(ctx, since)
	a.refolds.Add(int64(done.Checked))
	for _, rep := range done.Faulty {
		a.Log.Error("a request is not what its events say", "request", rep.Request.TypeID(workflow.RefRequest), "problems", rep.Problems)
	}
	if err != nil && ctx.Err() == nil {
		a.Log.Warn("requests could not be checked against their events", "error", err)
	}
	return done.Until
}

// onMismatch tells the technical head, once for each request.
func (a *App) onMismatch(ctx context.Context, d outbox.Delivery) error {
	var p workflow.MismatchPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		now := a.Clock.Now()
		heads, err := org.Holders(ctx, tx, "technical.head", now)
		if err != nil {
			return err
		}
		for _, h := range heads {
			notify.Put(tx, notify.Message{Topic: workflow.TopicMismatch, To: h.Person, Ref: outbox.Ref{Kind: workflow.RefRequest, ID: p.Request}, At: now,
				Critical: true, Params: map[string]string{"count": strconv.Itoa(p.Count)}})
		}
		return nil
	})
}

// mostShown is how many faulty requests doctor names.
const mostShown = 10

func examineRequests(ctx context.Context, db *store.DB, add func(finding)) {
	list, n, err := workflow.Mismatches(ctx, db, mostShown)
	if err != nil {
		return // the database was found wanting already
	}
	for _, m := range list {
		ref := m.Request.TypeID(workflow.RefRequest)
		add(finding{false, fmt.Sprintf("申请 %s 的记录与它的事件链不一致：%s", m.Number, strings.Join(m.Problems, "；")),
			fmt.Sprintf("the request %s (%s) is not what its events say: %s", ref, m.Number, strings.Join(m.Problems, "; ")), "kelian workflow verify " + ref})
	}
	if n > len(list) {
		add(finding{false, fmt.Sprintf("还有 %d 份申请与事件链不一致", n-len(list)), fmt.Sprintf("%d more requests are not what their events say", n-len(list)), "kelian workflow verify"})
	}
	if n == 0 {
		add(finding{true, "抽查过的申请都与事件链一致", "every request that was looked at is what its events say", ""})
	}
}

// VerifyWorkflows checks the given requests, or all, against their events and
// prints each fault; a fault is an error. It needs the database, no server.
func VerifyWorkflows(ctx context.Context, c config.Config, requests []string, out io.Writer) error {
	var ids []id.ID
	for _, r := range requests {
		x, err := id.Parse(workflow.RefRequest, r)
		if err != nil {
			return fault.Input("request", r+" 不是 req_ 开头的编号", r+" is not an identifier that begins with req_")
		}
		ids = append(ids, x)
	}
	db, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrations.Check(ctx, db.Bun()); err != nil {
		return err
	}
	n, erased, bad := 0, 0, 0
	svc := workflow.New(db, clock.System{}, Rules(), workflow.Options{Location: c.Timezone})
	err = svc.CheckAll(ctx, ids, func(rep workflow.Report) {
		n++
		erased += rep.Erased
		if rep.OK() {
			return
		}
		bad++
		for _, p := range rep.Problems {
			fmt.Fprintf(out, "FAULT: %s: %s\n", rep.Request.TypeID(workflow.RefRequest), p)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "requests: %d\npersonal values erased since: %d\n", n, erased)
	if bad > 0 {
		return fmt.Errorf("%d requests are not what their events say", bad)
	}
	fmt.Fprintln(out, "OK")
	return nil
}
