package graph

import (
	"context"
	"strings"

	"kelian/graph/model"
	"kelian/netmon"
)

func hostRowInput(in model.HostRowInput) netmon.HostRow {
	out := netmon.HostRow{Key: or(in.Key), NameZh: or(in.NameZh), NameEn: or(in.NameEn), Address: or(in.Address), Labels: in.Labels, Buildings: in.Buildings,
		Needs: in.Needs, Checks: each(in.Checks, checkInput)}
	if r := in.Rule; r != nil {
		out.Rule = netmon.Rule{Losses: or(r.Losses), Within: or(r.Within), Replies: or(r.Replies)}
	}
	return out
}

func (r *Resolver) upserted(ctx context.Context, notes []netmon.Words, rows []netmon.RowResult, err error) (model.UpsertHostsPayload, error) {
	refused, err := r.refusals(ctx, err)
	return model.UpsertHostsPayload{UserErrors: refused, Notes: each(notes, func(w netmon.Words) model.Text { return text(w.Zh, w.En) }),
		Rows: each(rows, func(x netmon.RowResult) model.HostRowOutcome {
			out := model.HostRowOutcome{Row: x.Row + 1, Name: text(x.Name.Zh, x.Name.En), Result: model.HostRowResult(x.Result), Reason: said(x.Why), Field: some(strings.Join(x.Path, "."))}
			if !x.Host.IsZero() {
				host := x.Host.TypeID(netmon.RefHost)
				out.Host = &host
			}
			return out
		})}, err
}
