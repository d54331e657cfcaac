package repair

import (
	"context"

	"kelian/desk/dispatch"
	"kelian/internal/outbox"
	"kelian/internal/store"
)

// OnOfferLapsed ends an offer that nobody answered in time and asks the next
// person. An offer that was answered meanwhile is left alone.
func (s *Service) OnOfferLapsed(ctx context.Context, d outbox.Delivery) error {
	var p lapsedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		return s.machine(ctx, tx, p.Ticket, ActLapse, func(a *act, to State) error {
			if a.t.Assignment != p.Offer {
				return errStale
			}
			return a.giveBack(ActLapse, dispatch.Lapsed, to)
		})
	})
}

// OnDispatch asks again for a ticket that nobody fitted some time ago. For a
// report that follows an incident it looks whether the incident is over: one
// that came in while the incident was being closed would follow it for ever.
func (s *Service) OnDispatch(ctx context.Context, d outbox.Delivery) error {
	return s.onTicket(ctx, d, ActDispatch, func(a *act, _ State) error {
		if a.t.attached() {
			return a.follow()
		}
		if a.t.State != Triaged {
			return errStale
		}
		told := a.t.Unassigned
		if err := a.dispatch(); err != nil {
			return err
		}
		if told && a.t.State == Triaged {
			return errStale // nothing but the next timer
		}
		return nil
	})
}

// OnAutoClose closes a finished ticket that nobody closed or reopened.
func (s *Service) OnAutoClose(ctx context.Context, d outbox.Delivery) error {
	return s.onTicket(ctx, d, ActClose, func(a *act, to State) error {
		if a.t.Device && a.t.State != Returned {
			return errStale
		}
		return a.close(to)
	})
}

func (s *Service) onTicket(ctx context.Context, d outbox.Delivery, action Action, fn func(a *act, to State) error) error {
	var p ticketPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error { return s.machine(ctx, tx, p.Ticket, action, fn) })
}

// OnPickup reminds of a device that was not collected, and sets the next
// reminder.
func (s *Service) OnPickup(ctx context.Context, d outbox.Delivery) error {
	var p pickupPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		return s.machine(ctx, tx, p.Ticket, ActNote, func(a *act, _ State) error {
			if a.t.State != Fixed && a.t.State != Unfixable {
				return errStale
			}
			a.reason = "PICKUP_REMINDER"
			a.enter(ActNote, a.t.State)
			if a.t.State == Fixed {
				a.tellReporter("repair.fixed")
			} else {
				a.tellReporter("repair.unfixable")
			}
			a.remind(p.N + 1)
			return nil
		})
	})
}
