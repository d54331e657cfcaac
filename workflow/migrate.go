package workflow

import (
	"context"
	"slices"
	"strings"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// TopicMigrate moves one running request to another version; its handler is
// OnMigrate.
const TopicMigrate = "workflow.migrate"

type migratePayload struct {
	Request id.ID             `json:"request"`
	Version id.ID             `json:"version"`
	Steps   map[string]string `json:"steps,omitempty"`
	Person  id.ID             `json:"person"`
	Seat    string            `json:"seat,omitempty"`
}

// Plan moves running requests of a definition to one of its newer versions, 0 =
// the published one. Steps says as which step of it an old one goes on, where
// the names differ, or "" that it does not; see flow.Migrate. Requests are those
// to move, none = every one that is under way in an older version.
type Plan struct {
	Definition string
	To         int
	Steps      map[string]string
	Requests   []id.ID
}

// MigrateInput carries a plan out.
type MigrateInput struct {
	Plan
	IdempotencyKey string
}

// Migrating says how many requests a plan is about.
type Migrating struct {
	Version  id.ID
	N        int
	Requests int
}

// Migrate moves running requests, each in a transaction of its own that follows
// from this one, under the authority of those who may publish. A request that
// cannot move stays in its version; PreviewMigration says why.
func (s *Service) Migrate(ctx context.Context, actor org.Actor, in MigrateInput) (Migrating, error) {
	now := clock.Cut(s.clock.Now())
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "migrateRequests", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (Migrating, error) {
		a, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return Migrating{}, err
		}
		to, older, err := s.planned(ctx, tx, a, in.Plan)
		if err != nil {
			return Migrating{}, err
		}
		var requests []id.ID
		if err := running(tx.NewSelect().Table("request").Column("id"), in.Plan, older).OrderExpr("id").Scan(ctx, &requests); err != nil && !store.NoRows(err) {
			return Migrating{}, err
		}
		seat := s.rules.Under(a, "workflow.publish", org.Object{})
		for _, r := range requests {
			outbox.Timer(tx, r, "migrate", outbox.Event{Topic: TopicMigrate, Aggregate: r,
				Payload: migratePayload{Request: r, Version: to.ID, Steps: in.Steps, Person: a.Person, Seat: seat}})
		}
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: seat, Action: "workflow.migrate", Object: outbox.Ref{Kind: RefVersion, ID: to.ID}, At: now,
			Data: map[string]any{"definition": in.Definition, "n": to.N, "steps": in.Steps, "requests": len(requests)}})
		return Migrating{Version: to.ID, N: to.N, Requests: len(requests)}, nil
	})
}

// planned judges who plans, and that the plan names steps that there are. It
// gives the version to move to, and the older ones.
func (s *Service) planned(ctx context.Context, q bun.IDB, a org.Actor, p Plan) (*versionRow, map[id.ID]int, error) {
	if err := s.rules.Check(a, "workflow.publish", org.Object{}); err != nil {
		return nil, nil, err
	}
	rows, err := s.versionsOf(ctx, q, p.Definition)
	if err != nil {
		return nil, nil, err
	}
	to, err := pick(rows, p.To, "to")
	if err != nil {
		return nil, nil, err
	}
	d, err := s.version(ctx, q, to.ID)
	if err != nil {
		return nil, nil, err
	}
	older, steps := map[id.ID]int{}, map[string]bool{}
	for _, v := range rows {
		if v.N >= to.N {
			continue
		}
		older[v.ID] = v.N
		o, err := s.version(ctx, q, v.ID)
		if err != nil {
			return nil, nil, err
		}
		for _, step := range o.Flow.Steps() {
			steps[step.Name] = true
		}
	}
	for _, from := range sortedKeys(p.Steps) {
		switch name := p.Steps[from]; {
		case !steps[from]:
			return nil, nil, fault.Input("steps", "以前的版本里没有步骤“"+from+"”", "no older version has a step "+from)
		case name != "" && d.Flow.Step(name) == nil:
			return nil, nil, fault.Input("steps", "新版本里没有步骤“"+name+"”", "the new version has no step "+name)
		}
	}
	return to, older, nil
}

// running narrows a query to the requests of the plan that are under way.
func running(q *bun.SelectQuery, p Plan, older map[id.ID]int) *bun.SelectQuery {
	versions := []id.ID{id.Nil} // of no request
	for v := range older {
		versions = append(versions, v)
	}
	q = q.Where("definition = ?", p.Definition).Where("status IN ('OPEN', 'RETURNED')").Where("version_id IN (?)", bun.List(versions))
	if len(p.Requests) > 0 {
		q = q.Where("id IN (?)", bun.List(p.Requests))
	}
	return q
}

