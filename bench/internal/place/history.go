package place

import (
	"context"
	"fmt"
	"strings"
)

// History copies an open request of Submit's n times, each closed and with four
// tasks that are done; it is set-based.
func (p *Place) History(ctx context.Context, n int) error {
	return p.copies(ctx, n, "APPROVED", "done", 4)
}

// Waiting copies it n times as open requests with one task each, for the peer.
// The state inside of them names other tasks, so the service cannot decide them.
func (p *Place) Waiting(ctx context.Context, n int) error { return p.copies(ctx, n, "OPEN", "open", 1) }

// Inbox gives the keeper n open tasks, four for each of such requests.
func (p *Place) Inbox(ctx context.Context, n int) error { return p.copies(ctx, n/4, "OPEN", "open", 4) }

func (p *Place) copies(ctx context.Context, n int, status, state string, tasks int) error {
	const marks = "2025-01-01 00:00:00+00:00"
	var base struct{ N int64 }
	if err := p.DB.R.NewRaw(`SELECT COALESCE(max(serial), 0) AS n FROM request WHERE series = 'H'`).Scan(ctx, &base); err != nil {
		return err
	}
	newID, code, series := "gen_random_uuid()", "md5(random()::text || g.n)", fmt.Sprintf("generate_series(%d, %d) AS g(n)", base.N+1, base.N+int64(n))
	if !p.DB.Postgres() {
		newID, code = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(6)))", "lower(hex(randomblob(16)))"
		series = fmt.Sprintf("(WITH RECURSIVE g(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM g WHERE n < %d) SELECT n FROM g) AS g", base.N+1, base.N+int64(n))
	}
	closed := "NULL"
	if state == "done" {
		closed = "'" + marks + "'"
	}
	for _, q := range []string{
		`INSERT INTO request (id, series, year, serial, definition, version_id, requester, unit, title, status, urgent, form_rev, form, apart, state, seq, head, verify_code, search, opened_at, changed_at, closed_at)
			SELECT ` + newID + `, 'H', 2025, g.n, r.definition, r.version_id, r.requester, r.unit, r.title, '` + status + `', r.urgent, r.form_rev, r.form, r.apart, r.state, r.seq, r.head, ` + code + `, r.search, '` + marks + `', '` + marks + `', ` + closed + `
			FROM ` + series + `, (SELECT * FROM request WHERE series <> 'H' ORDER BY id LIMIT 1) AS r`,
		fmt.Sprintf(`INSERT INTO task (id, request_id, definition, name, step, round, person, seat, origin, state, verdict, opened_at, closed_at, closed_by, took)
			SELECT %s, r.id, r.definition, 'keep#1.' || k.n, 'keep', 1, ?, 'office.keeper', 'rule', '%s', %s, '%s', %s, NULL, NULL
			FROM request AS r, (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4) AS k WHERE r.series = 'H' AND r.serial > %d AND k.n <= %d`,
			newID, state, map[string]string{"done": "'approve'", "open": "''"}[state], marks, closed, base.N, tasks),
		"ANALYZE",
	} {
		if q == "ANALYZE" && !p.DB.Postgres() {
			continue // the service never runs it, PostgreSQL does by itself
		}
		var args []any
		if strings.Contains(q, "?") {
			args = []any{p.People[1]}
		}
		if _, err := p.DB.Bun().ExecContext(ctx, q, args...); err != nil {
			return err
		}
	}
	return nil
}

// Peer creates what one decision costs PostgreSQL when nothing but it is done:
// bench_decide() of the next waiting task.
func (p *Place) Peer(ctx context.Context) error {
	_, err := p.DB.Bun().ExecContext(ctx, peerSQL)
	return err
}

const peerSQL = `
CREATE TABLE bench_open AS SELECT row_number() OVER () AS n, t.id AS task, t.request_id AS request, t.person
	FROM request AS r JOIN task AS t ON t.request_id = r.id WHERE r.series = 'H' AND r.status = 'OPEN' AND t.state = 'open';
ALTER TABLE bench_open ADD PRIMARY KEY (n);
CREATE SEQUENCE bench_next;
CREATE FUNCTION bench_decide() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE o bench_open; r request; next bigint := nextval('bench_next'); open_left int; body text; sum text; k text := gen_random_uuid()::text;
BEGIN
	SELECT * INTO o FROM bench_open WHERE n = next;
	IF NOT FOUND THEN RAISE EXCEPTION 'no task is left'; END IF;
	INSERT INTO idempotency (actor, mutation, key, input_hash, at) VALUES (o.person::text, 'decideTask', k, md5(k), clock_timestamp()) ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN RETURN false; END IF;
	SELECT * INTO r FROM request WHERE id = o.request FOR UPDATE;
	UPDATE task SET state = 'done', verdict = 'approve', closed_at = clock_timestamp(), closed_by = o.person, took = 1 WHERE id = o.task AND state = 'open';
	IF NOT FOUND THEN RETURN false; END IF;
	INSERT INTO decision (id, request_id, task_id, person, seat, verdict, form_rev, read_digest, door, at)
		VALUES (gen_random_uuid(), o.request, o.task, o.person, 'office.keeper', 'approve', 1, md5(k), 'console', clock_timestamp());
	SELECT count(*) INTO open_left FROM task WHERE request_id = o.request AND state = 'open';
	body := json_build_object('type', 'vote_cast', 'task', o.task, 'by', o.person, 'left', open_left)::text;
	sum := encode(sha256(convert_to(r.head || (r.seq + 1) || body, 'UTF8')), 'hex');
	INSERT INTO event (request_id, seq, type, at, body, prev, hash) VALUES (o.request, r.seq + 1, 'vote_cast', clock_timestamp(), body, r.head, sum);
	UPDATE request SET state = r.state, seq = r.seq + 1, head = sum, changed_at = clock_timestamp() WHERE id = o.request;
	INSERT INTO outbox (id, topic, consumer, feed, queue, aggregate, version, payload, state, due_at)
		VALUES (gen_random_uuid(), 'workflow.changed', '', true, 'default', o.request, r.seq + 1, '{}', 'done', clock_timestamp());
	UPDATE idempotency SET outcome = '{}' WHERE actor = o.person::text AND mutation = 'decideTask' AND key = k;
	RETURN true;
END $$`
