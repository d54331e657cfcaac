package workflow

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// InboxItem is an open task of the reader.
type InboxItem struct {
	Task       id.ID
	Request    id.ID
	Number     string
	Definition string
	Kind       flow.Text // the definition's title
	Title      string    // the request's
	Step       string
	StepTitle  flow.Text
	Seat       string // under which one is asked
	For        id.ID  // on whose behalf, by delegation
	Unit       string
	Requester  id.ID
	Name       string // the requester's
	Urgent     bool
	FormRev    int
	Points     int // the most that the answer gives; 0 = none are asked
	OpenedAt   time.Time
	DueAt      time.Time // zero = never
	Cursor     string
}

type inboxRow struct {
	ID         id.ID
	RequestID  id.ID
	Step       string
	Seat       string
	ForPerson  id.ID
	Within     string
	OpenedAt   time.Time
	DueAt      time.Time `bun:",nullzero"`
	Series     string
	Year       int
	Serial     int64
	Definition string
	VersionID  id.ID
	Title      string
	Unit       string
	Requester  id.ID
	Urgent     bool
	FormRev    int
	Name       *string
}

const inboxSQL = `SELECT t.id, t.request_id, t.step, t.seat, t.for_person, t.within, t.opened_at, t.due_at,
	r.series, r.year, r.serial, r.definition, r.version_id, r.title, r.unit, r.requester, r.urgent, r.form_rev, p.value AS name
	FROM task AS t JOIN request AS r ON r.id = t.request_id LEFT JOIN personal AS p ON p.subject = r.requester AND p.field = 'name'
	WHERE t.person = ? AND t.state = 'open' AND t.id < ? ORDER BY t.id DESC LIMIT ?`

var inboxHot = store.NewHot("inbox", inboxSQL)

// last sorts behind every identifier.
var last = id.ID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Inbox lists the reader's open tasks, the newest first.
func (s *Service) Inbox(ctx context.Context, actor org.Actor, page store.Page) (items []InboxItem, more bool, err error) {
	if actor.Person.IsZero() {
		return nil, false, fault.SignIn()
	}
	if err := page.Check(); err != nil {
		return nil, false, err
	}
	_, before, _ := page.At()
	if before.IsZero() {
		before = last
	}
	var rows []inboxRow
	if err := inboxHot.Scan(ctx, s.db, &rows, actor.Person.String(), before.String(), page.First+1); err != nil {
		return nil, false, err
	}
	if more = len(rows) > page.First; more {
		rows = rows[:page.First]
	}
	items = make([]InboxItem, 0, len(rows))
	for _, r := range rows {
		d, err := s.version(ctx, s.db.R, r.VersionID)
		if err != nil {
			return nil, false, err
		}
		x := InboxItem{Task: r.ID, Request: r.RequestID, Number: Number(r.Series, r.Year, r.Serial), Definition: r.Definition, Kind: d.Flow.Title,
			Title: r.Title, Step: r.Step, Seat: r.Seat, For: r.ForPerson, Unit: r.Unit, Requester: r.Requester, Name: org.Erased, Urgent: r.Urgent,
			FormRev: r.FormRev, OpenedAt: r.OpenedAt, DueAt: r.DueAt, Cursor: store.Cursor(r.OpenedAt, r.ID)}
		if r.Name != nil {
			x.Name = *r.Name
		}
		if step := d.Flow.Step(r.Step); step != nil {
			x.StepTitle, x.Points = step.Title, step.Rule.Points(r.Within)
		}
		items = append(items, x)
	}
	return items, more, nil
}

// InboxCount counts the reader's open tasks.
func (s *Service) InboxCount(ctx context.Context, actor org.Actor) (int, error) {
	if actor.Person.IsZero() {
		return 0, fault.SignIn()
	}
	var n int
	err := s.db.R.NewRaw(`SELECT count(*) FROM task WHERE person = ? AND state = 'open'`, actor.Person).Scan(ctx, &n)
	return n, store.Busy(err)
}

// Filter narrows a list of requests; what is empty does not.
type Filter struct {
	Mine       bool // the reader's own
	Unit       string
	Definition string
	Status     []flow.Status
	Text       string // words of the title, or digits of the number
}

