package auth

import (
	"context"
	"net/netip"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// SessionInfo is how somebody is signed in.
type SessionInfo struct {
	ID      id.ID
	Person  id.ID
	Token   bool // an API token; false = a session of a browser
	Own     bool
	Device  string // or the name of the token
	Created time.Time
	Seen    time.Time
	Expires time.Time
	Sudo    time.Time // the password was last asked for
	hash    string
	public  string // of an API token
}

// heldColumns continues a SELECT from a person named in the first part: the
// person's seats, then those delegated to the person.
const (
	heldColumns  = `seat.name AS seat, unit.code AS unit, seat.role AS role, t.kind AS kind, NULL AS for_person`
	heldJoin     = ` LEFT JOIN tenure AS t ON t.person_id = x.person_id AND t.from_at <= ? AND (t.until_at IS NULL OR t.until_at > ?) LEFT JOIN seat ON seat.id = t.seat_id LEFT JOIN unit ON unit.id = seat.unit_id`
	lentColumns  = `seat.name, unit.code, seat.role, 'ACTING', d.from_person`
	lentJoin     = ` JOIN delegation AS d ON d.to_person = x.person_id AND d.from_at <= ? AND d.until_at > ? JOIN tenure AS t ON t.seat_id = d.seat_id AND t.person_id = d.from_person AND t.from_at <= ? AND (t.until_at IS NULL OR t.until_at > ?) JOIN seat ON seat.id = d.seat_id JOIN unit ON unit.id = seat.unit_id`
	live         = ` JOIN account AS a ON a.person_id = x.person_id AND a.state = 'ACTIVE' JOIN person AS p ON p.id = x.person_id AND p.erased_at IS NULL`
	sessionFrom  = `x.id, x.person_id, x.own, x.device, x.created_at, x.seen_at, x.expires_at, x.sudo_at, x.hash, '' AS scopes, p.lang`
	tokenFrom    = `x.id, x.person_id, FALSE AS own, x.name AS device, x.created_at, x.used_at AS seen_at, x.expires_at, x.created_at AS sudo_at, x.hash, x.scopes, p.lang`
	sessionWhere = ` WHERE x.hash = ? AND x.expires_at > ?`
	tokenWhere   = ` WHERE x.public = ? AND x.expires_at > ?`
)

var (
	sessionByHash = store.NewHot("auth.session", hotText(sessionFrom, "session", sessionWhere))
	tokenByPublic = store.NewHot("auth.token", hotText(tokenFrom, "api_token", tokenWhere))
)

func hotText(columns, table, where string) string {
	return `SELECT ` + columns + `, ` + heldColumns + ` FROM ` + table + ` AS x` + live + heldJoin + where +
		` UNION ALL SELECT ` + columns + `, ` + lentColumns + ` FROM ` + table + ` AS x` + live + lentJoin + where
}

// resolved is one row of the hot reads: the session, and one seat.
type resolved struct {
	ID        id.ID
	PersonID  id.ID
	Own       bool
	Device    string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
	SudoAt    time.Time
	Hash      string
	Scopes    string
	Lang      string
	Seat      string
	Unit      string
	Role      org.Role
	Kind      org.TenureKind
	ForPerson id.ID
}

// read runs a hot read and puts its rows together; nil = nothing valid.
func (s *Service) read(ctx context.Context, hot *store.Hot, key string, now time.Time) (*resolved, []org.HeldSeat, error) {
	var rows []resolved
	at := store.Stamp(now)
	if err := hot.Scan(ctx, s.db, &rows, at, at, key, at, at, at, at, at, key, at); err != nil || len(rows) == 0 {
		return nil, nil, err
	}
	var seats []org.HeldSeat
	for _, r := range rows {
		if r.Seat != "" {
			seats = append(seats, org.HeldSeat{Seat: r.Seat, Unit: r.Unit, Role: r.Role, Kind: r.Kind, For: r.ForPerson})
		}
	}
	return &rows[0], seats, nil
}

// Resolve gives who a session token belongs to, with the seats held now: one
// indexed read. An unknown, ended or idle one is UNAUTHENTICATED.
func (s *Service) Resolve(ctx context.Context, token string) (org.Actor, SessionInfo, error) {
	if len(token) != 52 { // 32 bytes in base32
		return org.Actor{}, SessionInfo{}, fault.SignIn()
	}
	return s.resolveHash(ctx, digest(token))
}

func (s *Service) resolveHash(ctx context.Context, hash string) (org.Actor, SessionInfo, error) {
	now := s.clock.Now()
	r, seats, err := s.read(ctx, sessionByHash, hash, now)
	if err != nil {
		return org.Actor{}, SessionInfo{}, err
	}
	if r == nil || !now.Before(r.SeenAt.Add(idle(r.Own))) {
		return org.Actor{}, SessionInfo{}, fault.SignIn()
	}
	if now.Sub(r.SeenAt) >= seenEvery {
		s.touch(ctx, `UPDATE session SET seen_at = ? WHERE id = ?`, r.ID, now)
	}
	return org.Actor{Person: r.PersonID, Seats: seats, Lang: r.Lang}, r.info(hash), nil
}

func (r *resolved) info(hash string) SessionInfo {
	return SessionInfo{ID: r.ID, Person: r.PersonID, Own: r.Own, Device: r.Device, Created: r.CreatedAt, Seen: r.SeenAt, Expires: r.ExpiresAt, Sudo: r.SudoAt, hash: hash}
}

func idle(own bool) time.Duration {
	if own {
		return OwnIdle
	}
	return SharedIdle
}

// touch keeps the last use. That it cannot be written is no reason to refuse
// the request: the session is valid, and ends a little early at worst.
func (s *Service) touch(ctx context.Context, stmt string, row id.ID, now time.Time) {
	_, _ = inTx(ctx, s, "auth.seen", func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.QueueSQL(stmt, now, row)
		return struct{}{}, nil
	})
}