// OnMigrate handles TopicMigrate. A request that has moved already, or that
// cannot move, is left as it is.
func (s *Service) OnMigrate(ctx context.Context, d outbox.Delivery) error {
	var p migratePayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	_, err = store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		t, err := s.load(ctx, tx, byID, p.Request, now, cal)
		if fault.Is(err, fault.NotFound) {
			return Outcome{}, nil
		}
		if err != nil {
			return Outcome{}, err
		}
		if t.st.Status.Final() || t.row.VersionID == p.Version {
			return t.outcome(), nil
		}
		to, err := s.version(ctx, tx, p.Version)
		if err != nil {
			return Outcome{}, err
		}
		r := store.NewReads(tx)
		ask := t.askMigration(r, to, p.Steps, flow.Actor{Person: p.Person.String(), Seat: p.Seat, Door: flow.Console})
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		cmd, facts, unfit, err := ask()
		if err != nil || len(unfit) > 0 {
			return t.outcome(), err
		}
		from := t.def
		t.actor, t.seat, t.def, t.row.VersionID = p.Person, p.Seat, to, p.Version
		if err := t.apply(ctx, cmd, facts); err != nil {
			if _, refused := fault.As(err); refused {
				return t.outcome(), nil
			}
			return Outcome{}, err
		}
		t.moveOnce(from)
		return t.outcome(), t.save("workflow.migrated", false)
	})
	return err
}

// askMigration is what the core needs to move the thread's request to another
// version, and why the form keeps it from moving.
func (t *thread) askMigration(r *store.Reads, to *Definition, steps map[string]string, by flow.Actor) func() (flow.Migrate, flow.Facts, []FieldError, error) {
	form, unfit, err := t.refit(to)
	at := place{unit: t.row.Unit, requester: t.row.Requester.String(), form: form}
	ask, held := askFacts(r, to, "", at, t.now, t.cal), t.askHeld(r)
	moved := *t
	moved.def = to
	once := moved.askOnce(r)
	return func() (flow.Migrate, flow.Facts, []FieldError, error) {
		cmd := flow.Migrate{By: by, From: t.def.Flow, Steps: steps}
		if err != nil {
			return cmd, flow.Facts{}, nil, err
		}
		unfit = append(unfit, once()...)
		facts, _, err := ask()
		facts.Held, facts.Seed = held(), t.row.Head
		return cmd, facts, unfit, err
	}
}

// refit takes the form over into another version, as it stands: what the new
// one no longer has is left aside, and a form that waits for its requester need
// not be complete. Personal values stay where they are, so they have to be kept
// there in the same way; what they are was accepted once.
func (t *thread) refit(to *Definition) (Filled, []FieldError, error) {
	if wrong := t.personalMoves(to); len(wrong) > 0 {
		return t.filled, wrong, nil
	}
	text := t.known(to)
	if t.st.Status == flow.Returned {
		return stored(text), nil, nil
	}
	return t.fit(to, text)
}

// known spells the form without the fields that another version lacks.
func (t *thread) known(to *Definition) string {
	values := map[string]any{}
	for name, v := range t.filled.values {
		if _, known := to.Form.Field("/" + name); known {
			values[name] = v
		}
	}
	return string(mustCanonical(values))
}

// fit judges the form as another version does, but for its personal values.
func (t *thread) fit(to *Definition, text string) (Filled, []FieldError, error) {
	filled, wrong := to.Form.Fill([]byte(text))
	wrong = slices.DeleteFunc(wrong, func(e FieldError) bool {
		return slices.ContainsFunc(sortedKeys(t.apart), func(p string) bool { return below(p, []string{e.Pointer}) || below(e.Pointer, []string{p}) })
	})
	if filled.JSON == "" {
		return stored(text), wrong, nil
	}
	broken, err := to.CheckRules(filled, t.row.OpenedAt)
	return filled, append(wrong, broken...), err
}

// personalMoves says which values would have to be kept in another way.
func (t *thread) personalMoves(to *Definition) []FieldError {
	var out []FieldError
	say := func(pointer string) {
		out = append(out, to.Form.say(pointer, "PERSONAL", "含个人信息，新版本的保存方式不同", "holds personal data that the new version keeps otherwise"))
	}
	keeps := map[string]bool{}
	for _, f := range to.Form.Personal() {
		keeps[f.Personal.Retention] = true
	}
	for pointer, field := range t.apart {
		kept, _, _ := strings.Cut(strings.TrimPrefix(field, formField), ".")
		if !to.Form.private(pointer) || to.Form.retention(pointer) != kept {
			say(pointer)
		}
	}
	for _, f := range t.def.Form.Personal() {
		if len(t.apart) > 0 && !keeps[f.Personal.Retention] && len(out) == 0 { // of an earlier revision, perhaps
			say(f.Pointer)
		}
	}
	for _, pointer := range sortedLeaves(t.filled) {
		if to.Form.private(pointer) {
			say(pointer)
		}
	}
	slices.SortFunc(out, func(a, b FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return out
}
