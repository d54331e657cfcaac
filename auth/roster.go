package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// RosterRow is one line of the list that the office imports: who will sit
// where. Unit is a code or a name (技术部, 维修部, 计算机学院), Title the seat's
// title (部长, 干事, 试用干事) or its role.
type RosterRow struct{ Number, Name, Unit, Title string }

// RosterLine is what became of a row, by its place in the list from 1.
type RosterLine struct {
	Line  int
	State string // NEW, UPDATED, SAME; "" with Error
	Error *fault.Error
}

// Roster is what an import gives: one link for all of its newcomers.
type Roster struct {
	ID    id.ID
	Token string // of the claim link; valid for 30 days
	Lines []RosterLine
}

// rosterMax bounds one import.
const rosterMax = 2000

// unclaimed is how long the values of people who never claim are kept.
const unclaimed = 60 * 24 * time.Hour

// ImportRoster takes the office's list. Rows in error are left out and named;
// the others are taken. Importing a list again updates it. Nobody gets a seat
// or an account yet: newcomers claim it by the link, and the head of the unit
// confirms; those who have an account wait for the confirmation only.
func (s *Service) ImportRoster(ctx context.Context, actor org.Actor, rows []RosterRow) (Roster, error) {
	if len(rows) == 0 || len(rows) > rosterMax {
		return Roster{}, fault.Input("rows", "名单为 1 到 2000 行", "a list has 1 to 2000 rows")
	}
	now := s.clock.Now()
	made := s.newLink(LinkClaim, id.Nil, actor.Person, ClaimLink, now)
	lines, err := inTx(ctx, s, "auth.roster.import", func(ctx context.Context, tx *store.Tx) ([]RosterLine, error) {
		a, err := s.judge(ctx, tx, actor, now)
		if err != nil {
			return nil, err
		}
		if err := s.rules.Check(a, "auth.roster.import", org.Object{}); err != nil {
			return nil, err
		}
		if err := s.putLink(ctx, tx, made); err != nil {
			return nil, err
		}
		im, err := s.importer(ctx, tx, made.ID, now)
		if err != nil {
			return nil, err
		}
		var out []RosterLine
		taken := 0
		for i, r := range rows {
			state, err := im.row(r)
			refused, ok := fault.As(err)
			if err != nil && !ok {
				return nil, err
			}
			if err == nil {
				taken++
			}
			out = append(out, RosterLine{Line: i + 1, State: state, Error: refused})
		}
		s.record(tx, a, s.rules.Under(a, "auth.roster.import", org.Object{}), "auth.roster.import", id.Nil, map[string]any{"roster": made.ID, "rows": len(rows), "taken": taken}, now)
		return out, nil
	})
	if err != nil {
		return Roster{}, err
	}
	return Roster{ID: made.ID, Token: LinkToken(s.db.Key(), made.ID), Lines: lines}, nil
}

// importer knows what the rows of one import need, so that a list of 2000 is a
// handful of reads.
type importer struct {
	svc    *Service
	tx     *store.Tx
	link   id.ID
	now    time.Time
	units  map[string]string // code and names, lower case → code; "" = ambiguous
	seats  map[string][]org.Seat
	unitOf map[id.ID]string
	people map[string]known // by number
	open   map[[2]id.ID]rosterRow
	held   map[[2]id.ID]bool
	seen   map[string]int
}

type known struct {
	ID      id.ID
	Number  string
	Name    string
	Account AccountState
}

