package auth

import (
	"context"
	"regexp"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// NewUser is a person with an account that needs no confirmation: for the
// command line, the demo and the first account.
type NewUser struct {
	Login    string // "" = Number
	Password string // "" = cannot sign in until somebody sets one
	Person   org.NewPerson
	Seats    []string // held from now on, e.g. technical.head
}

var loginShape = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._-]{1,63}$`)

// AddUser makes an account for the operator of the command line. Somebody who
// is known by the number already keeps what is known and gets the account.
func (s *Service) AddUser(ctx context.Context, in NewUser) (id.ID, error) {
	hash, login, err := s.prepare(ctx, in)
	if err != nil {
		return id.Nil, err
	}
	now := s.clock.Now()
	out, err := inTx(ctx, s, "auth.user.add", func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		return s.addUser(ctx, tx, in, login, hash, audit.Entry{Action: "auth.user.add", At: now})
	})
	return out, taken(err)
}

// prepare checks the login and the password and hashes it, outside of the
// transaction.
func (s *Service) prepare(ctx context.Context, in NewUser) (hash, login string, err error) {
	if login = canonical(in.Login); login == "" {
		login = canonical(in.Person.Number)
	}
	if !loginShape.MatchString(login) {
		return "", "", fault.Input("login", "登录名为 2 到 64 个字母、数字、点、横线或下划线", "a sign-in name has 2 to 64 letters, digits, dots, hyphens or underscores")
	}
	if in.Password == "" {
		return "", login, nil
	}
	if err := CheckPassword(in.Password, login, in.Person.Number); err != nil {
		return "", "", err
	}
	hash, err = s.hasher.hash(ctx, in.Password)
	return hash, login, err
}

func (s *Service) addUser(ctx context.Context, tx *store.Tx, in NewUser, login, hash string, by audit.Entry) (id.ID, error) {
	if in.Person.Kind == "" {
		in.Person.Kind = org.Officer
	}
	person, err := s.byNumber(ctx, tx, in.Person.Number)
	if err == nil && person.IsZero() {
		person, err = org.AddPerson(tx, in.Person, by.At)
	}
	if err != nil {
		return id.Nil, err
	}
	if err := s.freeLogin(ctx, tx, login, person); err != nil {
		return id.Nil, err
	}
	tx.Queue(s.db.Bun().NewInsert().Model(&account{PersonID: person, Login: login, Password: hash, State: Active, ChangedAt: by.At, CreatedAt: by.At}))
	claimedBy(tx, person, by.At)
	by.Object = outbox.Ref{Kind: "per", ID: person}
	by.Data = map[string]any{"seats": in.Seats}
	audit.Record(tx, by)
	return person, s.seat(ctx, tx, person, in.Seats, by)
}

// claimedBy marks what somebody was to claim: with an account from the operator
// only the head's confirmation is wanting.
func claimedBy(tx *store.Tx, person id.ID, now time.Time) {
	tx.QueueSQL(`UPDATE roster SET state = 'CLAIMED', claimed_at = ? WHERE person_id = ? AND state = 'WAITING'`, now, person)
}

// seat gives the person the seats that are not held yet.
func (s *Service) seat(ctx context.Context, tx *store.Tx, person id.ID, seats []string, by audit.Entry) error {
	held, err := org.Judge(ctx, tx, org.Actor{Person: person}, by.At)
	if err != nil {
		return err
	}
	for _, name := range seats {
		if held.Holds(name) {
			continue
		}
		var seat id.ID
		err := tx.NewRaw(`SELECT id FROM seat WHERE name = ?`, name).Scan(ctx, &seat)
		if store.NoRows(err) {
			return fault.Input("seats", "没有这个岗位："+name, "there is no seat "+name)
		}
		if err == nil {
			err = org.Appoint(ctx, tx, org.Tenure{ID: id.New(), SeatID: seat, PersonID: person, Kind: org.Full, From: by.At}, by)
		}
		if err == nil {
			err = tx.Flush(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// byNumber finds the person with the number; Nil = nobody.
func (s *Service) byNumber(ctx context.Context, tx *store.Tx, number string) (id.ID, error) {
	var person id.ID
	if number == "" {
		return id.Nil, nil
	}
	err := tx.NewRaw(`SELECT subject FROM personal WHERE field = 'number' AND value = ?`, number).Scan(ctx, &person)
	if store.NoRows(err) {
		err = nil
	}
	return person, err
}

// freeLogin refuses a login that is somebody else's, or somebody else's number.
func (s *Service) freeLogin(ctx context.Context, tx *store.Tx, login string, person id.ID) error {
	var n int
	err := tx.NewRaw(`SELECT (SELECT count(*) FROM account WHERE login = ? OR person_id = ?) +
		(SELECT count(*) FROM personal WHERE field = 'number' AND lower(value) = ? AND subject <> ?)`, login, person, login, person).Scan(ctx, &n)
	if err == nil && n > 0 {
		err = loginTaken()
	}
	return err
}

func loginTaken() error {
	return fault.Refuse("LOGIN_TAKEN", "这个登录名或这个人已经有账号", "the sign-in name is taken, or the person has an account").At("login")
}

// taken words the schema's refusals of a doubled login or number.
func taken(err error) error {
	if store.IsUnique(err, "account") {
		return loginTaken()
	}
	return org.NumberTaken(err)
}

// SetPassword sets a password for the operator of the command line, opens a
// closed or pending account, ends its sessions and lifts its lock.
func (s *Service) SetPassword(ctx context.Context, login, password string) error {
	acc, found, err := s.account(ctx, s.db.R, login)
	if err != nil {
		return err
	}
	if !found {
		return fault.Missing()
	}
	if err := s.checkNew(ctx, acc.PersonID, password); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	_, err = inTx(ctx, s, "auth.password.set", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		tx.QueueSQL(`UPDATE account SET state = 'ACTIVE' WHERE person_id = ?`, acc.PersonID)
		claimedBy(tx, acc.PersonID, now)
		tx.QueueSQL(`DELETE FROM throttle WHERE key = ?`, s.keyed("account", acc.Login))
		return struct{}{}, s.putPassword(ctx, tx, org.Actor{}, acc.PersonID, hash, "auth.password.set", now)
	})
	return err
}

// CloseAccount ends somebody's sessions and tokens and keeps the person from
// signing in; SetPassword or a new claim opens the account again.
func (s *Service) CloseAccount(ctx context.Context, actor org.Actor, person id.ID) error {
	now := s.clock.Now()
	_, err := inTx(ctx, s, "auth.account.close", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		a, err := s.judge(ctx, tx, actor, now)
		if err != nil {
			return struct{}{}, err
		}
		o, err := s.mayOn(ctx, tx, a, "auth.account.close", person, now)
		if err != nil {
			return struct{}{}, err
		}
		if _, err := s.endAll(ctx, tx, person, true); err != nil {
			return struct{}{}, err
		}
		tx.QueueSQL(`UPDATE account SET state = 'CLOSED' WHERE person_id = ?`, person)
		tx.QueueSQL(`UPDATE auth_link SET used_at = ? WHERE person_id = ? AND used_at IS NULL`, now, person)
		s.record(tx, a, s.rules.Under(a, "auth.account.close", o), "auth.account.close", person, nil, now)
		return struct{}{}, nil
	})
	return err
}

// SetupToken makes the one-time link under which the first account of a new
// installation is made (/setup/<token>), valid for a day; it ends the one
// before. An installation with an account refuses with SET_UP.
func (s *Service) SetupToken(ctx context.Context) (string, error) {
	now := s.clock.Now()
	made := s.newLink(LinkSetup, id.Nil, id.Nil, SetupLink, now)
	_, err := inTx(ctx, s, "auth.setup.token", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if err := s.unset(ctx, tx); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.putLink(ctx, tx, made)
	})
	if err != nil {
		return "", err
	}
	return LinkToken(s.db.Key(), made.ID), nil
}

func (s *Service) unset(ctx context.Context, tx *store.Tx) error {
	var n int
	err := tx.NewRaw(`SELECT count(*) FROM account`).Scan(ctx, &n)
	if err == nil && n > 0 {
		err = fault.Refuse("SET_UP", "系统已有账号，请用 kelian user add 增加", "there is an account already; add more with kelian user add")
	}
	return err
}

// Setup makes the first account by the setup link, on the seats that it names
// (office.head when it names none), and signs it in.
func (s *Service) Setup(ctx context.Context, token string, in NewUser, device Device) (string, org.Actor, error) {
	l, err := s.link(ctx, s.db.R, token, LinkSetup)
	if err != nil {
		return "", org.Actor{}, err
	}
	if in.Password == "" {
		return "", org.Actor{}, fault.Input("password", "请设置密码", "choose a password")
	}
	if len(in.Seats) == 0 {
		in.Seats = []string{"office.head"}
	}
	hash, login, err := s.prepare(ctx, in)
	if err != nil {
		return "", org.Actor{}, err
	}
	now, secret := s.clock.Now(), id.Secret(32)
	actor, err := inTx(ctx, s, "auth.setup", func(ctx context.Context, tx *store.Tx) (org.Actor, error) {
		if err := s.useLink(ctx, tx, l, now); err != nil {
			return org.Actor{}, err
		}
		if err := s.unset(ctx, tx); err != nil {
			return org.Actor{}, err
		}
		person, err := s.addUser(ctx, tx, in, login, hash, audit.Entry{Action: "auth.setup", At: now})
		if err != nil {
			return org.Actor{}, err
		}
		s.putSession(tx, person, secret, device, now)
		if err := tx.Flush(ctx); err != nil {
			return org.Actor{}, err
		}
		return s.judge(ctx, tx, org.Actor{Person: person, Lang: in.Person.Lang}, now)
	})
	if err != nil {
		return "", org.Actor{}, taken(err)
	}
	return secret, actor, nil
}

// PersonOf is the owner of a sign-in name or number, for the command line.
func (s *Service) PersonOf(ctx context.Context, login string) (id.ID, error) {
	var person id.ID
	err := s.db.R.NewRaw(`SELECT person_id FROM account WHERE login = ?`, canonical(login)).Scan(ctx, &person)
	if store.NoRows(err) {
		return id.Nil, fault.Missing()
	}
	return person, store.Busy(err)
}
