package web

import (
	"slices"
	"time"

	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/notify"
)

type purchaseRow struct {
	property.Purchase
	Lines []property.Line
	Acts  []property.Action
}

// Missing is what the purchase still needs, in fen.
func (p purchaseRow) Missing() int64 { return p.Total - p.Funded }

// purchaseRows reads purchases with their lines and what the reader may do.
func (c *call) purchaseRows(f property.PurchaseFilter, page store.Page) ([]purchaseRow, string, error) {
	list, next, err := c.Property.Purchases(c.ctx(), c.actor, f, page)
	if err != nil {
		return nil, "", err
	}
	var out []purchaseRow
	for _, p := range list {
		row := purchaseRow{Purchase: p}
		if _, row.Lines, err = c.Property.PurchaseByID(c.ctx(), c.actor, p.ID); err != nil {
			return nil, "", err
		}
		for _, m := range property.Machine {
			may := slices.ContainsFunc(m.Who, func(who string) bool { return c.actor.Holds(who) || who == "owner" && p.Owner == c.actor.Person })
			if may && slices.Contains(m.From, p.State) {
				row.Acts = append(row.Acts, m.Action)
			}
		}
		out = append(out, row)
	}
	return out, next, nil
}

func (c *call) purchases() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	rows, next, err := c.purchaseRows(property.PurchaseFilter{}, store.Page{First: 20, After: c.r.URL.Query().Get("after")})
	if err != nil {
		return err
	}
	return c.show("purchases", c.t("nav.purchases"), struct {
		List []purchaseRow
		Next string
	}{rows, next})
}

func (c *call) purchasePost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	which, err := id.Parse("pur", c.in("purchase"))
	if err != nil {
		return fault.Missing()
	}
	in := property.PurchaseActInput{Purchase: which, Reason: c.in("reason"), IdempotencyKey: c.key()}
	switch property.Action(c.in("act")) {
	case property.ActOrder:
		_, err = c.Property.Order(c.ctx(), c.actor, in)
	case property.ActArrive:
		_, err = c.Property.Arrive(c.ctx(), c.actor, in)
	case property.ActCancel:
		_, err = c.Property.Cancel(c.ctx(), c.actor, in)
	default:
		err = fault.Input("act", "没有这项操作", "there is no such act")
	}
	if err != nil {
		return c.refused(err, c.purchases)
	}
	return c.to("/purchases", "saved")
}

type pledgeRow struct {
	sponsor.Pledge
	Organisation string
	Returns      string
	Acts         []sponsor.Action
	Late         bool
	Left         int64
}

type pledgePage struct {
	List     []pledgeRow
	Next     string
	Waiting  []purchaseRow // approved purchases without money
	Balances []sponsor.Balance
	Sum      int64
	Thanks   []sponsor.Thanks
	Allocate bool
	Fresh    bool
}

func (c *call) pledges() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	d := pledgePage{Allocate: c.can("sponsor.allocate", "liaison"), Fresh: c.me.Fresh}
	list, next, err := c.Sponsor.Pledges(c.ctx(), c.actor, sponsor.PledgeFilter{}, store.Page{First: 30, After: c.r.URL.Query().Get("after")})
	if err != nil {
		return err
	}
	d.Next = next
	if d.List, err = c.pledgeRows(list); err != nil {
		return err
	}
	if d.Waiting, _, err = c.purchaseRows(property.PurchaseFilter{State: property.Approved}, store.Page{First: 50}); err != nil {
		return err
	}
	if d.Balances, err = c.Sponsor.Balances(c.ctx(), c.actor); err != nil {
		return err
	}
	if d.Sum, err = c.Sponsor.LedgerSum(c.ctx(), c.actor); err != nil {
		return err
	}
	if d.Thanks, err = c.Sponsor.ThanksOf(c.ctx(), c.actor); err != nil {
		return err
	}
	return c.show("pledges", c.t("nav.pledges"), d)
}

