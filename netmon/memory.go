package netmon

import (
	"context"
	"encoding/json"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon/judge"

	"github.com/uptrace/bun"
)

// TopicWarned tells that something ends soon; the payload is {"check", "days"}.
const TopicWarned = "netmon.check.warned"

type warnedPayload struct {
	Check id.ID `json:"check"`
	Days  int   `json:"days"`
}

// warnDays are the thresholds before something ends, each told once. Until it
// has ended nothing fails.
var warnDays = []int{1, 7, 14}

// memoryRow is what the latest look of a check found that is not looked at in
// every round. For PUSH it is the latest report; Due is then when the next one
// is missed.
type memoryRow struct {
	bun.BaseModel `bun:"table:check_memory,alias:x"`

	CheckID   id.ID `bun:",pk"`
	Outcome   judge.Outcome
	At        time.Time
	DueAt     time.Time // when to look again
	ExpiresAt time.Time `bun:",nullzero"`
	Warned    int       // the smallest threshold that was told; 0 = none
	TookUs    int64
	WhyZh     string
	WhyEn     string
	Hash      string // of the page as it is
	Page      string
	GoodHash  string // of the page as it was accepted
	GoodPage  string
}

// remembers says whether checks of the kind have a memory.
func (k Kind) remembers() bool { return k == TLS || k == Domain || k == Push || k == Page }

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// threshold is the smallest one that is reached; 0 = none, or it is over.
func threshold(ends, now time.Time) int {
	left := ends.Sub(now)
	if ends.IsZero() || left <= 0 {
		return 0
	}
	for _, d := range warnDays {
		if left <= time.Duration(d)*24*time.Hour {
			return d
		}
	}
	return 0
}

// memories reads those of checks.
func memories(ctx context.Context, q bun.IDB, ids []id.ID) (map[id.ID]*memoryRow, error) {
	var rows []memoryRow
	if len(ids) == 0 {
		return nil, nil
	}
	// Pages are long and only a page's check needs their hashes.
	err := q.NewSelect().Model(&rows).ExcludeColumn("page", "good_page").Where("check_id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	out := make(map[id.ID]*memoryRow, len(rows))
	for i := range rows {
		out[rows[i].CheckID] = &rows[i]
	}
	return out, nil
}

// remember writes what a round's looks found, and tells of each threshold that
// was reached, once.
func (m *Monitor) remember(ctx context.Context, rows []*memoryRow) error {
	_, err := store.InTx(ctx, m.db, store.Internal("netmon.look"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var old []memoryRow
		ids := make([]id.ID, len(rows))
		for i, r := range rows {
			ids[i] = r.CheckID
		}
		err := tx.NewRaw(`SELECT check_id, warned FROM check_memory WHERE check_id IN (?) ?`, bun.List(ids), m.db.Lock(false)).Scan(ctx, &old)
		if err != nil && !store.NoRows(err) {
			return struct{}{}, err
		}
		told := map[id.ID]int{}
		for _, o := range old {
			told[o.CheckID] = o.Warned
		}
		for _, r := range rows {
			r.Warned = threshold(r.ExpiresAt, r.At)
			if was := told[r.CheckID]; r.Warned > 0 && (was == 0 || r.Warned < was) {
				outbox.Put(tx, outbox.Event{Topic: TopicWarned, Aggregate: r.CheckID, Payload: warnedPayload{r.CheckID, r.Warned}})
			}
			m.put(tx, r)
		}
		return struct{}{}, nil
	})
	return err
}

// put overwrites a memory, but not what somebody accepted meanwhile.
func (m *Monitor) put(tx *store.Tx, r *memoryRow) {
	set := `outcome = EXCLUDED.outcome, at = EXCLUDED.at, due_at = EXCLUDED.due_at, expires_at = EXCLUDED.expires_at, warned = EXCLUDED.warned,
		took_us = EXCLUDED.took_us, why_zh = EXCLUDED.why_zh, why_en = EXCLUDED.why_en`
	if r.Page != "" {
		set += `, hash = EXCLUDED.hash, page = EXCLUDED.page, good_hash = CASE x.good_hash WHEN '' THEN EXCLUDED.good_hash ELSE x.good_hash END,
			good_page = CASE x.good_hash WHEN '' THEN EXCLUDED.good_page ELSE x.good_page END`
	}
	tx.Queue(m.db.Bun().NewInsert().Model(r).On("CONFLICT (check_id) DO UPDATE").Set(set))
}
