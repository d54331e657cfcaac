package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"net/netip"
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

// Options are what differs between installations.
type Options struct {
	Params   Params         // zero = DefaultParams
	Parallel int            // hashes at once; 0 = 2
	Queue    int            // sign-ins that wait for one; 0 = 128
	Wait     time.Duration  // the longest wait; 0 = 8 s
	Campus   []netip.Prefix // addresses that thousands share (KELIAN_CAMPUS_NETS)

	// Pause waits for d or until ctx ends; nil = by the machine's clock.
	Pause func(ctx context.Context, d time.Duration) error
}

// Service is the desk at the door.
type Service struct {
	db     *store.DB
	clock  clock.Clock
	rules  *org.Table
	hasher *hasher
	campus []netip.Prefix
	pause  func(context.Context, time.Duration) error
}

// New makes the service.
func New(db *store.DB, clk clock.Clock, rules *org.Table, o Options) *Service {
	if o.Params == (Params{}) {
		o.Params = DefaultParams
	}
	if o.Parallel == 0 {
		o.Parallel = 2
	}
	if o.Queue == 0 {
		o.Queue = 128
	}
	if o.Wait == 0 {
		o.Wait = 8 * time.Second
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	return &Service{db: db, clock: clk, rules: rules, hasher: newHasher(o.Params, o.Parallel, o.Queue, o.Wait), campus: o.Campus, pause: o.Pause}
}

// Hashes counts the password hashes computed so far.
func (s *Service) Hashes() int64 { return s.hasher.runs.Load() }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTx runs fn as one of the process's own commands: what mints or takes a
// secret is never replayed from a stored outcome.
func inTx[T any](ctx context.Context, s *Service, name string, fn func(ctx context.Context, tx *store.Tx) (T, error)) (T, error) {
	return store.InTx(ctx, s.db, store.Internal(name), fn)
}

// judge reads the actor's seats in the transaction that decides.
func (s *Service) judge(ctx context.Context, q bun.IDB, a org.Actor, now time.Time) (org.Actor, error) {
	a, err := org.Judge(ctx, q, a, now)
	if err == nil && a.Anonymous() {
		err = fault.SignIn()
	}
	return a, err
}

func (s *Service) record(tx *store.Tx, a org.Actor, seat, action string, about id.ID, data any, now time.Time) {
	audit.Record(tx, audit.Entry{Actor: a.Person, Seat: seat, Action: action, Object: outbox.Ref{Kind: "per", ID: about}, Data: data, At: now})
}

// digest is what is stored of a secret that has enough randomness of its own.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// keyed is what is stored of something that could be guessed, such as a login.
func (s *Service) keyed(kind, value string) string {
	mac := hmac.New(sha256.New, s.db.Key())
	mac.Write([]byte(kind + " " + value))
	return hex.EncodeToString(mac.Sum(nil))
}

// LinkToken spells the secret of a link. It is made of the server's key and the
// link's identifier, so that a mail can be written from a row that does not
// hold the secret, and a stolen database opens no link.
func LinkToken(key []byte, link id.ID) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("auth link " + link.String()))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)))
}

// account reads the account that a login or a number names; the login wins.
func (s *Service) account(ctx context.Context, q bun.IDB, login string) (account, bool, error) {
	var rows []account
	err := q.NewSelect().Model(&rows).
		Where("login = ? OR person_id = (SELECT subject FROM personal WHERE field = 'number' AND value = ?)", canonical(login), strings.TrimSpace(login)).
		OrderExpr("CASE WHEN login = ? THEN 0 ELSE 1 END", canonical(login)).Limit(1).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return account{}, false, store.Busy(err)
	}
	if len(rows) == 0 {
		return account{}, false, nil
	}
	return rows[0], true, nil
}

// canonical is how a login is stored and compared.
func canonical(login string) string { return strings.ToLower(strings.TrimSpace(login)) }
