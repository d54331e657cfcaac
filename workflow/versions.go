package workflow

import (
	"context"
	"errors"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Version is one version of a definition, newest last in a list.
type Version struct {
	ID          id.ID
	N           int
	Hash        string
	Retired     bool
	Builtin     bool
	PublishedAt time.Time
	RetiredAt   time.Time // zero = new requests are pinned to it
	Running     int       // requests under way that are pinned to it
}

// Versions lists the versions of a definition, for every account; an unknown
// key is fault.Missing.
func (s *Service) Versions(ctx context.Context, actor org.Actor, key string) ([]Version, error) {
	if err := s.rules.Check(actor, "workflow.definitions", org.Object{}); err != nil {
		return nil, err
	}
	rows, err := s.versionsOf(ctx, s.db.R, key)
	if err != nil {
		return nil, err
	}
	var running []struct {
		VersionID id.ID
		N         int
	}
	err = s.db.R.NewRaw(`SELECT version_id, count(*) AS n FROM request WHERE definition = ? AND status IN ('OPEN', 'RETURNED') GROUP BY version_id`, key).Scan(ctx, &running)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	out := make([]Version, len(rows))
	for i, v := range rows {
		out[i] = Version{ID: v.ID, N: v.N, Hash: v.Hash, Retired: v.State == stateRetired, Builtin: v.Builtin, PublishedAt: v.PublishedAt, RetiredAt: v.RetiredAt}
		for _, r := range running {
			if r.VersionID == v.ID {
				out[i].Running = r.N
			}
		}
	}
	return out, nil
}

// versionsOf reads the versions in order, without their texts.
func (s *Service) versionsOf(ctx context.Context, q bun.IDB, key string) ([]versionRow, error) {
	var rows []versionRow
	err := q.NewSelect().Model(&rows).ExcludeColumn("source", "report").Where("definition = ?", key).OrderExpr("n").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	if len(rows) == 0 {
		return nil, fault.Missing().At("definition")
	}
	return rows, nil
}

// pick finds a version by its number; 0 is the one that is published. No such
// version is fault.Missing at the field.
func pick(rows []versionRow, n int, field string) (*versionRow, error) {
	for i := range rows {
		if rows[i].N == n || n == 0 && rows[i].State == statePublished {
			return &rows[i], nil
		}
	}
	return nil, fault.Missing().At(field)
}

// CompareInput names two versions of a definition, or one and a text that is
// not published. To 0 is the published version; From 0 is the one before To,
// and the published one where there is a text.
type CompareInput struct {
	Definition string
	From, To   int
	Source     string // of a draft; To does not count then
}

// Comparison is what changed; To is 0 for a draft.
type Comparison struct {
	Definition string
	From, To   int
	Changes    []Difference
}

// Compare says what changed between two versions, for every account. A draft
// with mistakes is DEFINITION_INVALID.
func (s *Service) Compare(ctx context.Context, actor org.Actor, in CompareInput) (Comparison, error) {
	if err := s.rules.Check(actor, "workflow.definitions", org.Object{}); err != nil {
		return Comparison{}, err
	}
	return s.compare(ctx, in)
}

func (s *Service) compare(ctx context.Context, in CompareInput) (Comparison, error) {
	var draft *Definition
	if in.Source != "" {
		d, err := Load([]byte(in.Source), s.known)
		if err != nil {
			return Comparison{}, invalid(err)
		}
		draft, in.Definition = d, d.Flow.Key
	}
	rows, err := s.versionsOf(ctx, s.db.R, in.Definition)
	if err != nil {
		return Comparison{}, err
	}
	out := Comparison{Definition: in.Definition}
	from := in.From
	if draft == nil {
		to, err := pick(rows, in.To, "to")
		if err != nil {
			return out, err
		}
		if out.To = to.N; from == 0 {
			from = max(1, to.N-1)
		}
		if draft, err = s.version(ctx, s.db.R, to.ID); err != nil {
			return out, err
		}
	}
	old, err := pick(rows, from, "from")
	if err != nil && in.From == 0 { // retired: the draft revives it
		old, err = &rows[len(rows)-1], nil
	}
	if err != nil {
		return out, err
	}
	before, err := s.version(ctx, s.db.R, old.ID)
	if err != nil {
		return out, err
	}
	out.From, out.Changes = old.N, Diff(before, draft)
	return out, nil
}

// invalid is the refusal of a text that does not load.
func invalid(err error) error {
	var list Problems
	if errors.As(err, &list) {
		return fault.Refuse("DEFINITION_INVALID", "流程定义有误", "the definition has mistakes").With(list).At("source").Because(err)
	}
	return err
}

// RetireInput takes a definition out of use.
type RetireInput struct {
	Definition     string
	Reason         string // at most 2,000 characters
	IdempotencyKey string
}

// Stored loads a version, by its number or the published one (0), for the
// console of the machine.
func (s *Service) Stored(ctx context.Context, key string, n int) (*Definition, error) {
	rows, err := s.versionsOf(ctx, s.db.R, key)
	if err != nil {
		return nil, err
	}
	v, err := pick(rows, n, "version")
	if err != nil {
		return nil, err
	}
	return s.version(ctx, s.db.R, v.ID)
}

// Retire closes a definition to new requests: those under way go on, and so do
// amendments of what was approved. Publishing a text of it, be it the same one,
// revives it; a new release does not. Refusals: WORKFLOW_RETIRED.
func (s *Service) Retire(ctx context.Context, actor org.Actor, in RetireInput) (Published, error) {
	if err := checkNote("reason", in.Reason, true); err != nil {
		return Published{}, err
	}
	now := clock.Cut(s.clock.Now())
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "retireWorkflow", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (Published, error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return Published{}, err
		}
		if err := s.rules.Check(actor, "workflow.publish", org.Object{}); err != nil {
			return Published{}, err
		}
		rows, err := s.versionsOf(ctx, tx, in.Definition)
		if err != nil {
			return Published{}, err
		}
		v, err := pick(rows, 0, "definition")
		if err != nil {
			return Published{}, retired()
		}
		tx.QueueSQL(`UPDATE version SET state = 'RETIRED', retired_at = ? WHERE id = ? AND state = 'PUBLISHED'`, now, v.ID)
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: s.rules.Under(actor, "workflow.publish", org.Object{}), Action: "workflow.retire",
			Object: outbox.Ref{Kind: RefVersion, ID: v.ID}, Data: map[string]any{"definition": in.Definition, "n": v.N, "reason": strings.TrimSpace(in.Reason)}, At: now})
		return Published{Definition: in.Definition, Version: v.ID, N: v.N, Changed: true}, nil
	})
}

func retired() error {
	return fault.Refuse("WORKFLOW_RETIRED", "这个流程已停用，不再受理新申请", "this workflow is retired and takes no new requests").At("definition")
}
