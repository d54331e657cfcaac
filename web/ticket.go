package web

import (
	"slices"

	"kelian/desk/repair"
	"kelian/file"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/notify"
)

type ticketRow = repair.View

// myTickets are those that the reader has, or was asked to take.
func (c *call) myTickets() ([]ticketRow, error) {
	list, _, err := c.Repair.Tickets(c.ctx(), c.actor, repair.Filter{Open: true, Mine: true}, store.Page{First: inboxPage})
	return list, err
}

// tickets is the board, and what the reader reported or has.
func (c *call) tickets() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	d := struct {
		Mine  []ticketRow
		Board []repair.BoardRow
		Own   []ticketRow
		Link  bool // the reader may open the board's tickets
	}{Link: c.actor.In("technical")}
	var err error
	if d.Mine, err = c.myTickets(); err != nil {
		return err
	}
	if d.Own, _, err = c.Repair.Tickets(c.ctx(), c.actor, repair.Filter{Reported: true}, store.Page{First: inboxPage}); err != nil {
		return err
	}
	if d.Board, err = c.Repair.Board(c.ctx(), c.actor); err != nil {
		return err
	}
	return c.show("tickets", c.t("nav.tickets"), d)
}

type ticketPage struct {
	repair.View
	Lines    []repair.Line
	Asked    []repair.Asked
	Told     []notify.DeliveryView
	Photos   []file.File // of the reporter
	Outage   string      // TypeID of the incident
	Reach    *repair.Reach
	MayReach bool
	Kinds    []repair.Kind
	Note     string
	Part     string // what is to be bought, and for how much
	Amount   string
	Forecast *forecastShown
}

func (c *call) ticketID() (id.ID, error) {
	if err := c.signedIn(); err != nil {
		return id.Nil, err
	}
	which, err := id.Parse(repair.RefKind, c.r.PathValue("id"))
	if err != nil {
		return id.Nil, fault.Missing()
	}
	return which, nil
}

func (c *call) ticket() error { return c.ticketWith(nil, nil) }

func (c *call) ticketWith(reach *repair.Reach, forecast *forecastShown) error {
	which, err := c.ticketID()
	if err != nil {
		return err
	}
	v, err := c.Repair.Ticket(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	d := ticketPage{View: v, Reach: reach, Kinds: repair.Kinds, Note: c.in("note"), Part: c.in("part"), Amount: c.in("amount"), Forecast: forecast}
	if v.Worker == c.actor.Person { // nobody takes over from oneself
		d.Actions = slices.DeleteFunc(slices.Clone(v.Actions), func(a repair.Action) bool { return a == repair.ActTakeOver })
	}
	d.MayReach = v.Worker == c.actor.Person && v.Source == repair.FromReport && !v.Erased && v.ClosedAt.IsZero()
	if !v.Incident.IsZero() {
		d.Outage = v.Incident.TypeID("inc")
	}
	if d.Lines, err = c.Repair.Timeline(c.ctx(), c.actor, which); quiet(err) != nil {
		return err
	}
	if d.Asked, err = c.Repair.Assignments(c.ctx(), c.actor, which); quiet(err) != nil {
		return err
	}
	if d.Told, err = c.Notify.Deliveries(c.ctx(), c.actor, outbox.Ref{Kind: repair.RefKind, ID: which}); quiet(err) != nil {
		return err
	}
	photos, err := c.File.Of(c.ctx(), c.actor, repair.RefKind, which)
	if err != nil {
		return err
	}
	d.Photos = photos[which]
	title, _ := c.voice().words(v.Title)
	return c.show("ticket", c.t("ticket.title", v.Number)+" "+title, d)
}

// ticketPost does one of the acts of those who work on the ticket.
func (c *call) ticketPost() error {
	which, err := c.ticketID()
	if err != nil {
		return err
	}
	act, done := repair.Action(c.in("act")), "saved"
	switch act {
	case "contact":
		reach, e := c.Repair.ContactOf(c.ctx(), c.actor, which)
		if e == nil {
			return c.ticketWith(&reach, nil)
		}
		err = e
	case repair.ActNote:
		_, err = c.Repair.Note(c.ctx(), c.actor, repair.NoteInput{Ticket: which, Text: c.in("note"), Public: c.in("public") == "yes", IdempotencyKey: c.key()})
	case repair.ActTriage:
		_, err = c.Repair.Triage(c.ctx(), c.actor, repair.TriageInput{Ticket: which, Kind: repair.Kind(c.in("kind")), Note: c.in("note"), IdempotencyKey: c.key()})
	case repair.ActReturn:
		_, err = c.Repair.Return(c.ctx(), c.actor, repair.ReturnInput{Ticket: which, Code: c.in("code"), Note: c.in("note"), IdempotencyKey: c.key()})
	case repair.ActNeedPart:
		if err = c.needPart(which); err == nil && c.in("step") != "send" {
			return nil // the forecast was shown
		}
	default:
		_, err = c.Repair.Do(c.ctx(), c.actor, act, repair.Input{Ticket: which, Note: c.in("note"), IdempotencyKey: c.key()})
	}
	if err != nil {
		return c.refused(err, c.ticket)
	}
	return c.to("/tickets/"+which.TypeID(repair.RefKind), done)
}

// needPart shows whom the request for a part will ask; the second press sends
// it.
func (c *call) needPart(ticket id.ID) error {
	amount, ok := fen(c.in("amount"))
	if !ok {
		return fault.Input("amount", "金额写成 680 或 680.50", "write the sum as 680 or 680.50")
	}
	if c.in("part") == "" {
		return fault.Input("text", "请写明要什么配件", "say which part is needed")
	}
	if c.in("step") == "send" {
		_, err := c.Repair.NeedPart(c.ctx(), c.actor, repair.NeedPartInput{Ticket: ticket, Text: c.in("part"), Amount: amount, IdempotencyKey: c.key()})
		return err
	}
	v, err := c.Repair.Ticket(c.ctx(), c.actor, ticket)
	if err != nil {
		return err
	}
	definition, unit, form := c.PartForm(c.in("part"), amount, v.Number)
	f, err := c.Workflow.Forecast(c.ctx(), c.actor, definition, unit, form)
	if err != nil {
		return err
	}
	return c.ticketWith(nil, &forecastShown{ForecastView: f})
}
