package org

import (
	"context"
	"slices"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Profile is a person as the actor may see one: officers see officers' names
// and seats; the number is masked but to oneself and the head of the office.
type Profile struct {
	ID      id.ID
	Kind    PersonKind
	Name    string
	Pinyin  string
	Number  string
	Campus  string
	Erased  bool
	Tenures []TenureView
}

// TenureView is a tenure with the words for it.
type TenureView struct {
	ID          id.ID
	Person      id.ID
	Seat, Unit  string
	Role        Role
	Kind        TenureKind
	TitleZh     string
	TitleEn     string
	From, Until time.Time
}

// Title is what is shown: a member on probation is 试用干事, who acts for a
// vacant seat 代理部长.
func (t TenureView) Title(lang string) string {
	if lang == "en" {
		switch t.Kind {
		case Probation:
			return t.TitleEn + " on probation"
		case Acting:
			return "Acting " + strings.ToLower(t.TitleEn)
		}
		return t.TitleEn
	}
	switch t.Kind {
	case Probation:
		return "试用" + t.TitleZh
	case Acting:
		return "代理" + t.TitleZh
	}
	return t.TitleZh
}

// Units reads every unit; they are public.
func (s *Service) Units(ctx context.Context, actor Actor) ([]Unit, error) {
	if err := s.rules.Check(actor, "org.unit.read", Object{}); err != nil {
		return nil, err
	}
	return Units(ctx, s.db.R)
}

// Unit reads one unit; they are public.
func (s *Service) Unit(ctx context.Context, actor Actor, code string) (Unit, error) {
	if err := s.rules.Check(actor, "org.unit.read", Object{Unit: code}); err != nil {
		return Unit{}, err
	}
	return UnitByCode(ctx, s.db.R, code)
}

// Seats reads the seats of a unit ("" = all); they are public.
func (s *Service) Seats(ctx context.Context, actor Actor, unit string) ([]Seat, error) {
	if err := s.rules.Check(actor, "org.unit.read", Object{Unit: unit}); err != nil {
		return nil, err
	}
	return Seats(ctx, s.db.R, unit)
}

// Members gives the people on the seats of a unit now, in the order of the
// seats' ranks and then of pinyin. Who has no account sees no names.
func (s *Service) Members(ctx context.Context, actor Actor, unit string) ([]Profile, error) {
	if err := s.rules.Check(actor, "org.person.read", Object{Unit: unit}); err != nil {
		return nil, err
	}
	now := s.clock.Now()
	var people []id.ID
	err := s.db.R.NewRaw(`SELECT DISTINCT tenure.person_id FROM tenure JOIN seat ON seat.id = tenure.seat_id JOIN unit ON unit.id = seat.unit_id
		WHERE unit.code = ? AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?)`, unit, now, now).Scan(ctx, &people)
	if err := noRows(err); err != nil {
		return nil, err
	}
	out, err := s.profiles(ctx, actor, people, now)
	slices.SortStableFunc(out, func(a, b Profile) int { return rankIn(a, unit) - rankIn(b, unit) })
	return out, err
}

var rankOrder = []Role{Secretary, Chair, Head, Vice, Deputy, Teacher, Advisor, Finance, Keeper, Trainer, Technician, Member}

func rankIn(p Profile, unit string) int {
	best := len(rankOrder)
	for _, t := range p.Tenures {
		if t.Unit == unit {
			best = min(best, slices.Index(rankOrder, t.Role))
		}
	}
	return best
}

// People reads several people at once, for loaders; those whom the actor may
// not see are left out, erased ones come back without a name.
func (s *Service) People(ctx context.Context, actor Actor, ids ...id.ID) ([]Profile, error) {
	if err := s.rules.Check(actor, "org.person.read", Object{}); err != nil {
		return nil, err
	}
	return s.profiles(ctx, actor, ids, s.clock.Now())
}

// Find searches officers by name, pinyin or initials, sorted by pinyin.
func (s *Service) Find(ctx context.Context, actor Actor, text string, n int) ([]Profile, error) {
	if err := s.rules.Check(actor, "org.person.read", Object{}); err != nil {
		return nil, err
	}
	terms := store.SearchTerms(text)
	if len(terms) == 0 || n < 1 || n > store.PageMax {
		return nil, nil
	}
	var ids []id.ID
	sel := s.db.R.NewSelect().ColumnExpr("person.id").TableExpr("person").Where("person.kind = ?", Officer).Where("person.erased_at IS NULL")
	for _, term := range terms {
		sel = sel.Where(`person.search LIKE ? ESCAPE '\'`, term)
	}
	sel = sel.Join("JOIN personal AS p ON p.subject = person.id AND p.field = ?", FieldPinyin).OrderExpr("p.value, person.id").Limit(int64(n))
	if err := noRows(sel.Scan(ctx, &ids)); err != nil {
		return nil, err
	}
	return s.profiles(ctx, actor, ids, s.clock.Now())
}

// profiles builds what the actor may see of people, sorted by pinyin. The seats
// that decide it are those of the last Judge; a list of names is no decision.
func (s *Service) profiles(ctx context.Context, actor Actor, ids []id.ID, now time.Time) ([]Profile, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []Person
	if err := noRows(s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)); err != nil {
		return nil, err
	}
	values, err := PersonalOf(ctx, s.db.R, ids...)
	if err != nil {
		return nil, err
	}
	tenures, err := s.tenureViews(ctx, ids, now)
	if err != nil {
		return nil, err
	}
	var out []Profile
	for _, p := range rows {
		full := s.rules.Can(actor, "org.person.contacts", Object{Owner: p.ID})
		if p.Kind != Officer && !full && len(tenures[p.ID]) == 0 {
			continue // students and outsiders are not listed to every officer
		}
		v := values[p.ID]
		view := Profile{ID: p.ID, Kind: p.Kind, Name: v[FieldName], Pinyin: v[FieldPinyin], Number: v[FieldNumber], Campus: v[FieldCampus],
			Erased: !p.ErasedAt.IsZero(), Tenures: tenures[p.ID]}
		if view.Name == "" {
			view.Name = Erased
		}
		if !full {
			view.Number = MaskNumber(view.Number)
		}
		out = append(out, view)
	}
	slices.SortFunc(out, func(a, b Profile) int {
		if c := strings.Compare(a.Pinyin, b.Pinyin); c != 0 {
			return c
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return out, nil
}

func (s *Service) tenureViews(ctx context.Context, people []id.ID, now time.Time) (map[id.ID][]TenureView, error) {
	var rows []TenureView
	err := s.db.R.NewRaw(tenureColumns+`WHERE tenure.person_id IN (?) AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?)
		ORDER BY seat.name`, bun.List(people), now, now).Scan(ctx, &rows)
	return group(rows, func(t TenureView) id.ID { return t.Person }), noRows(err)
}

// Contacts shows the ways to reach a person to that person and to the head of
// the office; a look at somebody else's is recorded.
func (s *Service) Contacts(ctx context.Context, actor Actor, person id.ID) ([]Contact, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.Internal("org.contacts"), func(ctx context.Context, tx *store.Tx) ([]Contact, error) {
		a, err := Judge(ctx, tx, actor, now)
		if err != nil {
			return nil, err
		}
		if !s.rules.Can(a, "org.person.contacts", Object{Owner: person}) {
			if a.Anonymous() {
				return nil, fault.SignIn()
			}
			return nil, fault.Missing() // the same for people who are not there
		}
		if _, err := livePerson(ctx, tx, person); err != nil {
			return nil, err
		}
		out, err := Contacts(ctx, tx, person)
		if err == nil && a.Person != person {
			audit.Record(tx, audit.Entry{Actor: a.Person, Seat: "office.head", Action: "org.person.look", Object: personRef(person), At: now})
		}
		return out, err
	})
}