// Summary is a request in a list.
type Summary struct {
	ID         id.ID
	Number     string
	Definition string
	Kind       flow.Text
	Title      string
	Unit       string
	Requester  id.ID
	Status     flow.Status
	Urgent     bool
	FormRev    int
	OpenedAt   time.Time
	ChangedAt  time.Time
	ClosedAt   time.Time
	// Amends is the approved request that this one is to take the place of;
	// zero = none. CloseOutDue is when the report is due, ClosedOutAt when it came.
	Amends      id.ID
	CloseOutDue time.Time
	ClosedOutAt time.Time
	Cursor      string
}

// TitleIn is the title in both languages.
func (s Summary) TitleIn() flow.Text { return titled(s.Kind, s.Title) }

// Requests lists what the reader may see, the newest first.
func (s *Service) Requests(ctx context.Context, actor org.Actor, f Filter, page store.Page) (list []Summary, more bool, err error) {
	if actor.Anonymous() {
		return nil, false, fault.SignIn()
	}
	if err := page.Check(); err != nil {
		return nil, false, err
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return nil, false, err
	}
	at, before, _ := page.At()
	var rows []row
	q := s.visible(s.db.R.NewSelect().Model(&rows).ExcludeColumn("form", "apart", "state", "search"), a)
	q = f.apply(q, a)
	if !before.IsZero() {
		q = q.Where("(request.opened_at, request.id) < (?, ?)", at, before)
	}
	err = q.OrderExpr("request.opened_at DESC, request.id DESC").Limit(int64(page.First) + 1).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, false, store.Busy(err)
	}
	if more = len(rows) > page.First; more {
		rows = rows[:page.First]
	}
	list = make([]Summary, 0, len(rows))
	for i := range rows {
		x, err := s.summary(ctx, &rows[i])
		if err != nil {
			return nil, false, err
		}
		list = append(list, x)
	}
	return list, more, nil
}

func (s *Service) summary(ctx context.Context, r *row) (Summary, error) {
	d, err := s.version(ctx, s.db.R, r.VersionID)
	if err != nil {
		return Summary{}, err
	}
	return Summary{ID: r.ID, Number: r.number(), Definition: r.Definition, Kind: d.Flow.Title, Title: r.Title, Unit: r.Unit, Requester: r.Requester,
		Status: r.Status, Urgent: r.Urgent, FormRev: r.FormRev, OpenedAt: r.OpenedAt, ChangedAt: r.ChangedAt, ClosedAt: r.ClosedAt,
		Amends: r.Amends, CloseOutDue: r.CloseOutDue, ClosedOutAt: r.ClosedOutAt, Cursor: store.Cursor(r.OpenedAt, r.ID)}, nil
}

// visible says in SQL what canRead says of one request.
func (s *Service) visible(q *bun.SelectQuery, a org.Actor) *bun.SelectQuery {
	if s.rules.Can(a, "workflow.read", org.Object{}) {
		return q
	}
	return q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Where("request.requester = ?", a.Person).
			WhereOr("EXISTS (SELECT 1 FROM task WHERE task.request_id = request.id AND (task.person = ? OR task.for_person = ?))", a.Person, a.Person).
			WhereOr("EXISTS (SELECT 1 FROM watcher WHERE watcher.request_id = request.id AND watcher.person = ?)", a.Person)
		for _, h := range a.Seats {
			if leads(h) && (a.Acting == "" || a.Acting == h.Seat) {
				q = q.WhereOr("request.unit = ?", h.Unit).WhereOr("request.unit LIKE ?", h.Unit+".%")
			}
		}
		return q
	})
}

func (f Filter) apply(q *bun.SelectQuery, a org.Actor) *bun.SelectQuery {
	if f.Mine {
		q = q.Where("request.requester = ?", a.Person)
	}
	if f.Unit != "" {
		q = q.Where("request.unit = ?", f.Unit)
	}
	if f.Definition != "" {
		q = q.Where("request.definition = ?", f.Definition)
	}
	if len(f.Status) > 0 {
		q = q.Where("request.status IN (?)", bun.List(f.Status))
	}
	text := strings.TrimSpace(f.Text)
	if n, ok := serialIn(text); ok {
		return q.Where("request.serial = ?", n)
	}
	for _, term := range store.SearchTerms(text) {
		q = q.Where(`request.search LIKE ? ESCAPE '\'`, term)
	}
	return q
}

// serialIn reads the serial out of a number or its end: 123, 第0123号,
// 科联审〔2026〕第0123号.
func serialIn(text string) (int64, bool) {
	if _, after, ok := strings.Cut(text, "第"); ok {
		text = strings.TrimSuffix(after, "号")
	}
	var n int64
	for _, r := range text {
		if r < '0' || r > '9' || n > 1e12 {
			return 0, false
		}
		n = n*10 + int64(r-'0')
	}
	return n, n > 0
}

