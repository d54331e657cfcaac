package auth

import "kelian/org"

// Rank says, as org.Object.State, how high the person is whom an act is about.
const (
	rankMember = "member" // no seat, or officers and technicians only
	rankSenior = "senior" // heads, chairs, deputies, advisors, keepers
	rankTop    = "top"    // the federation's chairs
	rankLeague = "league" // the League Committee
)

// Rules are auth's rows of the one table.
func Rules() []org.Rule {
	var out []org.Rule
	allow := func(action, who string, guard func(org.Actor, org.Object) bool, zh, en string) {
		out = append(out, org.Rule{Action: action, Who: who, Guard: guard, Zh: zh, En: en})
	}
	others := func(a org.Actor, o org.Object) bool { return a.Person != o.Owner }
	rank := func(states ...string) func(org.Actor, org.Object) bool {
		return func(a org.Actor, o org.Object) bool {
			for _, s := range states {
				if o.State == s {
					return others(a, o)
				}
			}
			return false
		}
	}
	allow("auth.roster.import", "office.head", nil, "", "")
	allow("auth.roster.import", "office.deputy", nil, "", "")
	// Who issues a reset could use it, so nobody issues one for those above.
	for _, action := range []string{"auth.reset.issue", "auth.account.close"} {
		allow(action, "league.secretary", others, "不能对自己", "not for oneself")
		for _, who := range []string{"league.deputy", "league.teacher"} {
			allow(action, who, rank(rankMember, rankSenior, rankTop), "不含团委", "not for the League Committee")
		}
		allow(action, "office.head", rank(rankMember, rankSenior), "不含主席团和团委", "not for the chairs and the League Committee")
	}
	for _, who := range []string{"unit.head", "unit.chair"} {
		allow("auth.reset.issue", who, rank(rankMember), "只限本单位的干事、技术员和会员", "officers, technicians and members of the own unit only")
		allow("auth.claim.confirm", who, rank(rankMember, rankSenior), "只限本单位，不含自己和正职", "the own unit only, not oneself and not its head")
	}
	allow("auth.claim.confirm", "office.head", rank(rankMember, rankSenior, rankHead), "不含主席团和团委", "not the chairs and the League Committee")
	for _, who := range []string{"league.secretary", "league.deputy", "league.teacher"} {
		allow("auth.claim.confirm", who, others, "不能确认自己", "not oneself")
	}
	return out
}

// rankHead is the seat that leads a unit: its claim is confirmed from above.
const rankHead = "head"

// rankOf is the rank of one seat.
func rankOf(unit string, role org.Role) string {
	switch {
	case unit == "league":
		return rankLeague
	case unit == "fed":
		return rankTop
	}
	switch role {
	case org.Member, org.Technician, org.Trainer:
		return rankMember
	case org.Head, org.Chair:
		return rankHead
	}
	return rankSenior
}
