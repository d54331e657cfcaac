package repair

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// The personal values of a ticket; their subject is the ticket. The contact
// stands in the field of its kind, where notifications read it.
const (
	fieldName     = "repair.name"
	fieldNumber   = "repair.number"
	fieldCollege  = "repair.college"
	fieldBuilding = "repair.building"
	fieldRoom     = "repair.room"
	fieldText     = FieldText
	fieldNote     = "repair.note."
)

var contactKinds = []string{"phone", "qq", "wechat", "email"}

func noteField(entry id.ID) string { return fieldNote + entry.String() }

// FieldText is what the reporter wrote; the photos of the report last as long.
const FieldText = "repair.text"

// ConsentPurpose and ConsentVersion name the text that a reporter agrees to.
// A change of ConsentText is a new version.
const (
	ConsentPurpose = "repair"
	ConsentVersion = "2026-09"
)

// ConsentText is what a reporter agrees to, liability included.
var ConsentText = Words{
	Zh: "我同意科联为处理这次报修使用我填写的姓名、学号、学院、地点和联系方式。只有接单的技术员能看到联系方式，每次查看都有记录；报修结束 30 天后自动删除，我也可以随时用链接删除。维修是学生志愿服务：请先备份数据，已损坏的设备可能无法修复。",
	En: "I agree that the federation uses the name, number, college, place and contact that I enter to handle this repair. Only the technician who takes it sees the contact, and each look is recorded; all of it is deleted 30 days after the end, or by me at any time by the link. Repairs are made by student volunteers: back up your data first; a damaged device may be beyond repair.",
}

func init() {
	kept := org.Text{Zh: "报修结束后 30 天", En: "30 days after the repair ended"}
	ask := org.Text{Zh: "科联技术部", En: "the technical department"}
	holder := org.Text{Zh: "接单的技术员，每次查看留痕；列表只显示 张*", En: "the technician who took the repair, each look is recorded; lists show 张* only"}
	desk := org.Text{Zh: "技术部人员", En: "the technical department"}
	for _, f := range []org.Field{
		{Name: fieldName, Label: org.Text{Zh: "报修人姓名", En: "the reporter's name"}, Purpose: org.Text{Zh: "联系和归还设备", En: "contacting the reporter and returning the device"}, Sees: holder},
		{Name: fieldNumber, Label: org.Text{Zh: "报修人学号", En: "the reporter's number"}, Purpose: org.Text{Zh: "归还设备时核对", En: "checking who collects the device"}, Sees: holder},
		{Name: fieldCollege, Label: org.Text{Zh: "报修人学院", En: "the reporter's college"}, Purpose: org.Text{Zh: "按学院统计服务", En: "counting the service by college"}, Sees: holder},
		{Name: fieldRoom, Label: org.Text{Zh: "房间", En: "room"}, Purpose: org.Text{Zh: "上门处理网络故障", En: "visiting for a network fault"}, Sees: holder},
		{Name: fieldBuilding, Label: org.Text{Zh: "楼栋", En: "building"}, Purpose: org.Text{Zh: "判断是否属于网络故障、就近派单", En: "telling whether it is part of an outage; finding somebody near"}, Sees: desk},
		{Name: fieldText, Label: org.Text{Zh: "报修内容", En: "what is broken"}, Purpose: org.Text{Zh: "判断故障、安排技术员", En: "judging the fault and finding a technician"}, Sees: desk},
		{Name: fieldNote + "*", Label: org.Text{Zh: "处理记录", En: "notes"}, Purpose: org.Text{Zh: "记录处理过程", En: "keeping what was done"},
			Sees: org.Text{Zh: "技术部人员；标为公开的，报修人也能看到", En: "the technical department; the reporter sees those marked public"}},
	} {
		f.Basis, f.Retention, f.Contact = org.ByConsent, kept, ask
		org.RegisterFields(f)
	}
	for _, k := range contactKinds {
		// Shared by every case of somebody without an account.
		if _, ok := org.RegisteredField(k); ok {
			continue
		}
		known, _ := org.RegisteredField("contact." + k)
		org.RegisterFields(org.Field{Name: k, Label: known.Label, Basis: org.ByConsent, Sees: holder, Retention: kept, Contact: ask,
			Purpose: org.Text{Zh: "告知没有账号的同学办理进展", En: "telling somebody without an account how their case stands"}})
	}
}

