package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"kelian/auth"
	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/store"
	"kelian/migrations"
	"kelian/netmon/probe"
	"kelian/org"
)

// FirstAccount is an account that is added from the console.
type FirstAccount struct {
	Login, Name, Seat, Password string
}

// Init sets up a new federation: settings given by flags or environment, the
// template of units, the first account.
func Init(ctx context.Context, flags config.Flags, first FirstAccount, out io.Writer) error {
	v, err := config.Read(flags, os.LookupEnv, nil)
	if err != nil {
		return err
	}
	c, err := v.Parse(true)
	if err != nil {
		return err
	}
	release, err := holdLock(c.DataDir)
	if err != nil {
		return err
	}
	defer release()
	a, err := Open(ctx, c, NewLog("error", os.Stderr), Options{Migrate: true})
	if err != nil {
		return err
	}
	defer a.Close()
	if fresh, err := a.fresh(ctx); err != nil || !fresh {
		return errors.Join(err, errors.New("this federation is set up already: use kelian user add"))
	}
	values := map[string]string{}
	for _, o := range config.Options {
		if o.Stored && v[o.Name].Origin != "default" && v[o.Name].Text != "" {
			values[o.Name] = v[o.Name].Text
		}
	}
	if err := saveSettings(ctx, a.DB, a.Clock.Now(), values); err != nil {
		return err
	}
	if _, err := org.Seed(ctx, a.DB, a.Clock, org.Template()); err != nil {
		return err
	}
	if _, err := a.Auth.AddUser(ctx, auth.NewUser{Login: first.Login, Password: first.Password, Person: org.NewPerson{Kind: org.Officer, Name: first.Name, Lang: "zh"}, Seats: []string{first.Seat}}); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is set up; %s can sign in as %s\n", c.FederationName, first.Name, first.Login)
	return nil
}

// fresh says that nobody has an account yet.
func (a *App) fresh(ctx context.Context) (bool, error) {
	n, err := a.DB.R.NewSelect().Table("account").Count(ctx)
	return n == 0, store.Busy(err)
}

// announce prints what a person needs after a start; on an empty database that
// is the one-time link of the set-up.
func (a *App) announce(ctx context.Context, out io.Writer) error {
	fresh, err := a.fresh(ctx)
	if err != nil {
		return err
	}
	base := a.Config.PublicURL
	if base == "" {
		base = "http://" + a.Config.Listen
	}
	if !fresh {
		fmt.Fprintln(out, "科联 Kelian:", base)
		return nil
	}
	if _, err := org.Seed(ctx, a.DB, a.Clock, org.Template()); err != nil {
		return err
	}
	token, err := a.Auth.SetupToken(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "还没有任何账号。打开这个一次性链接完成设置：\nNobody has an account yet. Open this one-time link to set the federation up:\n\n  %s/setup/%s\n\n", base, token)
	return nil
}

// withAuth opens just what the account commands need.
func withAuth(ctx context.Context, c config.Config, fn func(s *auth.Service, db *store.DB) error) error {
	db, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrations.Check(ctx, db.Bun()); err != nil {
		return err
	}
	return fn(auth.New(db, clock.System{}, Rules(), auth.Options{Campus: c.CampusNets}), db)
}

// AddUser adds an account that needs no confirmation.
func AddUser(ctx context.Context, c config.Config, u FirstAccount, seats []string, out io.Writer) error {
	return withAuth(ctx, c, func(s *auth.Service, _ *store.DB) error {
		person, err := s.AddUser(ctx, auth.NewUser{Login: u.Login, Password: u.Password, Person: org.NewPerson{Kind: org.Officer, Name: u.Name, Lang: "zh"}, Seats: seats})
		if err == nil {
			fmt.Fprintln(out, person.TypeID("per"))
		}
		return err
	})
}

// SetPassword sets a password from the console and ends the sessions.
func SetPassword(ctx context.Context, c config.Config, login, password string) error {
	return withAuth(ctx, c, func(s *auth.Service, _ *store.DB) error { return s.SetPassword(ctx, login, password) })
}

// TokenRequest asks for an API token from the console.
type TokenRequest struct {
	Login, Name string
	Scopes      []string
	For         time.Duration
}

// MintToken makes an API token and prints it once.
func MintToken(ctx context.Context, c config.Config, r TokenRequest, out io.Writer) error {
	return withAuth(ctx, c, func(s *auth.Service, db *store.DB) error {
		person, err := s.PersonOf(ctx, r.Login)
		if err != nil {
			return err
		}
		scopes := r.Scopes
		if len(scopes) == 0 {
			scopes = []string{"all"}
		}
		token, _, err := s.MintToken(ctx, person, auth.NewToken{Name: r.Name, Scopes: scopes, Expires: clock.System{}.Now().Add(r.For)})
		if err == nil {
			fmt.Fprintln(out, token)
		}
		return err
	})
}

// SweepOptions are those of kelian sweep.
type SweepOptions struct {
	Timeout    time.Duration
	Pace       int
	NoTXStamps bool
	JSON       bool
}

// Sweep probes a list of addresses once.
func Sweep(ctx context.Context, o SweepOptions, in io.Reader, out io.Writer) error {
	return probe.Command(ctx, probe.CommandOptions{Timeout: o.Timeout, Pace: o.Pace, NoTXStamps: o.NoTXStamps, JSON: o.JSON}, in, out)
}

func itoa(n int) string { return strconv.Itoa(n) }