func (c *call) pledgeRows(list []sponsor.Pledge) ([]pledgeRow, error) {
	var ids []id.ID
	for _, p := range list {
		ids = append(ids, p.Organisation)
	}
	orgs, err := c.Sponsor.OrganisationsByID(c.ctx(), c.actor, ids...)
	if err != nil {
		return nil, err
	}
	now := c.Clock.Now()
	var out []pledgeRow
	for _, p := range list {
		row := pledgeRow{Pledge: p, Returns: p.Returns, Left: p.Left(), Late: p.State == sponsor.Agreed && !p.DueAt.IsZero() && now.After(p.DueAt)}
		if o := orgs[p.Organisation]; o != nil {
			row.Organisation = o.Name
		}
		for _, m := range sponsor.Machine {
			// Whoever looks after a pledge does not confirm its money.
			own := m.Action == sponsor.ActReceive && p.Owner == c.actor.Person
			if !own && slices.Contains(m.From, p.State) && slices.ContainsFunc(m.Who, c.actor.Holds) {
				row.Acts = append(row.Acts, m.Action)
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// pledgePost moves a pledge on, or spends a part of it on a purchase: one
// press. Where money moves the password is asked for again.
func (c *call) pledgePost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	which, err := id.Parse("plg", c.in("pledge"))
	if err != nil {
		return fault.Missing()
	}
	act := sponsor.Action(c.in("act"))
	if act == "allocate" {
		err = c.allocate(which)
	} else {
		err = c.actOnPledge(which, act)
	}
	if err != nil {
		return c.refused(err, c.pledges)
	}
	return c.to("/pledges", "saved")
}

func (c *call) allocate(pledge id.ID) error {
	if err := c.fresh(); err != nil {
		return err
	}
	purchase, err := id.Parse("pur", c.in("purchase"))
	if err != nil {
		return fault.Missing()
	}
	amount, ok := fen(c.in("amount"))
	if !ok {
		return fault.Input("amount", "金额写成 860 或 860.50", "write the sum as 860 or 860.50")
	}
	_, err = c.Sponsor.Allocate(c.ctx(), c.actor, sponsor.AllocateInput{Pledge: pledge, Purchase: purchase, Amount: amount, IdempotencyKey: c.key()})
	return err
}

func (c *call) actOnPledge(pledge id.ID, act sponsor.Action) error {
	in := sponsor.ActInput{Pledge: pledge, Action: act, Returns: c.in("returns"), Voucher: c.in("voucher"), Reason: c.in("reason"), IdempotencyKey: c.key()}
	var ok bool
	if act == sponsor.ActAgree || act == sponsor.ActReceive {
		if in.Amount, ok = fen(c.in("amount")); !ok {
			return fault.Input("amount", "金额写成 2000 或 2000.50", "write the sum as 2000 or 2000.50")
		}
	}
	if act == sponsor.ActAgree {
		day, err := time.ParseInLocation(time.DateOnly, c.in("due"), c.Location)
		if err != nil {
			return fault.Input("due", "请选择约定到账的日期", "choose the day on which it is to come")
		}
		in.Due = day.UTC()
	}
	if act == sponsor.ActReceive {
		if err := c.fresh(); err != nil {
			return err
		}
	}
	_, err := c.Sponsor.Act(c.ctx(), c.actor, in)
	return err
}

// toTell is the list of those who have to be told by a person.
func (c *call) toTell() error { return c.toTellWith(id.Nil, "") }

func (c *call) toTellWith(line id.ID, contact string) error {
	if err := c.signedIn(); err != nil {
		return err
	}
	list, next, err := c.Notify.ToTell(c.ctx(), c.actor, store.Page{First: 50, After: c.r.URL.Query().Get("after")})
	if err != nil {
		return err
	}
	return c.show("to-tell", c.t("nav.totell"), struct {
		List    []notify.ToTell
		Next    string
		Line    id.ID
		Contact string
	}{list, next, line, contact})
}

func (c *call) toTellPost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	line, err := id.Parse("tel", c.in("line"))
	if err != nil {
		return fault.Missing()
	}
	if c.in("act") == "reveal" {
		contact, err := c.Notify.Reveal(c.ctx(), c.actor, line)
		if err != nil {
			return c.refused(err, c.toTell)
		}
		if contact == "" {
			contact = c.t("totell.erased")
		}
		return c.toTellWith(line, contact)
	}
	if err := c.Notify.Tell(c.ctx(), c.actor, notify.ToldInput{Line: line, State: notify.ToldState(c.in("act")), IdempotencyKey: c.key()}); err != nil {
		return c.refused(err, c.toTell)
	}
	return c.to("/to-tell", "saved")
}