// erase forgets the ticket's reporter: values, notes, and what the contact and
// the link are recognised by. What was done stays. A ticket that somebody is
// working on is refused: the reporter could not be reached.
func (a *act) erase() error {
	t := a.t
	switch {
	case !t.ErasedAt.IsZero():
		return nil
	case t.State == Submitted || t.State == Triaged || t.State == Assigned:
		a.roles = append(a.roles, Reporter)
		if err := a.cancel(Cancelled); err != nil {
			return err
		}
	case (t.State == Fixed || t.State == Unfixable) && !t.Device || t.State == Returned:
		if err := a.close(Closed); err != nil {
			return err
		}
	case t.State != Closed && t.State != Cancelled:
		return fault.Refuse("STILL_OPEN", "报修还在处理中或设备还没取回，结束后才能删除；也可以先取消",
			"the repair is under way or the device was not collected; erase it after its end, or cancel it first")
	}
	t.Contact, t.Place, t.LinkHash, t.ErasedAt = "", "", "", a.now
	org.WithdrawConsent(a.tx, t.ID, ConsentPurpose, a.now)
	a.enter(ActErase, t.State)
	return org.Erase(a.ctx, a.tx, t.ID, a.now)
}

// Erase forgets the reporter of a ticket, by the reporter's account or by the
// head of the office.
func (s *Service) Erase(ctx context.Context, actor org.Actor, ticket id.ID, key string) (Outcome, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "eraseRepair", key, ticket), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		r := store.NewReads(tx)
		judged, locked := org.AskJudge(r, actor, now), s.askTicket(r, tx, ticket)
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		actor, err := judged()
		if err != nil {
			return Outcome{}, err
		}
		t, err := locked()
		if err != nil {
			return Outcome{}, err
		}
		if !s.rules.Can(actor, "repair.erase", t.object()) && !s.rules.Can(actor, "repair.read", t.object()) {
			return Outcome{}, fault.Missing()
		}
		if err := s.rules.Check(actor, "repair.erase", t.object()); err != nil {
			return Outcome{}, err
		}
		a := &act{ctx: ctx, tx: tx, s: s, now: now, actor: actor, roles: rolesOf(actor, t), t: t}
		if err := a.erase(); err != nil {
			return Outcome{}, err
		}
		return a.save(), nil
	})
}

// EraseOwned erases what the desk keeps about a person whose account reported,
// as an org.Eraser. A ticket under way refuses.
func (s *Service) EraseOwned(ctx context.Context, tx *store.Tx, person id.ID, at time.Time) error {
	return s.eraseEach(ctx, tx, at, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("owner = ?", person).OrderExpr("id") })
}

// PurgeBatch bounds one transaction of Purge.
const PurgeBatch = 100

// Purge erases the reporters of tickets that ended KeepPersonal ago and says
// how many; call it again until it says 0.
func (s *Service) Purge(ctx context.Context) (int, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.Internal("repair.purge"), func(ctx context.Context, tx *store.Tx) (int, error) {
		n := 0
		err := s.eraseEach(ctx, tx, now, func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("closed_at <= ?", now.Add(-KeepPersonal)).OrderExpr("closed_at").Limit(PurgeBatch)
		}, func() { n++ })
		tx.QueueSQL(`DELETE FROM repair_contact WHERE day < ?`, s.day(now.AddDate(0, 0, -1)))
		return n, err
	})
}

func (s *Service) eraseEach(ctx context.Context, tx *store.Tx, at time.Time, pick func(*bun.SelectQuery) *bun.SelectQuery, each ...func()) error {
	var ids []id.ID
	err := pick(tx.NewSelect().Table("ticket").Column("id").Where("erased_at IS NULL")).Scan(ctx, &ids)
	if err != nil && !store.NoRows(err) {
		return err
	}
	for _, i := range ids {
		t, err := s.lock(ctx, tx, i)
		if err != nil {
			return err
		}
		a := &act{ctx: ctx, tx: tx, s: s, now: at, actor: org.System(), t: t}
		if err := a.erase(); err != nil {
			return err
		}
		a.save()
		for _, fn := range each {
			fn()
		}
	}
	return nil
}

// ExportOwned gives what the desk keeps about a person whose account reported,
// for org.Exporter.
func (s *Service) ExportOwned(ctx context.Context, q bun.IDB, person id.ID) (any, error) {
	var tickets []Ticket
	err := q.NewSelect().Model(&tickets).Where("owner = ?", person).OrderExpr("created_at, id").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	ids := make([]id.ID, len(tickets))
	for i := range tickets {
		ids[i] = tickets[i].ID
	}
	values, err := org.PersonalOf(ctx, q, ids...)
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, t := range tickets {
		out = append(out, map[string]any{"number": t.Number, "kind": t.Kind, "state": t.State, "at": t.CreatedAt, "values": ownValues(values[t.ID])})
	}
	return out, nil
}

// ownValues are the reporter's own, without the technicians' notes.
func ownValues(values map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range values {
		if !strings.HasPrefix(k, fieldNote) {
			out[strings.TrimPrefix(k, "repair.")] = v
		}
	}
	return out
}
