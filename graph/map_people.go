package graph

import (
	"context"
	"strings"

	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
)

// done is the payload of a mutation that makes nothing to show.
func (r *Resolver) done(ctx context.Context, err error, names ...string) (model.DonePayload, error) {
	refused, err := r.refusals(ctx, err, names...)
	return model.DonePayload{Done: err == nil && refused == nil, UserErrors: refused}, err
}

// personOr reads the identifier of a person; null is the caller, or nobody for
// a caller without an account.
func (r *Resolver) personOr(ctx context.Context, s *string) (id.ID, error) {
	if s == nil {
		return actorOf(ctx).Person, nil
	}
	return parse("per", *s, "person")
}

func (r *Resolver) tenure(ctx context.Context, v org.TenureView) model.Tenure {
	return model.Tenure{ID: v.ID.TypeID("ten"), Person: r.person(ctx, v.Person, ""), Seat: v.Seat, Title: text(v.Title("zh"), v.Title("en")),
		Kind: model.TenureKind(v.Kind), From: v.From, Until: when(v.Until)}
}

func (r *Resolver) tenurePayload(ctx context.Context, out org.TenureOutcome, err error) (model.TenurePayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.TenurePayload{UserErrors: refused}, err
	}
	v, err := r.Org.Tenure(ctx, actorOf(ctx), out.Tenure)
	if err != nil {
		return model.TenurePayload{}, gone(err)
	}
	t := r.tenure(ctx, v)
	return model.TenurePayload{Tenure: &t}, nil
}

func (r *Resolver) unitPayload(ctx context.Context, code string, err error) (model.UnitPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.UnitPayload{UserErrors: refused}, err
	}
	f, err := r.fed(ctx)
	if err != nil {
		return model.UnitPayload{}, err
	}
	u := unitOf(f.byCode[code])
	return model.UnitPayload{Unit: &u}, nil
}

func (r *Resolver) personPayload(ctx context.Context, who id.ID, err error, names ...string) (model.PersonPayload, error) {
	refused, err := r.refusals(ctx, err, names...)
	if err != nil || refused != nil {
		return model.PersonPayload{UserErrors: refused}, err
	}
	return model.PersonPayload{Person: r.personOrNil(ctx, who, "")}, nil
}

func (r *Resolver) viewerPayload(ctx context.Context, err error) (model.ViewerPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.ViewerPayload{UserErrors: refused}, err
	}
	return model.ViewerPayload{Viewer: r.viewer(ctx)}, nil
}

func (r *Resolver) delegation(ctx context.Context, d org.DelegationView) model.Delegation {
	return model.Delegation{ID: d.ID.TypeID("dlg"), Seat: d.Name, Giver: r.person(ctx, d.From, ""), Receiver: r.person(ctx, d.To, ""), From: d.Begin, Until: d.End}
}

func (r *Resolver) absence(ctx context.Context, a org.Absence) model.Absence {
	return model.Absence{ID: a.ID.TypeID("abs"), Person: r.person(ctx, a.Person, ""), From: a.From, Until: a.Until}
}

func (r *Resolver) right(ctx context.Context, q org.RightsRequest) model.RightsRequest {
	out := model.RightsRequest{ID: q.ID.TypeID("rgt"), Kind: model.RightKind(q.Kind), Door: q.Door, AskedAt: q.AskedAt, DueAt: q.DueAt, DoneAt: when(q.DoneAt)}
	if q.Door != "link" { // behind a link stands a case, not somebody with an account
		out.Person = r.personOrNil(ctx, q.Subject, "")
	}
	return out
}

func skillOf(k org.Skill) model.Skill {
	return model.Skill{Name: k.Name, Certificate: k.Certificate, From: k.From, Until: when(k.Until)}
}

func freeHourOf(h org.FreeHour) model.FreeHour {
	return model.FreeHour{Weekday: h.Weekday, Parity: model.WeekParity(strings.ToUpper(h.Parity)), FromMinute: h.FromMin, ToMinute: h.ToMin}
}

func contactOf(c org.Contact) (model.Contact, bool) {
	kind := kindOfContact(c.Kind)
	if kind == nil {
		return model.Contact{}, false
	}
	return model.Contact{Kind: *kind, Value: c.Value, Verified: c.Verified}, true
}

// contact reads a contact of the input.
func contact(c model.ContactInput) org.Contact {
	return org.Contact{Kind: contactKinds[c.Kind], Value: c.Value}
}

// corrections are the fields that a correction names.
func corrections(in model.CorrectPersonInput) map[string]string {
	out := map[string]string{}
	for field, v := range map[string]*string{org.FieldName: in.Name, org.FieldNumber: in.Number, org.FieldPinyin: in.Pinyin, org.FieldCollege: in.College,
		org.FieldClass: in.Class, org.FieldGrade: in.Grade, org.FieldCampus: in.Campus} {
		if v != nil {
			out[field] = *v
		}
	}
	return out
}

// strangerKey refuses a key that somebody else could hit upon: whoever has no
// account shares the keys with everybody else who has none.
func strangerKey(ctx context.Context, key string) error {
	if whoOf(ctx).Anonymous() && len(key) < 22 {
		return fault.Input("idempotencyKey", "未登录时，幂等键至少要 128 位随机数", "without an account the idempotency key needs at least 128 random bits")
	}
	return nil
}

func (r *Resolver) delegationPayload(ctx context.Context, out org.DelegationOutcome, err error) (model.DelegationPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.DelegationPayload{UserErrors: refused}, err
	}
	list, err := r.Org.Delegations(ctx, actorOf(ctx))
	for _, d := range list {
		if d.ID == out.Delegation {
			v := r.delegation(ctx, d)
			return model.DelegationPayload{Delegation: &v}, nil
		}
	}
	return model.DelegationPayload{}, err
}

func (r *Resolver) absencePayload(ctx context.Context, out org.AbsenceOutcome, err error) (model.AbsencePayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.AbsencePayload{UserErrors: refused}, err
	}
	list, err := r.Org.Absences(ctx, actorOf(ctx))
	for _, a := range list {
		if a.ID == out.Absence {
			v := r.absence(ctx, a)
			return model.AbsencePayload{Absence: &v}, nil
		}
	}
	return model.AbsencePayload{}, err
}

func (r *Resolver) rightPayload(ctx context.Context, out org.RightsOutcome, err error) (model.RightsRequestPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.RightsRequestPayload{UserErrors: refused}, err
	}
	list, err := r.Org.OwnRights(ctx, actorOf(ctx))
	for _, q := range list {
		if q.ID == out.Request {
			v := r.right(ctx, q)
			return model.RightsRequestPayload{Request: &v}, nil
		}
	}
	return model.RightsRequestPayload{}, err
}
