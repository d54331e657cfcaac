package workflow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
	"kelian/workflow/proof"

	"github.com/uptrace/bun"
)

// RefVersion is the kind of a version in the audit and in notices.
const RefVersion = "wfv"

// Published names a version that was published; Changed is false when it
// already was.
type Published struct {
	Definition string
	Version    id.ID
	N          int
	Changed    bool
}

// EnsureBuiltin publishes the definitions that come with this binary, where
// they are new or differ from what it published before. It may run at every
// start, and leaves alone what the federation published itself and texts that
// were published before and retired.
func (s *Service) EnsureBuiltin(ctx context.Context) ([]Published, error) {
	defs, err := Builtin(s.known)
	if err != nil {
		return nil, err
	}
	out, err := s.ensure(ctx, defs)
	if store.IsUnique(err, "version") || store.IsUnique(err, "definition") {
		return s.ensure(ctx, defs) // another process started at the same moment
	}
	return out, err
}

func (s *Service) ensure(ctx context.Context, defs []*Definition) ([]Published, error) {
	now := clock.Cut(s.clock.Now())
	return store.InTx(ctx, s.db, store.Internal("ensureBuiltin"), func(ctx context.Context, tx *store.Tx) ([]Published, error) {
		var out []Published
		for _, d := range defs {
			p, err := s.publish(ctx, tx, d, nil, org.System(), now) // proven by the tests of this binary
			if err != nil {
				return nil, err
			}
			if p.Changed {
				out = append(out, p)
			}
		}
		return out, nil
	})
}

// PublishInput is a definition's text in YAML.
type PublishInput struct {
	Source string
	// Understaffed publishes although the directory lacks people for a step, as
	// between two terms of office; the audit and the report say so.
	Understaffed   bool
	IdempotencyKey string
}

// Publish makes the text the version that new requests are pinned to; requests
// under way keep theirs. A text with mistakes, or one that the proof refutes, is
// DEFINITION_INVALID with all of them (Problems).
func (s *Service) Publish(ctx context.Context, actor org.Actor, in PublishInput) (Published, error) {
	now := clock.Cut(s.clock.Now())
	d, report, loadErr := s.examine(ctx, actor, in.Source, now)
	var problems Problems
	if loadErr != nil && !errors.As(loadErr, &problems) {
		return Published{}, loadErr
	}
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "publishWorkflow", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (Published, error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return Published{}, err
		}
		if err := s.rules.Check(actor, "workflow.publish", org.Object{}); err != nil {
			return Published{}, err
		}
		if loadErr != nil {
			return Published{}, invalid(loadErr)
		}
		if err := refuted(report, in.Understaffed); err != nil {
			return Published{}, err
		}
		return s.publish(ctx, tx, d, report, actor, now)
	})
}

