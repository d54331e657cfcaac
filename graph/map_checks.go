package graph

import (
	"context"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/netmon"
)

func expectOf(e netmon.Expect) model.Expect {
	return model.Expect{Status: e.Status, Contain: some(e.Contain), Lack: some(e.Lack), Pattern: some(e.Pattern), Head: e.Head, SkipVerify: e.SkipVerify,
		Name: some(e.Name), Answers: e.Answers, EverySeconds: positive(e.Every), GraceSeconds: positive(e.Grace)}
}

func expectInput(in *model.ExpectInput) netmon.Expect {
	if in == nil {
		return netmon.Expect{}
	}
	return netmon.Expect{Status: in.Status, Contain: or(in.Contain), Lack: or(in.Lack), Pattern: or(in.Pattern), Head: or(in.Head), SkipVerify: or(in.SkipVerify),
		Name: or(in.Name), Answers: in.Answers, Every: or(in.EverySeconds), Grace: or(in.GraceSeconds)}
}

func hostInput(in model.CreateHostInput) (netmon.HostInput, error) {
	out := netmon.HostInput{NameZh: in.NameZh, NameEn: in.NameEn, Address: or(in.Address), Key: or(in.Key), Labels: in.Labels, Buildings: in.Buildings,
		Checks: each(in.Checks, checkInput), IdempotencyKey: in.IdempotencyKey}
	if r := in.Rule; r != nil {
		out.Rule = netmon.Rule{Losses: or(r.Losses), Within: or(r.Within), Replies: or(r.Replies)}
	}
	for _, group := range in.Needs {
		var ids []id.ID
		for _, s := range group {
			h, err := parse("hst", s, "needs")
			if err != nil {
				return out, err
			}
			ids = append(ids, h)
		}
		out.Needs = append(out.Needs, ids)
	}
	return out, nil
}

func checkInput(c model.CheckInput) netmon.CheckInput {
	return netmon.CheckInput{Kind: netmon.Kind(c.Kind), Target: or(c.Target), Seconds: or(c.IntervalSeconds), Expect: expectInput(c.Expect)}
}

func (r *Resolver) updatedHost(ctx context.Context, in model.UpdateHostInput) (netmon.HostOutcome, error) {
	host, err := parse("hst", in.Host, "host")
	if err != nil {
		return netmon.HostOutcome{}, err
	}
	to, err := hostInput(in.To)
	if err != nil {
		return netmon.HostOutcome{}, err
	}
	return r.Netmon.UpdateHost(ctx, actorOf(ctx), host, to)
}
