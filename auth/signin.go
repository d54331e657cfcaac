package auth

import (
	"context"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// Device is where somebody signs in.
type Device struct {
	Own      bool   // marked as one's own: 30 days instead of 8 hours
	Label    string // what the list of sessions shows, e.g. "Firefox, Linux"
	Previous string // the session token that the browser sent before; it ends
}

// wrong is the one answer to an unknown login, a wrong password and a closed
// account.
func wrong() error {
	return &fault.Error{Code: fault.Rule, Reason: "WRONG_SIGN_IN", Zh: "登录名或密码不对", En: "the sign-in name or the password is wrong"}
}

// SignIn checks a password and makes a session. The token is new, whatever the
// browser sent before. An unknown login is answered like a wrong password,
// after the same work. RATE_LIMITED carries Retry.
func (s *Service) SignIn(ctx context.Context, login, password string, device Device, address netip.Addr, lang string) (string, org.Actor, error) {
	acc, err := s.check(ctx, login, password, address)
	if err != nil {
		return "", org.Actor{}, err
	}
	return s.open(ctx, acc, device, lang, address)
}

// checked is an account whose password was right.
type checked struct {
	account
	guard  *guard
	rehash string // the password with today's parameters, "" = has them
}

// check compares the password behind the limits; a wrong one is counted.
func (s *Service) check(ctx context.Context, login, password string, address netip.Addr) (checked, error) {
	if n := utf8.RuneCountInString(login); n < 1 || n > 64 || !utf8.ValidString(login) {
		return checked{}, fault.Input("login", "请填写登录名（学号、工号或用户名）", "enter the sign-in name (a number or a name)")
	}
	if len(password) < 1 || len(password) > PasswordMax {
		return checked{}, fault.Input("password", "请填写密码，最多 128 字节", "enter the password, at most 128 bytes")
	}
	g, err := s.guard(ctx, login, address)
	if err != nil {
		return checked{}, err
	}
	if err := g.admit(ctx, s.clock.Now()); err != nil {
		return checked{}, err
	}
	acc, found, err := s.account(ctx, s.db.R, login)
	if err != nil {
		return checked{}, err
	}
	if !found || acc.State == Closed {
		acc.Password = ""
	}
	ok, stale, err := s.hasher.verify(ctx, acc.Password, password)
	if err != nil {
		return checked{}, err
	}
	if !ok {
		if err := g.failed(ctx, s.clock.Now()); err != nil {
			return checked{}, err
		}
		return checked{}, wrong()
	}
	out := checked{account: acc, guard: g}
	if stale {
		out.rehash, err = s.hasher.hash(ctx, password)
	}
	return out, err
}

// settle confirms, in the transaction that acts on it, that the checked
// account is still as it was, and forgets its failures.
func (s *Service) settle(ctx context.Context, tx *store.Tx, acc checked, now time.Time) error {
	var present account
	err := tx.NewRaw(`SELECT * FROM account WHERE person_id = ? ?`, acc.PersonID, s.db.Lock(false)).Scan(ctx, &present)
	if store.NoRows(err) || err == nil && (present.Password != acc.Password || present.State == Closed) {
		return wrong()
	}
	if err != nil {
		return err
	}
	if acc.rehash != "" {
		tx.QueueSQL(`UPDATE account SET password = ? WHERE person_id = ?`, acc.rehash, acc.PersonID)
	}
	return acc.guard.passed(ctx, tx, now)
}

type opened struct {
	Actor   org.Actor
	Pending bool
}

// open makes the session of a checked account.
func (s *Service) open(ctx context.Context, acc checked, device Device, lang string, address netip.Addr) (string, org.Actor, error) {
	now := s.clock.Now()
	token := id.Secret(32)
	out, err := inTx(ctx, s, "auth.sign_in", func(ctx context.Context, tx *store.Tx) (opened, error) {
		if err := s.settle(ctx, tx, acc, now); err != nil {
			return opened{}, err
		}
		if acc.State == Pending {
			return opened{Pending: true}, nil
		}
		actor, err := s.judge(ctx, tx, org.Actor{Person: acc.PersonID, Lang: lang}, now)
		if err != nil {
			return opened{}, err
		}
		if device.Previous != "" {
			tx.QueueSQL(`DELETE FROM session WHERE hash = ?`, digest(device.Previous))
		}
		s.putSession(tx, acc.PersonID, token, device, now)
		s.record(tx, actor, "", "auth.sign_in", acc.PersonID, map[string]any{"own": device.Own}, now)
		return opened{Actor: actor}, nil
	})
	if err != nil {
		return "", org.Actor{}, err
	}
	if out.Pending {
		return "", org.Actor{}, fault.Refuse("CLAIM_PENDING", "账号已认领，等部长确认后就能登录", "your account is claimed; you can sign in once the head of your unit has confirmed it")
	}
	if address.IsValid() {
		out.Actor.Address = address.String()
	}
	return token, out.Actor, nil
}

// putSession writes a session and ends the oldest beyond the limit.
func (s *Service) putSession(tx *store.Tx, person id.ID, token string, device Device, now time.Time) {
	life := SharedSession
	if device.Own {
		life = OwnSession
	}
	tx.Queue(s.db.Bun().NewInsert().Model(&session{ID: id.New(), Hash: digest(token), PersonID: person, Own: device.Own, Device: label(device.Label),
		CreatedAt: now, SeenAt: now, SudoAt: now, ExpiresAt: now.Add(life)}))
	tx.QueueSQL(`DELETE FROM session WHERE person_id = ? AND id NOT IN (SELECT id FROM session WHERE person_id = ? ORDER BY created_at DESC, id DESC LIMIT ?)`, person, person, sessionsMax)
}

// label cuts what a browser says of itself to one short line.
func label(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120])
	}
	return strings.TrimSpace(s)
}
