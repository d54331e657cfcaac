package repair

import (
	"kelian/org"
)

// who spells a role of the machine in the words of the rules.
func who(r Role) []string {
	switch r {
	case Reporter:
		return []string{org.Owner}
	case Holder:
		return []string{org.Assignee}
	case Lead:
		return leadSeats
	case Clockwork:
		return []string{org.Machine}
	}
	var out []string
	for _, u := range workUnits {
		out = append(out, u+".*")
	}
	return out
}

// Rules are the desk's rows of the table of rules. Those of the actions come
// from the machine, so the two cannot differ; which states an action starts
// from is the machine's to say. A reporter without an account acts by the
// ticket's link and is no row here.
func Rules() []org.Rule {
	rules := []org.Rule{
		{Action: "repair.submit", Who: org.Anyone},
		{Action: "repair.board", Who: org.Somebody},
		{Action: "repair.contact", Who: org.Assignee, Guard: func(_ org.Actor, o org.Object) bool {
			return o.State != string(Closed) && o.State != string(Cancelled)
		}, Zh: "报修单未结束时，每次查看留痕", En: "while the ticket is open, each look is recorded"},
	}
	for _, w := range []string{org.Owner, org.Assignee, "technical.*", "technical.maintenance.*", "technical.information.*",
		"fed.chair", "fed.vice", "league.secretary", "league.deputy", "league.teacher"} {
		rules = append(rules, org.Rule{Action: "repair.read", Who: w})
	}
	rules = append(rules, org.Rule{Action: "repair.erase", Who: org.Owner}, org.Rule{Action: "repair.erase", Who: "office.head"})
	for _, w := range leadSeats {
		rules = append(rules, org.Rule{Action: "repair.capacity", Who: w})
	}
	seen := map[string]bool{}
	for _, m := range Machine {
		for _, r := range m.Roles {
			for _, w := range who(r) {
				action := "repair." + string(m.Action)
				if !seen[action+w] {
					seen[action+w] = true
					rules = append(rules, org.Rule{Action: action, Who: w})
				}
			}
		}
	}
	return rules
}
