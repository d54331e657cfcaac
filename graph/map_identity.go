package graph

import (
	"context"
	"strings"

	"kelian/auth"
	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/org"
)

func sessionOf(s auth.SessionInfo, current id.ID) model.Session {
	return model.Session{ID: s.ID.TypeID("ses"), Device: s.Device, OwnDevice: s.Own, Current: s.ID == current, CreatedAt: s.Created, SeenAt: s.Seen, ExpiresAt: s.Expires}
}

func tokenOf(t auth.TokenInfo) model.APIToken {
	return model.APIToken{ID: t.ID.TypeID("tok"), Name: t.Name, Hint: t.Hint, Scopes: t.Scopes, CreatedAt: t.Created, ExpiresAt: t.Expires, UsedAt: when(t.Used)}
}

func (r *Resolver) claim(ctx context.Context, c auth.PendingClaim) model.PendingClaim {
	seat := org.TenureView{Kind: c.Kind, TitleZh: c.TitleZh, TitleEn: c.TitleEn}
	return model.PendingClaim{ID: c.ID.TypeID("clm"), Person: r.person(ctx, c.Person, c.Name), Seat: c.Seat, Title: text(seat.Title("zh"), seat.Title("en")),
		Kind: model.TenureKind(c.Kind), ClaimedAt: c.Claimed}
}

func claimIDs(list []string, field string) ([]id.ID, error) {
	out := make([]id.ID, len(list))
	for i, s := range list {
		var err error
		if out[i], err = parse("clm", s, field); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// limited is done for what counts against guessing: a program learns when to
// try again.
func (r *Resolver) limited(ctx context.Context, err error) (model.DonePayload, error) {
	if c := callOf(ctx); c != nil && c.w != nil {
		retryAfter(c.w, err)
	}
	return r.done(ctx, err)
}

// changePassword goes on under the new session that the change makes: a browser
// by its cookie, a program by the token.
func (r *Resolver) changePassword(ctx context.Context, in model.ChangePasswordInput) (model.ChangePasswordPayload, error) {
	who, c := whoOf(ctx), callOf(ctx)
	if c == nil || c.w == nil { // a browser's session needs its cookie set
		return model.ChangePasswordPayload{}, fault.Input("", "修改密码请用 POST", "change the password by POST").At()
	}
	token, err := r.Auth.ChangePassword(ctx, who.Actor, who.info, in.Old, in.Password, httpd.ClientIP(ctx))
	retryAfter(c.w, err)
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.ChangePasswordPayload{UserErrors: refused}, err
	}
	actor, info, err := r.Auth.Resolve(ctx, token)
	if err != nil {
		return model.ChangePasswordPayload{}, err
	}
	actor.Lang, actor.Address = who.Lang, who.Address
	c.who.Store(&identity{Actor: actor, info: info, token: token})
	out := model.ChangePasswordPayload{Changed: true}
	if !c.cookie {
		out.Token = &token
		return out, nil
	}
	r.setCookie(c.w, token, info.Own)
	return out, nil
}

func (r *Resolver) importRoster(ctx context.Context, in model.ImportRosterInput) (model.ImportRosterPayload, error) {
	var out auth.Roster
	err := r.fresh(ctx)
	if err == nil {
		var rows []auth.RosterRow
		if rows, err = auth.ReadRoster(in.CSV); err == nil {
			out, err = r.Auth.ImportRoster(ctx, actorOf(ctx), rows)
		}
	}
	refused, err := r.refusals(ctx, err, "rows", "csv")
	if err != nil || refused != nil {
		return model.ImportRosterPayload{UserErrors: refused}, err
	}
	return model.ImportRosterPayload{Link: some("/setup/" + out.Token), Lines: each(out.Lines, func(l auth.RosterLine) model.RosterLine {
		line := model.RosterLine{Line: l.Line}
		if l.Error != nil {
			line.Error = &model.RosterError{Field: strings.Join(l.Error.Path, "."), Message: l.Error.Message(langOf(ctx))}
			return line
		}
		state := model.RosterState(l.State)
		line.State = &state
		return line
	})}, nil
}

func (r *Resolver) confirmClaims(ctx context.Context, in model.ConfirmClaimsInput) (model.ConfirmClaimsPayload, error) {
	var out auth.Confirmed
	err := r.fresh(ctx)
	batch := auth.ConfirmClaims{IdempotencyKey: in.IdempotencyKey}
	if err == nil {
		batch.Confirm, err = claimIDs(in.Confirm, "confirm")
	}
	if err == nil {
		batch.Refuse, err = claimIDs(in.Refuse, "refuse")
	}
	if err == nil {
		out, err = r.Auth.ConfirmClaims(ctx, actorOf(ctx), batch)
	}
	refused, err := r.refusals(ctx, err)
	name := func(c id.ID) string { return c.TypeID("clm") }
	return model.ConfirmClaimsPayload{Confirmed: each(out.Confirmed, name), Refused: each(out.Refused, name), UserErrors: refused,
		Failed: each(out.Failed, func(f auth.FailedClaim) model.FailedClaim {
			return model.FailedClaim{Claim: name(f.ID), Code: f.Reason}
		})}, err
}
