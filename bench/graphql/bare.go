package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kelian/bench/internal/place"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// The statements of the domains, see workflow.Sheet, workflow.Inbox and
// netmon.Sheet.
var (
	requestHot = store.NewHot("bench.request", `SELECT id, series, year, serial, definition, version_id, requester, unit, title, status, urgent,
		form_rev, state, opened_at, changed_at, closed_at FROM request WHERE id = ?`)
	textsHot = store.NewHot("bench.texts", `SELECT 'text' AS kind, field, value, subject, 0 AS seq FROM personal WHERE subject = ?
		UNION ALL SELECT 'name', '', p.value, p.subject, 0 FROM personal AS p WHERE p.field = 'name' AND p.subject IN (
			SELECT person FROM task WHERE request_id = ? UNION SELECT for_person FROM task WHERE request_id = ?
			UNION SELECT closed_by FROM task WHERE request_id = ? UNION SELECT requester FROM request WHERE id = ?)
		UNION ALL SELECT 'event', '', body, request_id, seq FROM event WHERE request_id = ? AND type = 'sent_back' ORDER BY 5`)
	inboxHot = store.NewHot("bench.inbox", `SELECT t.id, t.request_id, t.step, t.seat, t.for_person, t.opened_at, t.due_at,
		r.series, r.year, r.serial, r.definition, r.version_id, r.title, r.unit, r.requester, r.urgent, r.form_rev, p.value AS name
		FROM task AS t JOIN request AS r ON r.id = t.request_id LEFT JOIN personal AS p ON p.subject = r.requester AND p.field = 'name'
		WHERE t.person = ? AND t.state = 'open' AND t.id < ? ORDER BY t.id DESC LIMIT 21`)
	incidentsHot = store.NewHot("bench.incidents", `SELECT i.*, n.node, n.host, n.role FROM (
			SELECT id, number, opened_at, closed_at, title_zh, title_en, why_zh, why_en FROM incident WHERE (opened_at, id) < (?, ?)
			ORDER BY opened_at DESC, id DESC LIMIT 21
		) AS i LEFT JOIN incident_node AS n ON n.incident = i.id AND n.left_epoch IS NULL ORDER BY i.opened_at DESC, i.id DESC, n.host, n.node`)
	decideHot = store.NewHot("bench.decide", `SELECT bench_decide() AS done`)
)

type requestRow struct {
	ID, VersionID, Requester                id.ID
	Series, Definition, Unit, Title, Status string
	Year, FormRev                           int
	Serial                                  int64
	Urgent                                  bool
	State                                   json.RawMessage
	OpenedAt, ChangedAt                     time.Time
	ClosedAt                                time.Time `bun:",nullzero"`
}

type textRow struct {
	Kind, Field, Value string
	Subject            id.ID
	Seq                int64
}

type inboxRow struct {
	ID, RequestID, ForPerson, VersionID, Requester    id.ID
	Step, Seat, Series, Definition, Title, Unit, Name string
	Year, FormRev                                     int
	Serial                                            int64
	Urgent                                            bool
	OpenedAt                                          time.Time
	DueAt                                             time.Time `bun:",nullzero"`
}

type incidentRow struct {
	ID, Node, Host                               id.ID
	Number, TitleZh, TitleEn, WhyZh, WhyEn, Role string
	OpenedAt                                     time.Time
	ClosedAt                                     time.Time `bun:",nullzero"`
}

// bareHandlers look the session up, run the statements and write the rows.
func bareHandlers(p *place.Place) *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(path string, read func(ctx context.Context, a org.Actor, r *http.Request) (any, error)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			a, _, err := p.Auth.Resolve(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			var v any
			if err == nil {
				v, err = read(r.Context(), a, r)
			}
			b, _ := json.Marshal(v)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b)
		})
	}
	handle("/request", func(ctx context.Context, _ org.Actor, r *http.Request) (any, error) {
		var rows []requestRow
		var texts []textRow
		k := r.URL.Query().Get("id")
		err := requestHot.Scan(ctx, p.DB, &rows, k)
		if err == nil {
			err = textsHot.Scan(ctx, p.DB, &texts, k, k, k, k, k, k)
		}
		return []any{rows, texts}, err
	})
	handle("/inbox", func(ctx context.Context, a org.Actor, _ *http.Request) (any, error) {
		var rows []inboxRow
		return &rows, inboxHot.Scan(ctx, p.DB, &rows, a.Person.String(), "ffffffff-ffff-ffff-ffff-ffffffffffff")
	})
	handle("/incidents", func(ctx context.Context, _ org.Actor, _ *http.Request) (any, error) {
		var rows []incidentRow
		return &rows, incidentsHot.Scan(ctx, p.DB, &rows, store.Stamp(time.Now().AddDate(1, 0, 0)), id.New().String())
	})
	handle("/decide", func(ctx context.Context, _ org.Actor, _ *http.Request) (any, error) {
		var rows []struct{ Done bool }
		return &rows, decideHot.Scan(ctx, p.DB, &rows)
	})
	return mux
}
