package workflow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// Limits of decision links (docs/limits.md).
const (
	LinkLife  = 30 * 24 * time.Hour // at most; a link ends with its task
	CodeLife  = 10 * time.Minute
	CodePause = time.Minute // between two codes
	CodeMax   = 5           // codes per link, and tries per code
)

// IssuedLink opens a task to one person without an account, at one revision of
// the form. The address is <public address>/d/<Token>.
type IssuedLink struct {
	Token     string
	ExpiresAt time.Time
	Strong    bool // deciding needs a code by mail
}

var tokenText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// token is made of the server's key, so that the same link can be sent again
// and nothing secret is stored.
func (s *Service) token(task id.ID, rev int) string {
	mac := hmac.New(sha256.New, s.db.Key())
	fmt.Fprintf(mac, "decision link %s %d", task, rev)
	return tokenText.EncodeToString(mac.Sum(nil)[:20])
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// IssueLink gives the link to be sent with a task's notification, in the
// transaction of whoever sends it; ok is false where the step is not decided
// by link, or the task is not open. The same task and revision give the same
// link.
func (s *Service) IssueLink(ctx context.Context, tx *store.Tx, task id.ID) (link IssuedLink, ok bool, err error) {
	var t taskRow
	err = tx.NewSelect().Model(&t).Where("id = ?", task).Where("state = 'open'").Scan(ctx)
	if store.NoRows(err) {
		return link, false, nil
	}
	if err != nil {
		return link, false, err
	}
	r, _, d, err := s.get(ctx, tx, t.RequestID)
	if err != nil {
		return link, false, err
	}
	step := d.Flow.Step(t.Step)
	if step == nil || !step.Link {
		return link, false, nil
	}
	link = IssuedLink{Token: s.token(task, r.FormRev), Strong: step.Strong}
	var known linkRow
	now := clock.Cut(s.clock.Now())
	link.ExpiresAt = now.Add(LinkLife)
	err = tx.NewSelect().Model(&known).Where("task_id = ?", task).Where("form_rev = ?", r.FormRev).Scan(ctx)
	if err == nil { // sent again, e.g. with a reminder: it lives on from now
		tx.QueueSQL(`UPDATE decision_link SET expires_at = ? WHERE id = ?`, link.ExpiresAt, known.ID)
		return link, true, nil
	}
	if !store.NoRows(err) {
		return link, false, err
	}
	tx.Queue(s.db.Bun().NewInsert().Model(&linkRow{ID: id.New(), Hash: tokenHash(link.Token), RequestID: r.ID, TaskID: task, Person: t.Person,
		FormRev: r.FormRev, IssuedAt: now, ExpiresAt: link.ExpiresAt}).On("CONFLICT DO NOTHING"))
	return link, true, nil
}

// LinkState says what a link is good for.
type LinkState string

// The states of a link.
const (
	LinkOpen    LinkState = "OPEN"
	LinkUsed    LinkState = "USED"    // a decision was made with it
	LinkSettled LinkState = "SETTLED" // the task ended some other way
	LinkStale   LinkState = "STALE"   // the form was changed since; a newer link was sent
	LinkExpired LinkState = "EXPIRED"
	LinkUndone  LinkState = "UNDONE" // the decision made with it was taken back; a newer link was sent
)

// LinkView is what a link shows. View is the request as the person sees it,
// only while the link is open; a stale one shows what changed.
type LinkView struct {
	State     LinkState
	Request   id.ID
	Number    string
	Kind      flow.Text
	Title     string
	StepTitle flow.Text
	Person    id.ID
	Name      string
	Status    flow.Status
	FormRev   int
	ExpiresAt time.Time
	Strong    bool
	SettledAt time.Time   // of a used or settled one
	Undo      time.Time   // of a used one: until when the decision can be taken back; zero = not any more
	Changes   []Change    // of a stale one
	View      *View       // of an open one; Mine is the link's task
	Fill      []FillField // of an open one: what an approval fills in
	Objection bool        // of an open one: one can only object, by sending back
	Open      []int       // of an open one: numbers of the remarks that keep an approval
}

// Link shows what a link is about. It changes nothing, however often it is
// opened or to whomever it was forwarded. An unknown token is fault.Missing.
func (s *Service) Link(ctx context.Context, token string) (LinkView, error) {
	l, err := s.linkRow(ctx, token)
	if err != nil {
		return LinkView{}, err
	}
	r, st, d, err := s.get(ctx, s.db.R, l.RequestID)
	if err != nil {
		return LinkView{}, err
	}
	task := (&thread{row: *r, st: st}).byID(l.TaskID)
	if task == nil {
		return LinkView{}, fault.Missing()
	}
	names, err := org.Names(ctx, s.db.R, l.Person)
	if err != nil {
		return LinkView{}, err
	}
	v := LinkView{State: linkState(l, task, st, s.clock.Now()), Request: r.ID, Number: r.number(), Kind: d.Flow.Title, Title: r.Title, Person: l.Person,
		Name: names[l.Person], Status: st.Status, FormRev: l.FormRev, ExpiresAt: l.ExpiresAt}
	if step := d.Flow.Step(task.Step); step != nil {
		v.StepTitle, v.Strong = step.Title, step.Strong
	}
	switch v.State {
	case LinkUsed, LinkSettled, LinkUndone:
		v.SettledAt, v.Undo = task.ClosedAt, undoUntil(l, task, st, d, s.clock.Now())
	case LinkStale:
		v.Changes, err = s.changes(ctx, s.db.R, d, r.ID, l.FormRev, st.Rev(), hiddenFrom(d, st, r.Requester, l.Person))
	case LinkOpen:
		a, _, judgeErr := s.judge(ctx, org.Actor{Person: l.Person})
		if judgeErr != nil {
			return v, judgeErr
		}
		view, viewErr := s.viewAt(ctx, a, r, st, d, task.ID)
		v.View, err = &view, viewErr
		v.Fill, v.Open, v.Objection = FillOf(d.Flow.Step(task.Step)), openRemarks(st), st.Step(task.Step).Rule.Kind == flow.Objection
	}
	return v, err
}

// undoUntil is until when the decision that was made with a link can be taken
// back; zero = not at all.
func undoUntil(l linkRow, task *flow.Task, st flow.State, d *Definition, now time.Time) time.Time {
	if l.UsedAt.IsZero() {
		return time.Time{}
	}
	for _, w := range flow.Undoable(d.Flow, st, l.Person.String(), now) {
		if w.Task == task.ID {
			return w.Until
		}
	}
	return time.Time{}
}

func (s *Service) linkRow(ctx context.Context, token string) (linkRow, error) {
	var l linkRow
	err := s.db.R.NewSelect().Model(&l).Where("hash = ?", tokenHash(strings.TrimSpace(token))).Scan(ctx)
	if store.NoRows(err) {
		return l, fault.Missing()
	}
	return l, store.Busy(err)
}

func linkState(l linkRow, task *flow.Task, st flow.State, now time.Time) LinkState {
	vote := st.Vote(task.ID)
	overtaken := st.Rev() > l.FormRev && !st.Status.Final()
	switch {
	case !l.UsedAt.IsZero() && vote != nil && vote.Why == flow.WhyUndone:
		return LinkUndone
	case !l.UsedAt.IsZero():
		return LinkUsed
	case overtaken && (task.State == flow.TaskOpen || task.State == flow.TaskVoid || vote != nil && !vote.Live):
		return LinkStale
	case task.State != flow.TaskOpen:
		return LinkSettled
	case !now.Before(l.ExpiresAt):
		return LinkExpired
	}
	return LinkOpen
}

// CodeSent says until when a code can be used.
type CodeSent struct{ Until time.Time }

// RequestCode has a code mailed to the person of a link whose step needs a
// second proof: to decide, or to take back what was just decided.
func (s *Service) RequestCode(ctx context.Context, token string) (CodeSent, error) {
	l, err := s.linkRow(ctx, token)
	if err != nil {
		return CodeSent{}, err
	}
	now := clock.Cut(s.clock.Now())
	return store.InTx(ctx, s.db, store.Internal("requestCode"), func(ctx context.Context, tx *store.Tx) (CodeSent, error) {
		res, err := tx.NewRaw(`UPDATE decision_link SET code_at = ?, code_sent = code_sent + 1, code_tries = 0
			WHERE id = ? AND (used_at IS NULL OR used_at > ?) AND expires_at > ? AND code_sent < ? AND (code_at IS NULL OR code_at <= ?)`,
			now, l.ID, now.Add(-flow.UndoWithin), now, CodeMax, now.Add(-CodePause)).Exec(ctx)
		if err != nil {
			return CodeSent{}, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return CodeSent{}, fault.Refuse("CODE_NOT_SENT", "现在不能再发验证码：请等一分钟，或联系办公室", "no code can be sent now: wait a minute, or ask the office").Because(err)
		}
		outbox.Put(tx, outbox.Event{Topic: TopicCode, Queue: outbox.QueueDefault, Aggregate: l.RequestID, Payload: CodePayload{Link: l.ID}})
		return CodeSent{now.Add(CodeLife)}, nil
	})
}

// CodeFor gives the code to be mailed for TopicCode, and to whom; ok is false
// when it is over already.
func (s *Service) CodeFor(ctx context.Context, tx bun.IDB, link id.ID) (person id.ID, code string, ok bool, err error) {
	var l linkRow
	err = tx.NewSelect().Model(&l).Where("id = ?", link).Scan(ctx)
	if store.NoRows(err) {
		return id.Nil, "", false, nil
	}
	if err != nil || l.CodeAt.IsZero() || l.UsedAt.After(l.CodeAt) || s.clock.Now().After(l.CodeAt.Add(CodeLife)) {
		return id.Nil, "", false, err
	}
	return l.Person, s.code(l), true, nil
}

// code is six digits made of the server's key and the moment of asking.
func (s *Service) code(l linkRow) string {
	mac := hmac.New(sha256.New, s.db.Key())
	fmt.Fprintf(mac, "decision code %s %d", l.ID, l.CodeAt.UnixMicro())
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(mac.Sum(nil))%1_000_000)
}

// proved counts a try and says whether it is the code. The try is kept even if
// the decision is refused, so that a code cannot be guessed.
func (s *Service) proved(ctx context.Context, l linkRow, code string, now time.Time) (bool, error) {
	wrong := fault.Refuse("WRONG_CODE", "验证码不对或已过期，请重新获取", "the code is wrong or over; ask for a new one").At("code")
	tried, err := store.InTx(ctx, s.db, store.Internal("tryCode"), func(ctx context.Context, tx *store.Tx) (bool, error) {
		res, err := tx.NewRaw(`UPDATE decision_link SET code_tries = code_tries + 1 WHERE id = ? AND code_at > ? AND code_tries < ?`,
			l.ID, now.Add(-CodeLife), CodeMax).Exec(ctx)
		if err != nil {
			return false, err
		}
		n, err := res.RowsAffected()
		return n == 1, err
	})
	if err != nil {
		return false, err
	}
	if !tried || subtle.ConstantTimeCompare([]byte(s.code(l)), []byte(strings.TrimSpace(code))) != 1 {
		return false, wrong
	}
	return true, nil
}
