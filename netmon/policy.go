package netmon

import "kelian/org"

// technicians are the seats that run the network.
var technicians = []string{"technical.*", "technical.maintenance.*", "technical.information.*"}

// Rules are the rows of network operations in the table of rules.
func Rules() []org.Rule {
	var out []org.Rule
	allow := func(action string, who ...string) {
		for _, w := range who {
			out = append(out, org.Rule{Action: action, Who: w})
		}
	}
	allow("netmon.status", org.Anyone)
	allow("netmon.read", org.Somebody, org.Machine)
	// Addresses and targets show the way in: only to those who mend the network
	// and to those who answer for it.
	allow("netmon.address", append([]string{org.Machine, "fed.chair", "fed.vice", "league.secretary", "league.deputy", "league.teacher"}, technicians...)...)
	allow("netmon.manage", append([]string{org.Machine}, technicians...)...)
	allow("netmon.maintain", technicians...)
	allow("netmon.ping", technicians...)
	allow("netmon.acknowledge", "technical.head", "technical.deputy", "technical.maintenance.head", "technical.information.head")
	return out
}
