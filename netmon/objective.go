package netmon

import (
	"context"
	"slices"
	"strings"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// RefObjective is the kind of references to objectives.
const RefObjective = "slo"

// An objective is a share of time in millionths, at least a half.
const (
	TargetMin = 500_000
	TargetMax = 999_999
)

// objectiveRow is what is wanted of a host, or of the hosts that serve a
// building (Host is nil then and Key the building as it is compared).
type objectiveRow struct {
	bun.BaseModel `bun:"table:objective"`

	ID        id.ID `bun:",pk"`
	Host      id.ID `bun:",nullzero"`
	Building  string
	Key       string
	Target    int // millionths
	CreatedAt time.Time
	ByPerson  id.ID `bun:",nullzero"`
}

// ObjectiveInput sets what is wanted of a host or of a building, in the place
// of what was wanted before.
type ObjectiveInput struct {
	Host           id.ID  // or
	Building       string // code of a building that a host serves
	Target         int    // millionths: 999000 is 99.9 %
	IdempotencyKey string `json:"-"`
}

// RemoveObjectiveInput names an objective that is given up.
type RemoveObjectiveInput struct {
	Objective      id.ID
	IdempotencyKey string `json:"-"`
}

// ObjectiveOutcome names what was set or removed.
type ObjectiveOutcome struct{ Objective id.ID }

// Objective is what is wanted, and how a month came out. Of several hosts the
// time is added up: each counts as long as it was watched.
type Objective struct {
	ID       id.ID
	Host     id.ID // or
	Building string
	Name     Words
	Target   int // millionths
	Month    Range
	Hosts    int
	Availability
	// Budget is the time that the hosts may be down in the month: the share
	// that the target leaves of the month without what is excluded so far. Left
	// is what is left of it, negative when it is overdrawn.
	Budget, Left time.Duration
	// Burn is how fast the budget goes: 1 uses it up just by the end of a month
	// of the same kind, 2 in half of it; 0 while nothing is known.
	Burn float64
}

// SetObjective sets an objective.
func (s *Service) SetObjective(ctx context.Context, actor org.Actor, in ObjectiveInput) (ObjectiveOutcome, error) {
	in.Building = strings.TrimSpace(in.Building)
	switch {
	case in.Host.IsZero() == (in.Building == ""):
		return ObjectiveOutcome{}, fault.Input("building", "请指定一台设备或一栋楼，二选一", "name a host or a building, one of them")
	case in.Building != "" && !lengthIn(in.Building, 1, MaxName):
		return ObjectiveOutcome{}, fault.Input("building", "楼名应有 1 到 80 个字", "a building's name has 1 to 80 characters")
	case in.Target < TargetMin || in.Target > TargetMax:
		return ObjectiveOutcome{}, fault.Input("targetPercent", "目标应在 50 到 99.9999 之间", "the target is between 50 and 99.9999")
	}
	out, err := s.setObjective(ctx, actor, in)
	if store.IsUnique(err, "objective") {
		out, err = s.setObjective(ctx, actor, in) // somebody set it at the same moment
	}
	return out, err
}

func (s *Service) setObjective(ctx context.Context, actor org.Actor, in ObjectiveInput) (ObjectiveOutcome, error) {
	return do(ctx, s, actor, "setObjective", in.IdempotencyKey, in, "netmon.manage", func(ctx context.Context, c *command) (ObjectiveOutcome, error) {
		row := objectiveRow{ID: id.New(), Host: in.Host, Building: in.Building, Key: buildingKey(in.Building), Target: in.Target, CreatedAt: c.now, ByPerson: c.actor.Person}
		q := c.tx.NewRaw(`SELECT h.id AS host, o.id AS known FROM host AS h LEFT JOIN objective AS o ON o.host = h.id
			WHERE h.id = ? AND h.removed_at IS NULL`, in.Host)
		if in.Host.IsZero() {
			q = c.tx.NewRaw(`SELECT h.id AS host, o.id AS known FROM host_building AS b JOIN host AS h ON h.id = b.host
				LEFT JOIN objective AS o ON o.host IS NULL AND o.key = b.key WHERE b.key = ? AND h.removed_at IS NULL LIMIT 1`, row.Key)
		}
		var found []struct{ Host, Known id.ID }
		if err := none(q.Scan(ctx, &found)); err != nil {
			return ObjectiveOutcome{}, err
		}
		switch {
		case len(found) == 0 && in.Host.IsZero():
			return ObjectiveOutcome{}, fault.Input("building", "没有设备服务于这栋楼：请先在设备上填写", "no host serves this building: enter it at a host first")
		case len(found) == 0:
			return ObjectiveOutcome{}, fault.Missing()
		case found[0].Known.IsZero():
			c.tx.Queue(c.tx.DB.Bun().NewInsert().Model(&row))
		default:
			row.ID = found[0].Known
			c.tx.Queue(c.tx.DB.Bun().NewUpdate().Model(&row).Column("target", "by_person").WherePK())
		}
		c.record("netmon.manage", "netmon.objective.set", outbox.Ref{Kind: RefObjective, ID: row.ID}, map[string]any{"host": in.Host, "building": in.Building, "target": in.Target})
		return ObjectiveOutcome{row.ID}, nil
	})
}

// RemoveObjective gives an objective up.
func (s *Service) RemoveObjective(ctx context.Context, actor org.Actor, in RemoveObjectiveInput) (ObjectiveOutcome, error) {
	return do(ctx, s, actor, "removeObjective", in.IdempotencyKey, in, "netmon.manage", func(ctx context.Context, c *command) (ObjectiveOutcome, error) {
		res, err := c.tx.NewRaw(`DELETE FROM objective WHERE id = ?`, in.Objective).Exec(ctx)
		if err != nil {
			return ObjectiveOutcome{}, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return ObjectiveOutcome{}, fault.Missing().Because(err)
		}
		c.record("netmon.manage", "netmon.objective.remove", outbox.Ref{Kind: RefObjective, ID: in.Objective}, nil)
		return ObjectiveOutcome{in.Objective}, nil
	})
}

// covered lists the live hosts that an objective is of.
func (t *topology) covered(o *objectiveRow) ([]id.ID, error) {
	if !o.Host.IsZero() {
		h, err := t.host(o.Host)
		if err != nil {
			return nil, err
		}
		return []id.ID{h.ID}, nil
	}
	var out []id.ID
	for _, h := range t.live {
		if slices.Contains(h.keys, o.Key) {
			out = append(out, h.ID)
		}
	}
	return out, nil
}

// Objectives reads all objectives with how the month that a moment lies in came
// out so far; those whose hosts are all gone are left out.
func (s *Service) Objectives(ctx context.Context, actor org.Actor, of time.Time) ([]Objective, error) {
	month := s.Month(of)
	now, err := s.mayLook(ctx, actor, Look{Range: month}, 0)
	if err != nil {
		return nil, err
	}
	var rows []objectiveRow
	if err := none(s.db.R.NewSelect().Model(&rows).OrderExpr("host, key, id").Scan(ctx)); err != nil {
		return nil, err
	}
	var all []id.ID
	hosts := make([][]id.ID, len(rows))
	for i := range rows {
		// A host that is gone has none.
		hosts[i], _ = now.topo.covered(&rows[i])
		all = append(all, hosts[i]...)
	}
	slices.SortFunc(all, func(a, b id.ID) int { return strings.Compare(a.String(), b.String()) })
	spent, err := s.availabilities(ctx, now, month, slices.Compact(all))
	if err != nil {
		return nil, err
	}
	var out []Objective
	for i, r := range rows {
		if len(hosts[i]) == 0 {
			continue
		}
		o := Objective{ID: r.ID, Host: r.Host, Building: r.Building, Name: Words{r.Building, r.Building}, Target: r.Target, Month: month, Hosts: len(hosts[i])}
		if !r.Host.IsZero() {
			o.Name = now.topo.nameOf(r.Host.String())
		}
		var month time.Duration
		for _, h := range hosts[i] {
			a := spent[h]
			o.add(a)
			month += o.Month.To.Sub(clock.Later(a.From, o.Month.From))
		}
		o.settle(month)
		out = append(out, o)
	}
	return out, nil
}

// settle reckons the budget; month is the hosts' time in the whole month.
func (o *Objective) settle(month time.Duration) {
	free := float64(1_000_000-o.Target) / 1_000_000
	o.Budget = time.Duration(free * float64(month-o.Maintenance-o.Unknown)).Round(time.Second)
	o.Left = o.Budget - o.Down
	if share, ok := o.Share(); ok {
		o.Burn = (1 - share) / free
	}
}
