package repair

import (
	"context"
	"slices"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// View is a ticket as somebody may see it.
type View struct {
	ID             id.ID
	Number         string // 2026-0417
	Source         Source
	Kind           Kind
	State          State
	Reason         string
	Title          Words
	Device         bool
	Building       string // the technical department and the reporter
	Text           string // the technical department and the reporter
	Reporter       string // masked: 张*; in full to the reporter only
	ReporterNumber string // masked: 2023****15
	College        string // the reporter only
	Owner          id.ID  // the reporter's account
	Worker         id.ID
	WorkerName     string
	Assignment     id.ID
	Why            Words // why this person was asked
	Skills         []string
	Certificates   []string
	Incident       id.ID
	Request        id.ID
	Unassigned     bool
	CreatedAt      time.Time
	TriagedAt      time.Time
	StartedAt      time.Time
	FixedAt        time.Time
	ClosedAt       time.Time
	Due            time.Time     // moves on while paused
	Late           bool          // due, not finished, and not paused
	Paused         bool          // the clock stands still
	PausedFor      time.Duration // in all, up to now
	Worked         time.Duration // from the report to the repair, or to now, without the pauses
	Erased         bool
	Version        int64
	Actions        []Action // what the viewer may do now
}

// Cursor is the place after this ticket in a list.
func (v View) Cursor() string { return store.Cursor(v.CreatedAt, v.ID) }

// Filter narrows a list; zero fields do not.
type Filter struct {
	States   []State
	Kinds    []Kind
	Source   Source
	Open     bool  // nobody has finished it
	Mine     bool  // given to the actor
	Reported bool  // by the actor's account
	Incident id.ID // its ticket and the reports that follow it
	Number   string
}

// Tickets lists tickets, newest first: all of them to the technical department,
// the chairs and the League Committee, to others those they reported or have.
// more says that another page follows.
func (s *Service) Tickets(ctx context.Context, actor org.Actor, f Filter, page store.Page) (rows []View, more bool, err error) {
	if err := page.Check(); err != nil {
		return nil, false, err
	}
	actor, q, err := s.list(ctx, actor, f)
	if err != nil {
		return nil, false, err
	}
	at, after, _ := page.At()
	if page.After != "" {
		q = q.Where("(created_at, id) < (?, ?)", at, after)
	}
	var tickets []Ticket
	err = q.Model(&tickets).OrderExpr("created_at DESC, id DESC").Limit(int64(page.First) + 1).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, false, store.Busy(err)
	}
	if len(tickets) > page.First {
		tickets, more = tickets[:page.First], true
	}
	rows, err = s.views(ctx, actor, tickets, func(t *Ticket) []Role { return rolesOf(actor, t) })
	return rows, more, err
}

// Count says how many tickets the list has in all.
func (s *Service) Count(ctx context.Context, actor org.Actor, f Filter) (int, error) {
	_, q, err := s.list(ctx, actor, f)
	if err != nil {
		return 0, err
	}
	var n int
	err = q.Model((*Ticket)(nil)).ColumnExpr("count(*)").Scan(ctx, &n)
	return n, store.Busy(err)
}

func (s *Service) list(ctx context.Context, actor org.Actor, f Filter) (org.Actor, *bun.SelectQuery, error) {
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return actor, nil, err
	}
	if actor.Anonymous() {
		return actor, nil, fault.SignIn()
	}
	q := s.db.R.NewSelect()
	if !s.rules.Can(actor, "repair.read", org.Object{Unit: "technical"}) {
		q = q.Where("owner = ? OR worker = ?", actor.Person, actor.Person)
	}
	if len(f.States) > 0 {
		q = q.Where("state IN (?)", bun.List(f.States))
	}
	if len(f.Kinds) > 0 {
		q = q.Where("kind IN (?)", bun.List(f.Kinds))
	}
	if f.Source != "" {
		q = q.Where("source = ?", f.Source)
	}
	if f.Open {
		q = q.Where("state IN ('SUBMITTED', 'TRIAGED', 'ASSIGNED', 'IN_PROGRESS', 'WAITING_PARTS', 'WAITING_OWNER')")
	}
	if f.Mine {
		q = q.Where("worker = ?", actor.Person)
	}
	if f.Reported {
		q = q.Where("owner = ?", actor.Person)
	}
	if !f.Incident.IsZero() {
		q = q.Where("incident = ?", f.Incident)
	}
	if f.Number != "" {
		q = q.Where("number = ?", f.Number)
	}
	return actor, q, nil
}

// Ticket reads one ticket; what the actor may not see is absent.
func (s *Service) Ticket(ctx context.Context, actor org.Actor, ticket id.ID) (View, error) {
	found, err := s.Many(ctx, actor, ticket)
	if err != nil {
		return View{}, err
	}
	v, ok := found[ticket]
	if !ok {
		return View{}, fault.Missing()
	}
	return v, nil
}

