package calendar

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"kelian/internal/fault"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// The university's Settings stand as JSON under settingName, an imported notice
// under noticeName and its year.
const (
	settingName = "calendar"
	noticeName  = "calendar.notice."
)

// TopicChanged says that days may have become other days; nothing is in it.
const TopicChanged = "org.calendar.changed"

// Memory is how long a process may go on with a calendar that it has read.
const Memory = time.Minute

// Load makes the calendar from what is stored; without any of it, it knows the
// public holidays only.
func Load(ctx context.Context, q bun.IDB, loc *time.Location) (*Calendar, error) {
	r := store.NewReads(q)
	known := Ask(r, loc)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	return known()
}

// built is the calendar that was made last, and of what: it is asked for at many
// commands and changes a few times a year.
type built struct {
	loc *time.Location
	of  string
	cal *Calendar
}

var last atomic.Pointer[built]

// Ask is Load beside other reads; it answers once they have run.
func Ask(r *store.Reads, loc *time.Location) func() (*Calendar, error) {
	stored := ask(r)
	return func() (*Calendar, error) {
		rows := stored()
		var text strings.Builder
		for _, row := range rows {
			text.WriteString(row.Name + "\n" + row.Value + "\n")
		}
		if b := last.Load(); b != nil && b.loc == loc && b.of == text.String() {
			return b.cal, nil
		}
		s, notices, err := read(rows)
		if err != nil {
			return nil, err
		}
		cal, err := New(loc, s, notices...)
		if err == nil {
			last.Store(&built{loc, text.String(), cal})
		}
		return cal, err
	}
}

// Stored reads the university's settings and the imported notices.
func Stored(ctx context.Context, q bun.IDB) (Settings, []Notice, error) {
	r := store.NewReads(q)
	stored := ask(r)
	if err := r.Run(ctx); err != nil {
		return Settings{}, nil, err
	}
	return read(stored())
}

type setting struct{ Name, Value string }

func ask(r *store.Reads) func() []setting {
	var rows []setting
	r.SQL(&rows, `SELECT name, value FROM setting WHERE name = ? OR name LIKE ? ORDER BY name`, settingName, noticeName+"%")
	return func() []setting { return rows }
}

func read(rows []setting) (s Settings, notices []Notice, err error) {
	for _, row := range rows {
		if row.Name == settingName {
			err = json.Unmarshal([]byte(row.Value), &s)
		} else {
			var n Notice
			err = json.Unmarshal([]byte(row.Value), &n)
			notices = append(notices, n)
		}
		if err != nil {
			return s, nil, fmt.Errorf("calendar: the stored setting %s cannot be read: %w", row.Name, err)
		}
	}
	return s, notices, nil
}

// Store writes the university's settings with the transaction, if they make a
// calendar.
func Store(tx *store.Tx, s Settings, at time.Time) error {
	if _, err := New(time.UTC, s); err != nil {
		return fault.Input("calendar", "校历无效：学期第一天必须是周一，学期不能重叠，日期写成 2026-09-07，每类岗位的时段按先后写、不能重叠", err.Error()).Because(err)
	}
	return put(tx, settingName, s, at)
}

// StoreNotice writes a notice with the transaction; it takes the place of what
// was known of its year.
func StoreNotice(tx *store.Tx, n Notice, at time.Time) error {
	if err := n.check(); err != nil {
		return err
	}
	return put(tx, fmt.Sprintf("%s%d", noticeName, n.Year), n, at)
}

// put tells of the change twice: a process may have gone on with what it had
// read before, and opened a step by it.
func put(tx *store.Tx, name string, value any, at time.Time) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, at = EXCLUDED.at`,
		name, string(raw), at)
	outbox.Put(tx, outbox.Event{Topic: TopicChanged})
	outbox.Put(tx, outbox.Event{Topic: TopicChanged, DueAt: at.Add(2 * Memory)})
	return nil
}
