package audit

import (
	"context"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
)

// Sealed is an audit row with the number of its seal; 0 = not sealed yet.
type Sealed struct {
	Seal int64 `json:"seal"`
	Row  Row   `json:"row"`
}

// Stretch is a piece of the chain that ends at a checkpoint: Leaves[i] is the
// leaf of the seal From+i, Prev the hash before the first.
type Stretch struct {
	From       int64    `json:"from"`
	Prev       string   `json:"prev"`
	Leaves     []string `json:"leaves"`
	Checkpoint string   `json:"checkpoint"` // a signed note
}

// About gives the rows about an object in the order of their recording, and
// what proves that they stand in the chain: for each sealed one a stretch up to
// the next checkpoint, which is signed now where there is none yet.
func About(ctx context.Context, db *store.DB, by Signer, object id.ID, now time.Time) ([]Sealed, []Stretch, error) {
	var rows []Row
	var seals []Seal
	r := store.NewReads(db.R)
	r.SQL(&seals, `SELECT s.* FROM audit_seal AS s JOIN audit AS a ON a.id = s.audit_id WHERE a.object_id = ? ORDER BY s.seq`, object)
	r.SQL(&rows, `SELECT id, at, actor, seat, action, object_kind, object_id, data FROM audit WHERE object_id = ? ORDER BY seq`, object)
	if err := r.Run(ctx); err != nil {
		return nil, nil, err
	}
	at := map[id.ID]int64{}
	for _, s := range seals {
		at[s.AuditID] = s.Seq
	}
	out := make([]Sealed, len(rows))
	for i, row := range rows {
		row.At = row.At.UTC()
		out[i] = Sealed{Seal: at[row.ID], Row: row}
	}
	if len(seals) == 0 {
		return out, nil, nil
	}
	points, err := pointsFor(ctx, db, by, seals, now)
	if err != nil {
		return nil, nil, err
	}
	var all []Stretch
	for i := 0; i < len(seals); {
		end := points[slices.IndexFunc(points, func(p Signed) bool { return p.Seq >= seals[i].Seq })]
		s, err := stretch(ctx, db, seals[i], end)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, s)
		for i < len(seals) && seals[i].Seq <= end.Seq {
			i++
		}
	}
	return out, all, nil
}

// pointsFor gives checkpoints so that each seal has one at or behind it.
func pointsFor(ctx context.Context, db *store.DB, by Signer, seals []Seal, now time.Time) ([]Signed, error) {
	var points []Signed
	first, last := seals[0].Seq, seals[len(seals)-1].Seq
	err := db.R.NewRaw(`SELECT * FROM audit_checkpoint WHERE seq >= ? AND seq <= COALESCE((SELECT min(seq) FROM audit_checkpoint WHERE seq >= ?), ?) ORDER BY seq`,
		first, last, last).Scan(ctx, &points)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	if len(points) > 0 && points[len(points)-1].Seq >= last {
		return points, nil
	}
	newest, err := Checkpoint(ctx, db, by, now)
	return append(points, newest), err
}

// stretch reads the leaves from a seal to a checkpoint.
func stretch(ctx context.Context, db *store.DB, from Seal, end Signed) (Stretch, error) {
	out := Stretch{From: from.Seq, Prev: from.Prev, Checkpoint: end.Note}
	for next := from.Seq; next <= end.Seq; {
		var seals []Seal
		until := min(next+999, end.Seq)
		if err := db.R.NewSelect().Model(&seals).Where("seq BETWEEN ? AND ?", next, until).OrderExpr("seq").Scan(ctx); err != nil {
			return out, store.Busy(err)
		}
		rows, err := rowsOf(ctx, db, seals)
		if err != nil {
			return out, err
		}
		for _, s := range seals {
			out.Leaves = append(out.Leaves, Leaf(rows[s.AuditID.String()]))
		}
		next = until + 1
	}
	return out, nil
}

// Included checks stretches and says which leaf each seal in them has. faults
// name what is wrong; a checkpoint of another origin or signed by another key
// is one.
func Included(stretches []Stretch, verify func(note string) (Head, error)) (leaves map[int64]string, faults []string) {
	leaves = map[int64]string{}
	for _, s := range stretches {
		head, err := verify(s.Checkpoint)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		hash := s.Prev
		for _, leaf := range s.Leaves {
			hash = Chain(hash, leaf)
		}
		if hash != head.Hash || s.From+int64(len(s.Leaves))-1 != head.Seq {
			faults = append(faults, "audit: the leaves do not lead to the checkpoint")
			continue
		}
		for i, leaf := range s.Leaves {
			leaves[s.From+int64(i)] = leaf
		}
	}
	return leaves, faults
}
