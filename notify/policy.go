package notify

import "kelian/org"

// The actions of this package. Everybody reads his own inbox and sets his own
// preferences; no rule is needed for that.
const (
	ActDeliveries = "notify.deliveries" // who was told, beyond the object's readers
	ActResend     = "notify.resend"     // send a dead delivery again
	ActTell       = "notify.tell"       // the to-tell list of a unit
)

// Rules says who may do what.
func Rules() []org.Rule {
	var out []org.Rule
	for _, who := range []string{"fed.chair", "fed.vice", "office.head", "technical.head", "league.teacher"} {
		out = append(out, org.Rule{Action: ActDeliveries, Who: who})
	}
	for _, who := range []string{"office.head", "office.deputy", "technical.head", "technical.deputy", "technical.information.member"} {
		out = append(out, org.Rule{Action: ActResend, Who: who})
	}
	for _, who := range []string{"unit.*", "office.head", "office.deputy", "office.member"} {
		out = append(out, org.Rule{Action: ActTell, Who: who})
	}
	return out
}
