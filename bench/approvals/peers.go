package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"kelian/bench/internal/place"
	"kelian/internal/id"
)

// door is a server of the API with a session for each person.
type door struct {
	*httptest.Server
	tokens map[id.ID]string
}

func newDoor(ctx context.Context, p *place.Place) (*door, error) {
	h, err := p.API()
	if err != nil {
		return nil, err
	}
	d := &door{Server: httptest.NewServer(h), tokens: map[id.ID]string{}}
	d.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	for i, who := range p.People {
		if d.tokens[who], err = p.Token(ctx, i); err != nil {
			return nil, err
		}
	}
	return d, nil
}

const decideTask = `mutation($in:DecideTaskInput!){decideTask(input:$in){request{number status} userErrors{code message}}}`

func (d *door) decide(ctx context.Context, t place.Task) error {
	body, _ := json.Marshal(map[string]any{"query": decideTask, "variables": map[string]any{"in": map[string]any{
		"task": t.ID.TypeID("tsk"), "verdict": "APPROVE", "formRev": 1, "idempotencyKey": id.New().String()}}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+d.tokens[t.Person])
	res, err := d.Client().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Contains(raw, []byte(`"userErrors":[]`)) {
		err = fmt.Errorf("%s", raw)
	}
	return err
}

// bare is the loop that SQLite is measured against: the statements of a
// decision, prepared, sixteen decisions in each commit.
func bare(ctx context.Context, path string, d time.Duration) (place.Result, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return place.Result{}, err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	texts := []string{
		`INSERT INTO idempotency VALUES (?1, '{}')`,
		`UPDATE task SET state = 'done', verdict = 'approve' WHERE id = ?1 AND state = 'open'`,
		`INSERT INTO decision VALUES (?1, 'approve', ?2)`,
		`INSERT INTO event VALUES (?1, ?2, ?2)`,
		`UPDATE request SET seq = seq + 1, head = ?2 WHERE id = ?1`,
		`INSERT INTO outbox VALUES (?1, 'workflow.changed', '{}')`,
	}
	for _, q := range []string{
		`CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, outcome TEXT)`, `CREATE TABLE IF NOT EXISTS task (id TEXT PRIMARY KEY, state TEXT, verdict TEXT)`,
		`CREATE TABLE IF NOT EXISTS request (id TEXT PRIMARY KEY, seq INTEGER, head TEXT)`, `CREATE TABLE IF NOT EXISTS decision (id TEXT PRIMARY KEY, verdict TEXT, digest TEXT)`,
		`CREATE TABLE IF NOT EXISTS event (request TEXT PRIMARY KEY, body TEXT, hash TEXT)`, `CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, topic TEXT, payload TEXT)`,
	} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return place.Result{}, err
		}
	}
	keys := make([]string, 20_000)
	if err := seed(ctx, db, keys); err != nil {
		return place.Result{}, err
	}
	began, cpu, n := time.Now(), place.CPU(), 0
	for n+16 <= len(keys) && time.Since(began) < d {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return place.Result{}, err
		}
		for _, key := range keys[n : n+16] {
			var open int
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM task WHERE id = ?1 AND state = 'open'`, key).Scan(&open); err != nil {
				return place.Result{}, err
			}
			sum := sha256.Sum256([]byte(key))
			for _, q := range texts {
				args := []any{key, hex.EncodeToString(sum[:])}
				if !bytes.Contains([]byte(q), []byte("?2")) {
					args = args[:1]
				}
				if _, err := tx.ExecContext(ctx, q, args...); err != nil {
					return place.Result{}, err
				}
			}
		}
		if err := tx.Commit(); err != nil {
			return place.Result{}, err
		}
		n += 16
	}
	return place.Result{N: n, Took: time.Since(began), CPU: place.CPU() - cpu}, nil
}

func seed(ctx context.Context, db *sql.DB, keys []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i := range keys {
		keys[i] = id.New().String()
		for _, q := range []string{`INSERT INTO task VALUES (?1, 'open', '')`, `INSERT INTO request VALUES (?1, 0, '')`} {
			if _, err := tx.ExecContext(ctx, q, keys[i]); err != nil {
				_ = tx.Rollback()
				return err
			}
		}
	}
	return tx.Commit()
}
