package auth

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

func init() {
	org.RegisterFields(org.Field{Name: "account.login", Label: org.Text{Zh: "登录名", En: "sign-in name"}, Basis: org.ByDuty,
		Purpose:   org.Text{Zh: "登录", En: "signing in"},
		Sees:      org.Text{Zh: "本人", En: "the person"},
		Retention: org.Text{Zh: "随账号删除", En: "until the account is erased"},
	}, org.Field{Name: "session.device", Label: org.Text{Zh: "登录过的设备", En: "devices signed in"}, Basis: org.ByDuty,
		Purpose:   org.Text{Zh: "让本人看到并退出别处的登录", En: "letting the person see and end sessions elsewhere"},
		Sees:      org.Text{Zh: "本人", En: "the person"},
		Retention: org.Text{Zh: "到登录失效，最长 30 天", En: "until the session ends, at most 30 days"},
	})
}

// EraseAccount is auth's org.Eraser: nothing of the account stays, neither
// sessions nor tokens nor what the person was to claim.
func (s *Service) EraseAccount(ctx context.Context, tx *store.Tx, person id.ID, _ time.Time) error {
	var names []string
	err := tx.NewRaw(`SELECT login FROM account WHERE person_id = ? UNION SELECT value FROM personal WHERE subject = ? AND field = 'number'`, person, person).Scan(ctx, &names)
	if err != nil && !store.NoRows(err) {
		return err
	}
	for _, n := range names {
		for _, kind := range []string{"", "reset ", "claim "} {
			tx.QueueSQL(`DELETE FROM throttle WHERE key = ?`, s.keyed("account", kind+canonical(n)))
		}
	}
	for _, stmt := range []string{
		`DELETE FROM session WHERE person_id = ?`,
		`DELETE FROM api_token WHERE person_id = ?`,
		`DELETE FROM auth_link WHERE person_id = ?`,
		`DELETE FROM roster WHERE person_id = ?`,
		`DELETE FROM account WHERE person_id = ?`,
	} {
		tx.QueueSQL(stmt, person)
	}
	return nil
}

// ExportAccount is auth's section of what a person can take along: no secret
// and no hash of one.
func (s *Service) ExportAccount() org.Exporter {
	return org.Exporter{Name: "account", Of: func(ctx context.Context, q bun.IDB, person id.ID) (any, error) {
		out := map[string]any{}
		for name, stmt := range map[string]string{
			"account":  `SELECT login, state, changed_at, created_at FROM account WHERE person_id = ?`,
			"sessions": `SELECT device, own, created_at, seen_at, expires_at FROM session WHERE person_id = ? ORDER BY created_at`,
			"tokens":   `SELECT name, scopes, created_at, expires_at, used_at FROM api_token WHERE person_id = ? ORDER BY created_at`,
		} {
			rows := []map[string]any{}
			if err := q.NewRaw(stmt, person).Scan(ctx, &rows); err != nil && !store.NoRows(err) {
				return nil, store.Busy(err)
			}
			out[name] = rows
		}
		return out, nil
	}}
}

// Purge deletes sessions, tokens, links and counters whose time is over, and
// says how many; the daily job of retention calls it.
func (s *Service) Purge(ctx context.Context) (int, error) {
	now := s.clock.Now()
	return inTx(ctx, s, "auth.purge", func(ctx context.Context, tx *store.Tx) (int, error) {
		total := 0
		for _, x := range []struct {
			stmt   string
			before time.Time
		}{
			{`DELETE FROM session WHERE expires_at <= ?`, now},
			{`DELETE FROM api_token WHERE expires_at <= ?`, now.Add(-keepLinks)},
			{`DELETE FROM roster WHERE state = 'WAITING' AND created_at <= ?`, now.Add(-unclaimed)},
			{`DELETE FROM auth_link WHERE expires_at <= ? AND NOT EXISTS (SELECT 1 FROM roster WHERE roster.link_id = auth_link.id)`, now.Add(-keepLinks)},
			{`DELETE FROM throttle WHERE at <= ?`, now.Add(-24 * time.Hour)},
		} {
			res, err := tx.NewRaw(x.stmt, x.before).Exec(ctx)
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
	})
}

// keepLinks is how long what has expired is still listed.
const keepLinks = 90 * 24 * time.Hour
