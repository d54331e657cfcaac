package app_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kelian/internal/app"
	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/testkit"
	"kelian/org/calendar"
)

// The command tells what it would do, does it, and refuses a file that is no
// notice.
func TestHolidaysAreImportedFromTheConsole(t *testing.T) {
	ctx := context.Background()
	address := testkit.SQLiteURL(t)
	db := testkit.Open(t, address)
	dir := t.TempDir()
	write := func(text string) string {
		t.Helper()
		file := filepath.Join(dir, "notice.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	v, err := config.Read(config.Flags{DataDir: dir, SecretKey: hex.EncodeToString(testkit.Key), DatabaseURL: address},
		func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	works := func() bool {
		t.Helper()
		c, err := calendar.Load(ctx, db.R, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return c.IsWorkingDay(time.Date(2027, 2, 8, 12, 0, 0, 0, time.UTC))
	}
	file := write(`{"year": 2027, "days": [{"name": "春节", "date": "2027-02-08", "isOffDay": true}]}`)
	var out bytes.Buffer
	if err := app.ImportHolidays(ctx, v, file, true, &out); err != nil || !works() || !strings.Contains(out.String(), "1 days off, 0 make-up") {
		t.Fatalf("%v %s", err, out.String())
	}
	if err := app.ImportHolidays(ctx, v, file, false, &out); err != nil || works() {
		t.Fatalf("%v %s", err, out.String())
	}
	var waiting int
	if err := db.R.NewRaw(`SELECT count(*) FROM outbox WHERE topic = ? AND state = 'pending'`, calendar.TopicChanged).Scan(ctx, &waiting); err != nil || waiting != 2 {
		t.Fatalf("a running service finds %d nudges, %v", waiting, err)
	}
	if err := app.ImportHolidays(ctx, v, write(`{"year": 2027, "days": []}`), false, &out); !fault.Is(err, fault.BadUserInput) {
		t.Fatal(err)
	}
}
