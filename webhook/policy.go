package webhook

import "kelian/org"

// The actions of this package.
const (
	ActRead   = "webhook.read"   // endpoints and their deliveries
	ActManage = "webhook.manage" // endpoints, secrets, replays
)

// Rules says who may do what: those who run the system, and who answers for
// them may look.
func Rules() []org.Rule {
	var out []org.Rule
	allow := func(action string, who ...string) {
		for _, w := range who {
			out = append(out, org.Rule{Action: action, Who: w})
		}
	}
	admins := []string{"technical.head", "technical.deputy", "technical.information.head", "league.teacher"}
	allow(ActManage, admins...)
	allow(ActRead, append([]string{"fed.chair", "fed.vice", "office.head", "league.secretary", "league.deputy"}, admins...)...)
	return out
}
