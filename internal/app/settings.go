package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/migrations"
	"kelian/web"
)

// settingsPoll is how soon a process sees settings that another one saved.
const settingsPoll = 5 * time.Second

// errResettled ends Run when the table setting has changed: Serve then begins
// again with the new settings.
var errResettled = errors.New("the settings have changed")

// storedSettings reads the table setting, from a database that may not have
// one yet.
func storedSettings(ctx context.Context, db *store.DB) (map[string]string, error) {
	var rows []struct{ Name, Value string }
	if err := db.R.NewSelect().Table("setting").Column("name", "value").Scan(ctx, &rows); err != nil && !store.NoRows(err) {
		if migrations.Check(ctx, db.Bun()) != nil {
			return nil, nil // a fresh database has no table yet
		}
		return nil, store.Busy(err)
	}
	out := map[string]string{}
	for _, r := range rows {
		out[r.Name] = r.Value
	}
	return out, nil
}

// withStored completes the settings with those of the table.
func withStored(ctx context.Context, v config.Values) (config.Values, config.Config, error) {
	c, err := v.Parse(true)
	if err != nil {
		return nil, c, err
	}
	db, err := OpenStore(ctx, c)
	if err != nil {
		return nil, c, err
	}
	defer func() { _ = db.Close() }()
	stored, err := storedSettings(ctx, db)
	if err != nil {
		return nil, c, err
	}
	v = v.WithStored(stored)
	c, err = v.Parse(true)
	return v, c, err
}

// saveSettings writes settings of the set-up; now is business time.
func saveSettings(ctx context.Context, db *store.DB, now time.Time, values map[string]string) error {
	known := map[string]bool{}
	for _, o := range config.Options {
		known[o.Name] = o.Stored
	}
	_, err := store.InTx(ctx, db, store.Internal("settings"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		for name, value := range values {
			if !known[name] {
				return struct{}{}, fmt.Errorf("the setting %s is not kept in the database", name)
			}
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, at = EXCLUDED.at`,
				name, value, now)
		}
		return struct{}{}, nil
	})
	return err
}

// checkSettings refuses values that no start could work with, each by its name.
func checkSettings(values map[string]string, key []byte) error {
	v, err := config.Read(config.Flags{SecretKey: hex.EncodeToString(key)}, func(string) (string, bool) { return "", false }, values)
	if err != nil {
		return err
	}
	c, err := v.Parse(false)
	if err != nil {
		for name := range values {
			if strings.Contains(err.Error(), name+" (from stored)") {
				return fault.Input(name, "这一项填得不对", "this is not a valid value").Because(err)
			}
		}
		return err
	}
	if _, err := mailSender(c); err != nil {
		return fault.Input("mail-from", "发件地址填得不对，应像 kelian@example.edu", "the sender's address is not valid; write it like kelian@example.edu").Because(err)
	}
	return nil
}

// watchSettings ends the run when the table holds other settings than those
// that this process runs with, whichever process saved them.
func (a *App) watchSettings(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(settingsPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.saved:
		case <-tick.C:
		}
		stored, err := storedSettings(ctx, a.DB)
		if err != nil {
			continue // the database is away; the next look is soon
		}
		v := a.options.settings.WithStored(stored)
		if v.Same(a.options.settings) {
			continue
		}
		if _, err := v.Parse(false); err != nil {
			a.Log.Error("the settings in the database cannot be used; the old ones stay", "error", err)
			continue
		}
		a.Log.Info("the settings have changed; going on with the new ones")
		end(errResettled)
		return
	}
}

// installer keeps what the set-up page asks for.
type installer struct{ a *App }

func (i installer) Present(context.Context) (web.Install, error) {
	c := i.a.Config
	return web.Install{Federation: c.FederationName, PublicURL: c.PublicURL, Timezone: c.Timezone.String(), MailHost: c.Mail.Host,
		MailPort: itoa(c.Mail.Port), MailUser: c.Mail.User, MailFrom: c.Mail.From, MailTLS: c.Mail.TLS}, nil
}

func (i installer) Save(ctx context.Context, in web.Install) error {
	values := map[string]string{"federation-name": in.Federation, "public-url": in.PublicURL, "timezone": in.Timezone, "mail-host": in.MailHost,
		"mail-port": in.MailPort, "mail-user": in.MailUser, "mail-from": in.MailFrom, "mail-tls": in.MailTLS}
	for name, v := range values {
		if v == "" {
			delete(values, name)
		}
	}
	if err := checkSettings(values, i.a.Config.SecretKey); err != nil {
		return err
	}
	if err := saveSettings(ctx, i.a.DB, i.a.Clock.Now(), values); err != nil {
		return err
	}
	select {
	case i.a.saved <- struct{}{}:
	default:
	}
	return nil
}