// Many reads tickets by id, for loaders; those that are absent or foreign are
// not in the map.
func (s *Service) Many(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]View, error) {
	out := map[id.ID]View{}
	if len(ids) == 0 {
		return out, nil
	}
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, err
	}
	var tickets []Ticket
	err = s.db.R.NewSelect().Model(&tickets).Where("id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	tickets = slices.DeleteFunc(tickets, func(t Ticket) bool { return !actor.System && !s.rules.Can(actor, "repair.read", t.object()) })
	views, err := s.views(ctx, actor, tickets, func(t *Ticket) []Role { return rolesOf(actor, t) })
	for _, v := range views {
		out[v.ID] = v
	}
	return out, err
}

// views turns tickets into what the actor sees, with one read each for names,
// values and assignments.
func (s *Service) views(ctx context.Context, actor org.Actor, tickets []Ticket, roles func(*Ticket) []Role) ([]View, error) {
	now := s.clock.Now()
	var ids, people, asked []id.ID
	for _, t := range tickets {
		ids = append(ids, t.ID)
		if !t.Worker.IsZero() {
			people, asked = append(people, t.Worker), append(asked, t.Assignment)
		}
	}
	values, err := org.PersonalOf(ctx, s.db.R, ids...)
	if err != nil {
		return nil, err
	}
	assignments, err := dispatch.ByID(ctx, s.db.R, asked...)
	if err != nil {
		return nil, err
	}
	for _, a := range assignments {
		people = append(people, a.Explanation().People()...)
	}
	names, err := org.Names(ctx, s.db.R, people...)
	if err != nil {
		return nil, err
	}
	out := make([]View, len(tickets))
	for i := range tickets {
		t := &tickets[i]
		r := roles(t)
		v := t.view(now)
		own := values[t.ID]
		v.Reporter, v.ReporterNumber = org.Mask(own[fieldName]), org.MaskNumber(own[fieldNumber])
		if len(r) > 0 {
			v.Building, v.Text = own[fieldBuilding], own[fieldText]
		}
		v.WorkerName = names[t.Worker]
		if a := assignments[t.Assignment]; a != nil && !slices.Equal(r, []Role{Reporter}) {
			v.Why = a.Explanation().Sentence(names)
		}
		v.Actions = s.actions(actor, t, r)
		out[i] = v
	}
	return out, nil
}

func (t *Ticket) view(now time.Time) View {
	return View{ID: t.ID, Number: t.Number, Source: t.Source, Kind: t.Kind, State: t.State, Reason: t.Reason, Title: t.title(), Device: t.Device,
		Owner: t.Owner, Worker: t.Worker, Assignment: t.Assignment, Skills: split(t.Skills), Certificates: split(t.Certificates),
		Incident: t.Incident, Request: t.Request, Unassigned: t.Unassigned, CreatedAt: t.CreatedAt, TriagedAt: t.TriagedAt, StartedAt: t.StartedAt,
		FixedAt: t.FixedAt, ClosedAt: t.ClosedAt, Due: t.Due(now), Late: !t.State.over() && !t.State.waiting() && now.After(t.DueAt),
		Paused: t.State.waiting(), PausedFor: t.Paused(now), Worked: t.Worked(now), Erased: !t.ErasedAt.IsZero(), Version: t.Version}
}

// actions lists what the viewer may do now, in the machine's order. The holder
// of a link has the reporter's.
func (s *Service) actions(actor org.Actor, t *Ticket, roles []Role) []Action {
	var out []Action
	for _, m := range Machine {
		if slices.Contains(out, m.Action) || m.Action == ActDispatch {
			continue
		}
		if _, ok := Next(m.Action, t.State, roles); !ok {
			continue
		}
		if !actor.Anonymous() && !s.rules.Can(actor, "repair."+string(m.Action), t.object()) {
			continue
		}
		if m.Action == ActClose && t.Device && t.State != Returned || m.Action == ActReturn && !t.Device || m.Action == ActReopen && t.State == Cancelled && t.Reason != ReasonRecovered {
			continue
		}
		out = append(out, m.Action)
	}
	return out
}

// Find gives tickets whose number begins with the text, for the search of all
// desks: references with a title, at most n.
func (s *Service) Find(ctx context.Context, actor org.Actor, text string, n int) ([]View, error) {
	if len(text) < 2 || len(text) > 20 {
		return nil, nil
	}
	actor, q, err := s.list(ctx, actor, Filter{})
	if err != nil {
		return nil, err
	}
	var tickets []Ticket
	err = q.Model(&tickets).Where("substr(number, 1, ?) = ? OR substr(number, 6) = ?", len(text), text, text).OrderExpr("created_at DESC, id DESC").Limit(int64(n)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return s.views(ctx, actor, tickets, func(t *Ticket) []Role { return rolesOf(actor, t) })
}

// Brief gives what of a ticket may be said to anybody at all: its number, kind
// and state. An absent one is fault.Missing.
func (s *Service) Brief(ctx context.Context, q bun.IDB, ticket id.ID) (number string, kind Kind, state State, err error) {
	var t Ticket
	err = q.NewSelect().Model(&t).Column("number", "kind", "state").Where("id = ?", ticket).Scan(ctx)
	if store.NoRows(err) {
		return "", "", "", fault.Missing()
	}
	return t.Number, t.Kind, t.State, store.Busy(err)
}