func (s *Service) importer(ctx context.Context, tx *store.Tx, link id.ID, now time.Time) (*importer, error) {
	im := &importer{svc: s, tx: tx, link: link, now: now, units: map[string]string{}, seats: map[string][]org.Seat{}, unitOf: map[id.ID]string{},
		people: map[string]known{}, open: map[[2]id.ID]rosterRow{}, held: map[[2]id.ID]bool{}, seen: map[string]int{}}
	units, err := org.Units(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, u := range units {
		im.unitOf[u.ID] = u.Code
		for _, n := range []string{u.Code, u.NameZh, u.NameEn, u.ShortZh, u.ShortEn} {
			n = strings.ToLower(strings.TrimSpace(n))
			if have, ok := im.units[n]; ok && have != u.Code {
				im.units[n] = ""
				continue
			}
			im.units[n] = u.Code
		}
	}
	seats, err := org.Seats(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	for _, seat := range seats {
		im.seats[im.unitOf[seat.UnitID]] = append(im.seats[im.unitOf[seat.UnitID]], seat)
	}
	var people []known
	err = tx.NewRaw(`SELECT n.subject AS id, n.value AS number, coalesce(m.value, '') AS name, coalesce(a.state, '') AS account FROM personal AS n
		LEFT JOIN personal AS m ON m.subject = n.subject AND m.field = 'name' LEFT JOIN account AS a ON a.person_id = n.subject WHERE n.field = 'number'`).Scan(ctx, &people)
	if err != nil && !store.NoRows(err) {
		return nil, err
	}
	for _, p := range people {
		im.people[strings.ToLower(p.Number)] = p
	}
	var rows []rosterRow
	if err = tx.NewSelect().Model(&rows).Where("state <> 'CONFIRMED'").Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, err
	}
	for _, r := range rows {
		im.open[[2]id.ID{r.PersonID, r.SeatID}] = r
	}
	var tenures []org.Tenure
	err = tx.NewSelect().Model(&tenures).Where("until_at IS NULL OR until_at > ?", now).Scan(ctx)
	for _, t := range tenures {
		im.held[[2]id.ID{t.PersonID, t.SeatID}] = true
	}
	if store.NoRows(err) {
		err = nil
	}
	return im, err
}

// row takes one line of the list and says whether it was new.
func (im *importer) row(r RosterRow) (string, error) {
	name, err := org.CheckName(r.Name)
	if err != nil {
		return "", err
	}
	number, err := org.CheckNumber(r.Number)
	if err != nil {
		return "", err
	}
	seat, kind, err := im.find(r.Unit, r.Title)
	if err != nil {
		return "", err
	}
	key := strings.ToLower(number) + " " + seat.Name
	im.seen[key]++
	if im.seen[key] > 1 {
		return "", fault.Input("number", "名单里有重复的一行", "the list has this row twice")
	}
	p, have := im.people[strings.ToLower(number)]
	switch {
	case have && p.Name != name && p.Account != "":
		return "", fault.Input("name", "这个学号已属于另一个姓名；请核对，或由办公室更正姓名", "the number belongs to another name; check it, or have the office correct the name")
	case have && p.Name != name:
		org.SetPersonal(im.tx, im.svc.db.Key(), p.ID, im.now, im.now.Add(unclaimed), map[string]string{org.FieldName: name})
		im.tx.QueueSQL(`UPDATE person SET search = ? WHERE id = ?`, store.SearchText(name), p.ID)
	case !have:
		p = known{Number: number, Name: name}
		if p.ID, err = org.AddPerson(im.tx, org.NewPerson{Kind: org.Officer, Name: name, Number: number, Until: im.now.Add(unclaimed)}, im.now); err != nil {
			return "", err
		}
	}
	renamed := have && p.Name != name
	p.Name = name
	im.people[strings.ToLower(number)] = p
	return im.put(p, seat, kind, renamed), nil
}

// put writes the roster row of a person and seat, or moves the open one into
// this import.
func (im *importer) put(p known, seat org.Seat, kind org.TenureKind, renamed bool) string {
	at := [2]id.ID{p.ID, seat.ID}
	if im.held[at] {
		return "SAME"
	}
	if old, ok := im.open[at]; ok {
		im.tx.QueueSQL(`UPDATE roster SET link_id = ?, kind = ? WHERE id = ?`, im.link, kind, old.ID)
		if old.Kind == kind && !renamed {
			return "SAME"
		}
		return "UPDATED"
	}
	row := rosterRow{ID: id.New(), LinkID: im.link, PersonID: p.ID, SeatID: seat.ID, Kind: kind, State: "WAITING", CreatedAt: im.now}
	if p.Account == Active || p.Account == Pending { // has an account: nothing to claim
		row.State, row.ClaimedAt = "CLAIMED", im.now
	}
	im.tx.Queue(im.svc.db.Bun().NewInsert().Model(&row))
	return "NEW"
}

// find reads a unit and a title as people write them.
func (im *importer) find(unit, title string) (org.Seat, org.TenureKind, error) {
	code := im.units[strings.ToLower(strings.TrimSpace(unit))]
	if code == "" {
		return org.Seat{}, "", fault.Input("unit", "没有这个单位，或者名称不唯一；可以写代码，例如 technical.maintenance", "there is no such unit, or the name is not unique; a code works too, e.g. technical.maintenance")
	}
	title = strings.TrimSpace(title)
	kind := org.Full
	for prefix, k := range map[string]org.TenureKind{"试用": org.Probation, "代理": org.Acting} {
		if rest, ok := strings.CutPrefix(title, prefix); ok {
			title, kind = rest, k
		}
	}
	for _, s := range im.seats[code] {
		if title == s.TitleZh || strings.EqualFold(title, s.TitleEn) || strings.EqualFold(title, string(s.Role)) {
			return s, kind, nil
		}
	}
	var names []string
	for _, s := range im.seats[code] {
		names = append(names, s.TitleZh)
	}
	list := strings.Join(names, "、")
	return org.Seat{}, "", fault.Input("title", fmt.Sprintf("这个单位没有这个职务；它有：%s", list), fmt.Sprintf("the unit has no such title; it has: %s", list))
}

// claimed tells those who confirm, by the event auth.claimed {unit, seat}.
func claimed(tx *store.Tx, unit id.ID, seat string) {
	outbox.Put(tx, outbox.Event{Topic: "auth.claimed", Aggregate: unit, Payload: map[string]any{"unit": unit, "seat": seat}})
}
