package audit

import (
	"context"
	"fmt"
	"time"

	"kelian/internal/store"
)

// Report is the outcome of a verification.
type Report struct {
	Sealed       int64    // rows whose seal is right
	UnsealedTail int64    // rows that no seal covers yet
	Faults       []string // what is wrong, naming rows; empty = the chain holds
}

// SealerLease is the name under which one process seals.
const SealerLease = "audit.sealer"

// Tolerance is how long a row may stay unsealed before it is a fault.
const Tolerance = 10 * time.Second

// Verify walks the whole chain. It needs no server: it reads the database.
func Verify(ctx context.Context, db *store.DB) (Report, error) {
	var rep Report
	prev, seq := Zero, int64(0)
	for {
		var seals []Seal
		if err := db.R.NewSelect().Model(&seals).Where("seq > ?", seq).OrderExpr("seq").Limit(1000).Scan(ctx); err != nil {
			return rep, store.Busy(err)
		}
		if len(seals) == 0 {
			break
		}
		rows, err := rowsOf(ctx, db, seals)
		if err != nil {
			return rep, err
		}
		for _, s := range seals {
			row, ok := rows[s.AuditID.String()]
			switch {
			case s.Seq != seq+1:
				rep.Faults = append(rep.Faults, fmt.Sprintf("seal %d is missing", seq+1))
			case !ok:
				rep.Faults = append(rep.Faults, fmt.Sprintf("seal %d: its audit row %s is missing", s.Seq, s.AuditID))
			case s.Prev != prev:
				rep.Faults = append(rep.Faults, fmt.Sprintf("seal %d does not continue seal %d", s.Seq, seq))
			case Hash(s.Prev, row) != s.Hash:
				rep.Faults = append(rep.Faults, fmt.Sprintf("audit row %s (seal %d, %s by %s) was changed after it was sealed", row.ID, s.Seq, row.Action, row.Actor))
			default:
				rep.Sealed++
			}
			seq, prev = s.Seq, s.Hash
		}
	}
	return rep, tail(ctx, db, &rep)
}

func rowsOf(ctx context.Context, db *store.DB, seals []Seal) (map[string]Row, error) {
	var rows []Row
	err := db.R.NewSelect().Model(&rows).Where("id IN (SELECT audit_id FROM audit_seal WHERE seq BETWEEN ? AND ?)",
		seals[0].Seq, seals[len(seals)-1].Seq).Scan(ctx)
	out := make(map[string]Row, len(rows))
	for _, r := range rows {
		out[r.ID.String()] = r
	}
	return out, store.Busy(err)
}

// tail counts rows without a seal. One that is Tolerance older than the newest
// seal was slipped in or overlooked; while a sealer is alive, so is one that is
// Tolerance older than now.
func tail(ctx context.Context, db *store.DB, rep *Report) error {
	var late []string
	err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE NOT EXISTS (SELECT 1 FROM audit_seal WHERE audit_id = audit.id)`).Scan(ctx, &rep.UnsealedTail)
	if err != nil || rep.UnsealedTail == 0 {
		return store.Busy(err)
	}
	newest := "(SELECT max(b.recorded_at) FROM audit AS b JOIN audit_seal AS t ON t.audit_id = b.id)"
	err = db.R.NewRaw(`SELECT id FROM audit WHERE NOT EXISTS (SELECT 1 FROM audit_seal WHERE audit_id = audit.id) AND (
			recorded_at < ? OR recorded_at < ? AND EXISTS (SELECT 1 FROM lease WHERE name = ? AND until > ?)
		) ORDER BY seq LIMIT 20`, db.Before(newest, Tolerance), db.Ago(Tolerance), SealerLease, db.Now()).Scan(ctx, &late)
	for _, row := range late {
		rep.Faults = append(rep.Faults, fmt.Sprintf("audit row %s is older than the newest seal and has none", row))
	}
	return store.Busy(err)
}
