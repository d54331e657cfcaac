package netmon

import (
	"context"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// PageChange is how a watched page differs from what was accepted.
type PageChange struct {
	Check id.ID
	Hash  string // stands for the page as it is; AcceptPage wants it
	Lines []PageLine
	Cut   bool // there are more lines
}

// PageLine is a line of a page's text: " " in both, "-" gone, "+" new.
type PageLine struct {
	Mark string
	Text string
}

// maxDiffLines is what of a difference is shown.
const maxDiffLines = 400

// PageChange reads what has changed on a watched page, for those who manage the
// network: it shows an internal page. No lines mean that nothing has.
func (s *Service) PageChange(ctx context.Context, actor org.Actor, check id.ID) (PageChange, error) {
	if _, err := s.may(ctx, actor, "netmon.manage"); err != nil {
		return PageChange{}, err
	}
	now, err := s.now(ctx)
	if err != nil {
		return PageChange{}, err
	}
	if c := now.topo.checks[check.String()]; c == nil || c.Kind != Page {
		return PageChange{}, fault.Missing()
	}
	var row memoryRow
	err = s.db.R.NewSelect().Model(&row).Where("check_id = ?", check).Scan(ctx)
	if store.NoRows(err) {
		return PageChange{Check: check}, nil
	}
	if err != nil {
		return PageChange{}, store.Busy(err)
	}
	out := PageChange{Check: check, Hash: row.Hash}
	if row.Hash != row.GoodHash {
		out.Lines = lineDiff(strings.Split(row.GoodPage, "\n"), strings.Split(row.Page, "\n"))
	}
	if out.Cut = len(out.Lines) > maxDiffLines; out.Cut {
		out.Lines = out.Lines[:maxDiffLines]
	}
	return out, nil
}

// AcceptPageInput names the content that somebody has looked at.
type AcceptPageInput struct {
	Check          id.ID
	Hash           string // of PageChange
	IdempotencyKey string `json:"-"`
}

// AcceptPage makes a page's present content the one that later looks are held
// against; the check answers again from its next look on.
func (s *Service) AcceptPage(ctx context.Context, actor org.Actor, in AcceptPageInput) (HostOutcome, error) {
	return do(ctx, s, actor, "acceptPage", in.IdempotencyKey, in, "netmon.manage", func(ctx context.Context, c *command) (HostOutcome, error) {
		var row struct {
			Host    id.ID
			Version int64
			Hash    string
		}
		err := c.tx.NewRaw(`SELECT c.host, h.version, m.hash FROM host_check AS c JOIN host AS h ON h.id = c.host JOIN check_memory AS m ON m.check_id = c.id
			WHERE c.id = ? AND c.kind = 'PAGE' AND c.removed_at IS NULL ?`, in.Check, c.s.db.Lock(false)).Scan(ctx, &row)
		if store.NoRows(err) {
			return HostOutcome{}, fault.Missing()
		}
		if err != nil {
			return HostOutcome{}, err
		}
		if row.Hash == "" || row.Hash != in.Hash {
			return HostOutcome{}, fault.Refuse("PAGE_MOVED_ON", "网页在您查看之后又变了：请再看一次改动", "the page has changed again since you looked: look at the difference once more").At("hash")
		}
		c.tx.QueueSQL(`UPDATE check_memory SET good_hash = hash, good_page = page, outcome = 'REPLY', why_zh = '', why_en = '' WHERE check_id = ?`, in.Check)
		c.record("netmon.manage", "netmon.page.accept", outbox.Ref{Kind: RefHost, ID: row.Host}, map[string]any{"check": in.Check, "hash": in.Hash})
		return HostOutcome{row.Host, row.Version}, nil
	})
}

// RemoveCheckInput names a check to be taken off its host.
type RemoveCheckInput struct {
	Check          id.ID
	IdempotencyKey string `json:"-"`
}

// RemoveCheck takes a check off its host; its history stays.
func (s *Service) RemoveCheck(ctx context.Context, actor org.Actor, in RemoveCheckInput) (HostOutcome, error) {
	return do(ctx, s, actor, "removeCheck", in.IdempotencyKey, in, "netmon.manage", func(ctx context.Context, c *command) (HostOutcome, error) {
		t, err := c.network(ctx)
		if err != nil {
			return HostOutcome{}, err
		}
		x := t.checks[in.Check.String()]
		if x == nil {
			return HostOutcome{}, fault.Missing()
		}
		c.tx.QueueSQL(`UPDATE host_check SET removed_at = ? WHERE id = ?`, c.now, x.ID)
		c.tx.QueueSQL(`UPDATE host SET version = version + 1 WHERE id = ?`, x.host.ID)
		c.record("netmon.manage", "netmon.check.remove", x.host.ref(), map[string]any{"check": x.ID, "kind": x.Kind})
		outbox.Put(c.tx, outbox.Event{Topic: TopicHost, Aggregate: x.host.ID, Version: x.host.Version + 1, Payload: hostPayload{x.host.ID, ""}})
		return HostOutcome{x.host.ID, x.host.Version + 1}, nil
	})
}

// diffLines bounds the lines that are compared one by one.
const diffLines = 800

// lineDiff is a longest common subsequence between what both have at their
// ends; where that is too much, everything between is gone and new.
func lineDiff(a, b []string) (out []PageLine) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if head > 0 {
		out = append(out, PageLine{" ", a[head-1]})
	}
	if len(x) > diffLines || len(y) > diffLines {
		for _, l := range x {
			out = append(out, PageLine{"-", l})
		}
		for _, l := range y {
			out = append(out, PageLine{"+", l})
		}
	} else {
		out = append(out, common(x, y)...)
	}
	if tail > 0 {
		out = append(out, PageLine{" ", a[len(a)-tail]})
	}
	return out
}

func common(x, y []string) (out []PageLine) {
	width := len(y) + 1
	best := make([]int, (len(x)+1)*width)
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				best[i*width+j] = best[(i+1)*width+j+1] + 1
			} else {
				best[i*width+j] = max(best[(i+1)*width+j], best[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, PageLine{" ", x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && best[(i+1)*width+j] >= best[i*width+j+1]:
			out = append(out, PageLine{"-", x[i]})
			i++
		default:
			out = append(out, PageLine{"+", y[j]})
			j++
		}
	}
	return out
}
