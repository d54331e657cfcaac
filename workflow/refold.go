package workflow

import (
	"context"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// TopicMismatch tells once that a request is not what its events say.
const TopicMismatch = "workflow.mismatch" // {request, count}

// MismatchPayload is what TopicMismatch carries.
type MismatchPayload struct {
	Request id.ID `json:"request"`
	Count   int   `json:"count"` // of what is wrong with it
}

// The bounds of one round of Refold (docs/limits.md); each request it looks at
// is one round trip on PostgreSQL.
const (
	refoldRandom = 4  // chosen anew each time
	refoldClosed = 20 // closed since the round before; what is more waits for the next
	refoldKnown  = 5  // found wanting before, to see whether they are mended
)

// Refolded is what a round looked at.
type Refolded struct {
	Checked int
	Faulty  []Report // new or known
	Until   ClosedAt // where the next round goes on with closed requests
}

// ClosedAt is a place among the closed requests, in the order of their closing:
// several close at the same moment.
type ClosedAt struct {
	At      time.Time
	Request id.ID
}

type mismatchRow struct {
	bun.BaseModel `bun:"table:mismatch"`

	RequestID id.ID `bun:",pk"`
	Problems  string
	FoundAt   time.Time
	CheckedAt time.Time
	MendedAt  time.Time `bun:",nullzero"`
}

// Refold checks a few requests against their events: some at random, those
// closed since the place given, and those found wanting before. What it finds
// stands in the table mismatch and is told once for each request.
func (s *Service) Refold(ctx context.Context, since ClosedAt) (Refolded, error) {
	out := Refolded{Until: since}
	pick, known, until, err := s.pickRefold(ctx, since)
	if err != nil {
		return out, err
	}
	for _, request := range pick {
		rep, err := s.Check(ctx, request)
		if err != nil {
			return out, err
		}
		out.Checked++
		if !rep.OK() {
			out.Faulty = append(out.Faulty, rep)
		}
		if !rep.OK() || known[request] {
			if err := s.noteMismatch(ctx, rep); err != nil {
				return out, err
			}
		}
	}
	out.Until = until
	return out, nil
}

// pickRefold chooses what a round looks at, each request once.
func (s *Service) pickRefold(ctx context.Context, since ClosedAt) (pick []id.ID, known map[id.ID]bool, until ClosedAt, err error) {
	var ends, wanting []id.ID
	var closed []closedRow
	after := since.Request
	if after.IsZero() {
		after = last
	}
	r := store.NewReads(s.db.R)
	r.SQL(&ends, `SELECT id FROM (SELECT id FROM request ORDER BY id LIMIT 1) AS a UNION ALL SELECT id FROM (SELECT id FROM request ORDER BY id DESC LIMIT 1) AS b`)
	r.SQL(&closed, `SELECT id, closed_at FROM request WHERE (closed_at, id) > (?, ?) ORDER BY closed_at, id LIMIT ?`, since.At, after, refoldClosed)
	r.SQL(&wanting, `SELECT request_id FROM mismatch WHERE mended_at IS NULL ORDER BY checked_at LIMIT ?`, refoldKnown)
	if err := r.Run(ctx); err != nil {
		return nil, nil, since, err
	}
	chosen := make([][]id.ID, refoldRandom)
	if len(ends) == 2 {
		for i := range chosen {
			r.SQL(&chosen[i], `SELECT id FROM request WHERE id >= ? ORDER BY id LIMIT 1`, between(ends[0], ends[1]))
		}
		if err := r.Run(ctx); err != nil {
			return nil, nil, since, err
		}
	}
	seen := map[id.ID]bool{}
	known, until = map[id.ID]bool{}, since
	add := func(list ...id.ID) {
		for _, x := range list {
			if !seen[x] {
				seen[x], pick = true, append(pick, x)
			}
		}
	}
	for _, x := range wanting {
		known[x] = true
	}
	add(wanting...)
	for _, c := range closed {
		add(c.ID)
		until = ClosedAt{c.ClosedAt, c.ID}
	}
	for _, x := range chosen {
		add(x...)
	}
	return pick, known, until, nil
}

type closedRow struct {
	ID       id.ID
	ClosedAt time.Time
}

// between is an identifier at random from a to b. They are ordered by time, so
// each stretch of time is as likely as any other, and the way to the next
// request is one step in the index.
func between(a, b id.ID) id.ID {
	from, to := new(big.Int).SetBytes(a[:]), new(big.Int).SetBytes(b[:])
	bits := make([]byte, len(a))
	for i := range bits {
		bits[i] = byte(rand.Uint32())
	}
	span := new(big.Int).Add(new(big.Int).Sub(to, from), big.NewInt(1))
	n := new(big.Int).Mod(new(big.Int).SetBytes(bits), span)
	var out id.ID
	n.Add(n, from).FillBytes(out[:])
	return out
}

// noteMismatch writes what a check found; one that has become sound is mended.
func (s *Service) noteMismatch(ctx context.Context, rep Report) error {
	now := clock.Cut(s.clock.Now())
	_, err := store.InTx(ctx, s.db, store.Internal("workflow.refold"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if rep.OK() {
			tx.QueueSQL(`UPDATE mismatch SET mended_at = ?, checked_at = ? WHERE request_id = ?`, now, now, rep.Request)
			return struct{}{}, nil
		}
		res, err := tx.NewInsert().Model(&mismatchRow{RequestID: rep.Request, Problems: strings.Join(rep.Problems, "\n"), FoundAt: now, CheckedAt: now}).
			On("CONFLICT (request_id) DO NOTHING").Exec(ctx)
		if err != nil {
			return struct{}{}, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			tx.QueueSQL(`UPDATE mismatch SET problems = ?, checked_at = ?, mended_at = NULL WHERE request_id = ?`, strings.Join(rep.Problems, "\n"), now, rep.Request)
			return struct{}{}, err
		}
		outbox.Put(tx, outbox.Event{Topic: TopicMismatch, Aggregate: rep.Request, Payload: MismatchPayload{rep.Request, len(rep.Problems)}})
		return struct{}{}, nil
	})
	return err
}

// Mismatch is a request that was found not to be what its events say.
type Mismatch struct {
	Request  id.ID
	Number   string
	Problems []string
	FoundAt  time.Time
}

// Mismatches lists those that are not mended, the oldest first, at most n, and
// counts all. It takes no actor: it is for the operator's tools.
func Mismatches(ctx context.Context, db *store.DB, n int) (list []Mismatch, total int, err error) {
	var rows []struct {
		ID       id.ID
		Series   string
		Year     int
		Serial   int64
		Problems string
		FoundAt  time.Time
	}
	var count []int
	r := store.NewReads(db.R)
	r.SQL(&count, `SELECT count(*) AS n FROM mismatch WHERE mended_at IS NULL`)
	r.SQL(&rows, `SELECT r.id, r.series, r.year, COALESCE(r.serial, 0) AS serial, m.problems, m.found_at FROM mismatch AS m JOIN request AS r ON r.id = m.request_id
		WHERE m.mended_at IS NULL ORDER BY m.found_at, r.id LIMIT ?`, n)
	if err := r.Run(ctx); err != nil {
		return nil, 0, err
	}
	for _, x := range rows {
		list = append(list, Mismatch{Request: x.ID, Number: Number(x.Series, x.Year, x.Serial), Problems: strings.Split(x.Problems, "\n"), FoundAt: x.FoundAt})
	}
	return list, count[0], nil
}

// CheckAll checks every request, or those given, in the order of their making
// and tells each report; it writes nothing. An absent one is fault.Missing.
func (s *Service) CheckAll(ctx context.Context, requests []id.ID, each func(Report)) error {
	if len(requests) > 0 {
		return s.checkEach(ctx, requests, each)
	}
	var after id.ID
	for {
		q := s.db.R.NewSelect().Table("request").Column("id").OrderExpr("id").Limit(500)
		if !after.IsZero() {
			q = q.Where("id > ?", after)
		}
		var batch []id.ID
		if err := q.Scan(ctx, &batch); err != nil && !store.NoRows(err) {
			return store.Busy(err)
		}
		if len(batch) == 0 {
			return nil
		}
		after = batch[len(batch)-1]
		if err := s.checkEach(ctx, batch, each); err != nil {
			return err
		}
	}
}

func (s *Service) checkEach(ctx context.Context, requests []id.ID, each func(Report)) error {
	for _, x := range requests {
		rep, err := s.Check(ctx, x)
		if fault.Is(err, fault.NotFound) {
			return fault.Input("request", "没有编号为 "+x.TypeID(RefRequest)+" 的申请", "there is no request "+x.TypeID(RefRequest))
		}
		if err != nil {
			return err
		}
		each(rep)
	}
	return nil
}
