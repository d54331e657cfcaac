package org

// Rules are org's rows of the one table.
func Rules() []Rule {
	var out []Rule
	allow := func(action string, who ...string) {
		for _, w := range who {
			out = append(out, Rule{Action: action, Who: w})
		}
	}
	allow("org.unit.read", Anyone)
	allow("org.person.read", Somebody)
	allow("org.person.contacts", Owner, "office.head")
	allow("org.person.add", "office.head", "office.deputy")
	allow("org.person.correct", Owner, "office.head")
	allow("org.person.export", Owner, "office.head")
	allow("org.person.erase", Owner, "office.head")
	allow("org.person.rights", "office.head")
	allow("org.unit.write", "office.head", "league.secretary", "league.deputy", "league.teacher")
	allow("org.portfolio.write", "fed.chair", "office.head", "league.secretary", "league.deputy", "league.teacher")
	allow("org.liaison.write", "supervision.head", "office.head")
	allow("org.delegation.write", Owner)
	allow("org.delegation.end", Owner, "office.head")
	allow("org.absence.write", Owner, "office.head")
	allow("org.freehour.write", Owner)
	allow("org.skill.write", "technical.head", "technical.deputy", "office.head")
	allow("org.calendar.write", "office.head", "league.teacher")

	// Nobody seats himself; who is above the federation seats its leaders.
	others := func(a Actor, o Object) bool { return a.Person != o.Owner }
	notLeague := func(a Actor, o Object) bool { return others(a, o) && o.Unit != "league" }
	below := func(a Actor, o Object) bool { return notLeague(a, o) && o.Unit != "fed" }
	rank := func(a Actor, o Object) bool {
		switch Role(o.State) {
		case Member, Technician, Trainer, Keeper:
			return others(a, o)
		}
		return false
	}
	seat := func(who string, guard func(Actor, Object) bool, zh, en string) {
		out = append(out, Rule{Action: "org.tenure.write", Who: who, Guard: guard, Zh: zh, En: en})
	}
	seat("league.secretary", others, "不能安排自己", "not oneself")
	seat("league.deputy", notLeague, "不能安排自己；团委岗位由书记安排", "not oneself; the secretary fills the League Committee's seats")
	seat("league.teacher", notLeague, "不能安排自己；团委岗位由书记安排", "not oneself; the secretary fills the League Committee's seats")
	seat("fed.chair", below, "不能安排自己；主席团由团委安排", "not oneself; the League Committee fills the chairs' seats")
	seat("office.head", below, "不能安排自己；主席团由团委安排", "not oneself; the League Committee fills the chairs' seats")
	seat("unit.head", rank, "本单位的干事和技术员，不能安排自己", "officers and technicians of the own unit, not oneself")
	seat("unit.chair", rank, "本社团的会员，不能安排自己", "members of the own society, not oneself")
	return out
}
