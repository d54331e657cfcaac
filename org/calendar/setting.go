package calendar

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// settingName is where the university's Settings stand, as JSON.
const settingName = "calendar"

// Load makes the calendar from the stored settings; without any it knows the
// public holidays only.
func Load(ctx context.Context, q bun.IDB, loc *time.Location) (*Calendar, error) {
	s, err := Stored(ctx, q)
	if err != nil {
		return nil, err
	}
	return New(loc, s)
}

// Ask is Load beside other reads; it answers once they have run.
func Ask(r *store.Reads, loc *time.Location) func() (*Calendar, error) {
	stored := ask(r)
	return func() (*Calendar, error) {
		s, err := stored()
		if err != nil {
			return nil, err
		}
		return New(loc, s)
	}
}

// Stored reads the university's settings.
func Stored(ctx context.Context, q bun.IDB) (Settings, error) {
	r := store.NewReads(q)
	stored := ask(r)
	if err := r.Run(ctx); err != nil {
		return Settings{}, err
	}
	return stored()
}

func ask(r *store.Reads) func() (Settings, error) {
	var raw []string
	r.SQL(&raw, `SELECT value FROM setting WHERE name = ?`, settingName)
	return func() (s Settings, err error) {
		if len(raw) == 0 {
			return s, nil
		}
		if err := json.Unmarshal([]byte(raw[0]), &s); err != nil {
			return s, fmt.Errorf("calendar: the stored settings cannot be read: %w", err)
		}
		return s, nil
	}
}

// Store writes the university's settings with the transaction, if they make a
// calendar.
func Store(tx *store.Tx, s Settings, at time.Time) error {
	if _, err := New(time.UTC, s); err != nil {
		return fault.Input("calendar", "校历无效：学期第一天必须是周一，学期不能重叠，日期写成 2026-09-07", err.Error()).Because(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, at = EXCLUDED.at`,
		settingName, string(raw), at)
	return nil
}
