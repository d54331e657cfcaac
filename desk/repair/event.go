package repair

import (
	"context"

	"kelian/internal/id"
	"kelian/internal/outbox"
)

// The desk's topics.
const (
	TopicOpened     = "repair.ticket.opened"  // {ticket}
	TopicChanged    = "repair.ticket.changed" // ChangedPayload
	TopicOffered    = "repair.offered"        // {ticket, person}
	TopicUnassigned = "repair.unassigned"     // {ticket, seat}
	TopicLapsed     = "repair.offer.lapsed"   // {ticket, offer}, a timer
	TopicDispatch   = "repair.dispatch"       // {ticket}, a timer: ask again
	TopicAutoClose  = "repair.autoclose"      // {ticket}, a timer
	TopicPickup     = "repair.pickup"         // {ticket, n}, a timer
	TopicAttached   = "repair.attached"       // {incident, fixed}: settle the reports that follow it
)

// The names of a ticket's timers.
const (
	timerDispatch = "dispatch"
	timerClose    = "close"
	timerPickup   = "pickup"
)

// ChangedPayload is what TopicChanged carries: the state that the ticket came to.
type ChangedPayload struct {
	Ticket id.ID `json:"ticket"`
	State  State `json:"state"`
}

type ticketPayload struct {
	Ticket id.ID `json:"ticket"`
}

type offeredPayload struct {
	Ticket id.ID `json:"ticket"`
	Person id.ID `json:"person"`
}

type unassignedPayload struct {
	Ticket id.ID  `json:"ticket"`
	Seat   string `json:"seat"`
}

type lapsedPayload struct {
	Ticket id.ID `json:"ticket"`
	Offer  id.ID `json:"offer"`
}

type pickupPayload struct {
	Ticket id.ID `json:"ticket"`
	N      int   `json:"n"`
}

type attachedPayload struct {
	Incident id.ID `json:"incident"`
	Fixed    bool  `json:"fixed"` // else recovered
}

type incidentPayload struct {
	Incident id.ID `json:"incident"`
}

type purchasePayload struct {
	Purchase id.ID  `json:"purchase"`
	State    string `json:"state"`
}

type requestPayload struct {
	Request id.ID `json:"request"`
}

// Handlers gives the handler of every topic that the desk listens to, for the
// consumer name "repair".
func (s *Service) Handlers() map[string]func(context.Context, outbox.Delivery) error {
	return map[string]func(context.Context, outbox.Delivery) error{
		TopicLapsed:                 s.OnOfferLapsed,
		TopicDispatch:               s.OnDispatch,
		TopicAutoClose:              s.OnAutoClose,
		TopicPickup:                 s.OnPickup,
		TopicAttached:               s.OnAttached,
		"netmon.incident.opened":    s.OnIncidentOpened,
		"netmon.incident.closed":    s.OnIncidentClosed,
		"property.purchase.changed": s.OnPurchaseChanged,
		"workflow.rejected":         s.OnPurchaseRejected,
	}
}
