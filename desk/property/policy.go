package property

import "kelian/org"

// Actions beside those of the machine.
const (
	actRead     = "property.read"          // items, places and when they are taken
	actPurchase = "property.purchase.read" // purchases
	actItem     = "property.item"          // items and their quantity
	actPlace    = "property.place"
	actSeals    = "property.seal.read" // the register of seals
	actReserve  = "property.reserve"   // by hand, without a request
)

// Rules says who may do what.
func Rules() []org.Rule {
	rules := []org.Rule{{Action: actRead, Who: org.Somebody}}
	add := func(action string, who ...string) {
		for _, w := range who {
			rules = append(rules, org.Rule{Action: action, Who: w})
		}
	}
	add(actPurchase, org.Owner, "office.*", "liaison.*", "supervision.*", "technical.*", "fed.*", "league.*")
	add(actSeals, "office.*", "supervision.*", "league.*")
	add(actItem, "office.keeper", "office.head", "office.deputy", "unit.keeper", "unit.head")
	add(actPlace, "office.head", "office.deputy", "publicity.head")
	add(actReserve, "office.keeper", "office.head", "office.deputy", "unit.head")
	for _, m := range Machine {
		add("property."+string(m.Action), m.Who...)
	}
	return rules
}
