package netmon

import (
	"context"
	"strings"
	"time"
	"unicode"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"
)

// Report is what something says of itself when it reports.
type Report struct {
	Down    bool          // it says that it is not well
	Message string        // at most 200 characters are kept; no personal data
	Took    time.Duration // how long its work took; 0 = not said
}

const (
	// beatEvery is the least time between two reports that are written, unless
	// they differ.
	beatEvery = time.Second
	maxBeat   = 200
)

// Push takes a report under the secret part of a PUSH check's URL; whoever
// knows it may report and learns nothing. fault.Missing says that there is no
// such check.
func (s *Service) Push(ctx context.Context, secret string, b Report) error {
	if len(secret) < minSecret || len(secret) > 64 || !secretPart.MatchString(secret) {
		return fault.Missing()
	}
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	i := now.topo.byPush[secret]
	if i == nil {
		return fault.Missing()
	}
	at := s.clock.Now()
	row := memoryRow{CheckID: i.ID, Outcome: judge.Reply, At: at, DueAt: at.Add(i.expect.patience()), TookUs: min(max(b.Took, 0), 24*time.Hour).Microseconds()}
	if b.Down {
		row.Outcome = judge.Failed
	}
	row.WhyZh = cleanBeat(b.Message)
	row.WhyEn = row.WhyZh
	had, err := memories(ctx, s.db.R, []id.ID{i.ID})
	if err != nil {
		return err
	}
	if m := had[i.ID]; m != nil && m.Outcome == row.Outcome && m.WhyEn == row.WhyEn && at.Sub(m.At) < beatEvery && !at.Before(m.At) {
		return nil
	}
	_, err = store.InTx(ctx, s.db, store.Internal("netmon.push"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.Queue(s.db.Bun().NewInsert().Model(&row).On("CONFLICT (check_id) DO UPDATE").
			Set("outcome = EXCLUDED.outcome, at = EXCLUDED.at, due_at = EXCLUDED.due_at, took_us = EXCLUDED.took_us, why_zh = EXCLUDED.why_zh, why_en = EXCLUDED.why_en"))
		return struct{}{}, nil
	})
	return err
}

func cleanBeat(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	r := []rune(strings.TrimSpace(s))
	return string(r[:min(len(r), maxBeat)])
}