// Recheck says who a session or API token belongs to now; streams ask it every
// few seconds, and an ended one is UNAUTHENTICATED.
func (s *Service) Recheck(ctx context.Context, info SessionInfo) (org.Actor, SessionInfo, error) {
	if info.Token {
		return s.resolvePublic(ctx, info.public, info.hash)
	}
	return s.resolveHash(ctx, info.hash)
}

// SignOut ends the session of the token; one that is not there is no error.
func (s *Service) SignOut(ctx context.Context, token string) error {
	now := s.clock.Now()
	_, err := inTx(ctx, s, "auth.sign_out", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var person id.ID
		err := tx.NewRaw(`DELETE FROM session WHERE hash = ? RETURNING person_id`, digest(token)).Scan(ctx, &person)
		if store.NoRows(err) {
			return struct{}{}, nil
		}
		if err == nil {
			s.record(tx, org.Actor{Person: person}, "", "auth.sign_out", person, nil, now)
		}
		return struct{}{}, err
	})
	return err
}

// SignOutEverywhere ends all of the actor's sessions and API tokens, the one in
// use too, and says how many.
func (s *Service) SignOutEverywhere(ctx context.Context, actor org.Actor) (int, error) {
	if actor.Person.IsZero() {
		return 0, fault.SignIn()
	}
	now := s.clock.Now()
	return inTx(ctx, s, "auth.sign_out_everywhere", func(ctx context.Context, tx *store.Tx) (int, error) {
		n, err := s.endAll(ctx, tx, actor.Person, true)
		s.record(tx, actor, "", "auth.sign_out_everywhere", actor.Person, map[string]any{"ended": n}, now)
		return n, err
	})
}

// endAll ends every session of the person and, if told to, every API token.
func (s *Service) endAll(ctx context.Context, tx *store.Tx, person id.ID, tokens bool) (int, error) {
	total := 0
	tables := []string{"session"}
	if tokens {
		tables = append(tables, "api_token")
	}
	for _, table := range tables {
		res, err := tx.NewDelete().Table(table).Where("person_id = ?", person).Exec(ctx)
		if err != nil {
			return 0, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, err
		}
		total += int(n)
	}
	return total, nil
}

// Sessions lists the actor's own sessions, the newest first.
func (s *Service) Sessions(ctx context.Context, actor org.Actor) ([]SessionInfo, error) {
	if actor.Person.IsZero() {
		return nil, fault.SignIn()
	}
	now := s.clock.Now()
	var rows []session
	err := s.db.R.NewSelect().Model(&rows).Where("person_id = ?", actor.Person).Where("expires_at > ?", now).OrderExpr("created_at DESC, id DESC").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	var out []SessionInfo
	for _, r := range rows {
		if now.Before(r.SeenAt.Add(idle(r.Own))) {
			out = append(out, SessionInfo{ID: r.ID, Person: r.PersonID, Own: r.Own, Device: r.Device, Created: r.CreatedAt, Seen: r.SeenAt, Expires: r.ExpiresAt, Sudo: r.SudoAt, hash: r.Hash})
		}
	}
	return out, nil
}

// RevokeSession ends one of the actor's own sessions.
func (s *Service) RevokeSession(ctx context.Context, actor org.Actor, which id.ID) error {
	return s.revoke(ctx, actor, "session", "auth.session.revoke", which)
}

func (s *Service) revoke(ctx context.Context, actor org.Actor, table, action string, which id.ID) error {
	if actor.Person.IsZero() {
		return fault.SignIn()
	}
	now := s.clock.Now()
	_, err := inTx(ctx, s, action, func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		res, err := tx.NewDelete().Table(table).Where("id = ?", which).Where("person_id = ?", actor.Person).Exec(ctx)
		if err != nil {
			return struct{}{}, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err == nil {
				err = fault.Missing()
			}
			return struct{}{}, err
		}
		s.record(tx, actor, "", action, actor.Person, map[string]any{"id": which}, now)
		return struct{}{}, nil
	})
	return err
}

// Confirm asks for the password again and marks the session, so that Fresh
// lets it through for ten minutes.
func (s *Service) Confirm(ctx context.Context, info SessionInfo, password string, address netip.Addr) error {
	if info.Token {
		return Fresh(info, s.clock.Now())
	}
	login, err := s.loginOf(ctx, info.Person)
	if err != nil {
		return err
	}
	acc, err := s.check(ctx, login, password, address)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	_, err = inTx(ctx, s, "auth.confirm", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if err := s.settle(ctx, tx, acc, now); err != nil {
			return struct{}{}, err
		}
		tx.QueueSQL(`UPDATE session SET sudo_at = ? WHERE id = ? AND person_id = ?`, now, info.ID, info.Person)
		return struct{}{}, nil
	})
	return err
}

func (s *Service) loginOf(ctx context.Context, person id.ID) (string, error) {
	var login string
	err := s.db.R.NewRaw(`SELECT login FROM account WHERE person_id = ?`, person).Scan(ctx, &login)
	if store.NoRows(err) {
		return "", fault.SignIn()
	}
	return login, store.Busy(err)
}

// Fresh refuses unless the password was asked for within the last ten minutes;
// doors ask it before money, roles, tokens and secrets. An API token never is.
func Fresh(info SessionInfo, now time.Time) error {
	if !info.Token && !info.ID.IsZero() && now.Before(info.Sudo.Add(Sudo)) {
		return nil
	}
	return &fault.Error{Code: fault.Forbidden, Reason: "PASSWORD_AGAIN", Zh: "这一步需要再输入一次密码", En: "this step asks for your password again"}
}