// publish retires the present version and publishes this one, if they differ. A
// text that was published before becomes the present version again.
// Without a report the night's look at the people makes one.
func (s *Service) publish(ctx context.Context, tx *store.Tx, d *Definition, report *proof.Report, by org.Actor, now time.Time) (Published, error) {
	key, builtin := d.Flow.Key, by.System
	out := Published{Definition: key}
	var rows []versionRow
	err := tx.NewSelect().Model(&rows).ExcludeColumn("source", "report").Where("definition = ?", key).OrderExpr("n").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return out, err
	}
	stays, again := present(rows, d.Flow.Hash, builtin)
	if stays != nil {
		out.Version, out.N = stays.ID, stays.N
		return out, nil
	}
	if len(rows) == 0 {
		tx.QueueSQL(`INSERT INTO definition (key, owner, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, key, d.Owner, now)
	}
	tx.QueueSQL(`UPDATE version SET state = 'RETIRED', retired_at = ? WHERE definition = ? AND state = 'PUBLISHED'`, now, key)
	if out.Changed = true; again != nil {
		out.Version, out.N = again.ID, again.N
		tx.QueueSQL(`UPDATE version SET state = 'PUBLISHED', retired_at = NULL, report = ? WHERE id = ?`, reportText(report), again.ID)
	} else {
		out.Version, out.N = s.NewID(), len(rows)+1
		tx.Queue(s.db.Bun().NewInsert().Model(&versionRow{ID: out.Version, Definition: key, N: out.N, Hash: d.Flow.Hash, Source: string(d.Source),
			State: statePublished, Report: reportText(report), Builtin: builtin, PublishedAt: now, PublishedBy: by.Person}))
	}
	data := map[string]any{"definition": key, "n": out.N, "hash": d.Flow.Hash}
	if steps := lacking(report); len(steps) > 0 {
		data["unstaffed"] = steps
	}
	audit.Record(tx, audit.Entry{Actor: by.Person, Seat: s.rules.Under(by, "workflow.publish", org.Object{}), Action: "workflow.publish",
		Object: outbox.Ref{Kind: RefVersion, ID: out.Version}, Data: data, At: now})
	return out, nil
}

// present finds the version that stays, because a text with the hash would change
// nothing or a release must not change it, and the one that the text was before.
func present(rows []versionRow, hash string, builtin bool) (stays, again *versionRow) {
	open := false
	for i := range rows {
		v := &rows[i]
		same := v.Hash == hash
		if v.State == statePublished {
			if open = true; same || builtin && !v.Builtin {
				return v, nil
			}
		} else if same {
			again = v
		}
	}
	if builtin && (again != nil || len(rows) > 0 && !open) { // replaced, or retired, by the federation
		return &rows[len(rows)-1], nil
	}
	return nil, again
}

// Listed is a definition that requests can be made of.
type Listed struct {
	Key         string
	Version     id.ID
	N           int
	Hash        string
	Owner       string // unit code
	Builtin     bool
	PublishedAt time.Time
	Title       flow.Text
	About       flow.Text
	Schema      flow.JSON // the form, JSON Schema 2020-12
	Definition  *Definition
}

// Definitions lists what is published, sorted by key, for every account.
func (s *Service) Definitions(ctx context.Context, actor org.Actor) ([]Listed, error) {
	if err := s.rules.Check(actor, "workflow.definitions", org.Object{}); err != nil {
		return nil, err
	}
	return s.Published(ctx)
}

// Published is Definitions without an actor, for the console of the machine.
func (s *Service) Published(ctx context.Context) ([]Listed, error) {
	var rows []versionRow
	if err := s.db.R.NewSelect().Model(&rows).Where("state = 'PUBLISHED'").Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	slices.SortFunc(rows, func(a, b versionRow) int { return strings.Compare(a.Definition, b.Definition) })
	out := make([]Listed, 0, len(rows))
	for _, v := range rows {
		d, err := s.version(ctx, s.db.R, v.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, Listed{Key: v.Definition, Version: v.ID, N: v.N, Hash: v.Hash, Owner: d.Owner, Builtin: v.Builtin, PublishedAt: v.PublishedAt,
			Title: d.Flow.Title, About: d.About, Schema: d.Form.Schema, Definition: d})
	}
	return out, nil
}

// current is the version that a new request of the kind is pinned to.
func (s *Service) current(ctx context.Context, q bun.IDB, key string) (id.ID, *Definition, error) {
	r := store.NewReads(q)
	current := s.askCurrent(r, key)
	if err := r.Run(ctx); err != nil {
		return id.Nil, nil, err
	}
	return current(ctx, q)
}

// askCurrent is current beside other reads.
func (s *Service) askCurrent(r *store.Reads, key string) func(context.Context, bun.IDB) (id.ID, *Definition, error) {
	var versions []struct {
		ID    id.ID
		State string
	}
	r.SQL(&versions, `SELECT id, state FROM version WHERE definition = ? ORDER BY CASE WHEN state = 'PUBLISHED' THEN 0 ELSE 1 END LIMIT 1`, key)
	return func(ctx context.Context, q bun.IDB) (id.ID, *Definition, error) {
		switch {
		case len(versions) == 0:
			return id.Nil, nil, fault.Missing().At("definition")
		case versions[0].State != statePublished:
			return id.Nil, nil, retired()
		}
		d, err := s.version(ctx, q, versions[0].ID)
		return versions[0].ID, d, err
	}
}