// Find searches the requests that the reader may see, at most n.
func (s *Service) Find(ctx context.Context, actor org.Actor, text string, n int) ([]Summary, error) {
	list, _, err := s.Requests(ctx, actor, Filter{Text: text}, store.Page{First: min(max(n, 1), store.PageMax)})
	return list, err
}

// MayRead says whether the actor may see the request; an absent one is not
// seen by anybody.
func (s *Service) MayRead(ctx context.Context, actor org.Actor, request id.ID) (bool, error) {
	_, _, _, _, err := s.open(ctx, actor, request)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated) {
		return false, nil
	}
	return err == nil, err
}

// open reads a request that the actor may see; absent and foreign are the same
// fault.Missing.
func (s *Service) open(ctx context.Context, actor org.Actor, request id.ID) (*row, flow.State, *Definition, org.Actor, error) {
	fail := func(err error) (*row, flow.State, *Definition, org.Actor, error) {
		return nil, flow.State{}, nil, actor, err
	}
	if actor.Anonymous() {
		return fail(fault.SignIn())
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return fail(err)
	}
	r, st, d, err := s.get(ctx, s.db.R, request)
	if err != nil {
		return fail(err)
	}
	if !s.canRead(a, r, st) {
		return fail(fault.Missing())
	}
	return r, st, d, a, nil
}

// get reads a request for callers that have their own rule.
func (s *Service) get(ctx context.Context, q bun.IDB, request id.ID) (*row, flow.State, *Definition, error) {
	r := new(row)
	err := q.NewSelect().Model(r).Where("id = ?", request).Scan(ctx)
	if store.NoRows(err) {
		return nil, flow.State{}, nil, fault.Missing()
	}
	if err != nil {
		return nil, flow.State{}, nil, store.Busy(err)
	}
	st, err := readState(r.State)
	if err != nil {
		return nil, st, nil, err
	}
	d, err := s.version(ctx, q, r.VersionID)
	return r, st, d, err
}

// Meta is what a desk that acts on a request needs to know beside the form.
type Meta struct {
	Request    id.ID
	Number     string
	Definition string
	Hash       string // of the version's text
	Kind       flow.Text
	Title      string
	Unit       string
	Requester  id.ID
	Status     flow.Status
	FormRev    int
	OpenedAt   time.Time
	ClosedAt   time.Time
	Amends     id.ID // zero = none
}

// TitleIn is the title in both languages.
func (m Meta) TitleIn() flow.Text { return titled(m.Kind, m.Title) }

// FormOf gives a request's current form with personal values, as far as they
// are not erased: whole numbers are int64, lists []any, objects
// map[string]any. It takes no actor: it is for handlers of effects.
func (s *Service) FormOf(ctx context.Context, q bun.IDB, request id.ID) (map[string]any, Meta, error) {
	r, _, d, err := s.get(ctx, q, request)
	if err != nil {
		return nil, Meta{}, err
	}
	f := stored(r.Form)
	if places := readApart(r.Apart); len(places) > 0 {
		values, err := org.PersonalOf(ctx, q, r.ID)
		if err != nil {
			return nil, Meta{}, err
		}
		f = f.with(known(places, values[r.ID]))
	}
	return f.plainForm(), Meta{Request: r.ID, Number: r.number(), Definition: r.Definition, Hash: d.Flow.Hash, Kind: d.Flow.Title, Title: r.Title, Unit: r.Unit,
		Requester: r.Requester, Status: r.Status, FormRev: r.FormRev, OpenedAt: r.OpenedAt, ClosedAt: r.ClosedAt, Amends: r.Amends}, nil
}

// known gives the personal leaves that are still there, by pointer.
func known(places apart, values map[string]string) map[string]string {
	out := map[string]string{}
	for pointer, field := range places {
		if v, ok := values[field]; ok {
			out[pointer] = v
		}
	}
	return out
}

// Brief gives what of a request may be said to anybody at all: its number and
// workflow. An absent one is fault.Missing.
func (s *Service) Brief(ctx context.Context, q bun.IDB, request id.ID) (number, definition string, err error) {
	r := new(row)
	err = q.NewSelect().Model(r).Column("series", "year", "serial", "definition").Where("id = ?", request).Scan(ctx)
	if store.NoRows(err) {
		return "", "", fault.Missing()
	}
	return r.number(), r.Definition, store.Busy(err)
}
