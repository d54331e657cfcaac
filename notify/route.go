package notify

import (
	"context"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Limits of sending (docs/limits.md).
const (
	dedupeWindow = 10 * time.Minute // the same words to the same person within it go once
	retryFor     = 24 * time.Hour
	leaseFor     = 30 * time.Second
	sendFor      = 15 * time.Second
)

// reach is what is known about how to reach the recipient now.
type reach struct {
	lang    string
	account bool // reads the inbox
	erased  bool
	mailbox string
	phone   string
	wechat  string
}

// planned is one delivery to be written.
type planned struct {
	channel Channel
	state   State
	reason  string
	due     time.Time
}

// OnRequested handles notify.requested: it decides which channels carry the
// notification and writes their deliveries.
func (s *Service) OnRequested(ctx context.Context, d outbox.Delivery) error {
	var p requested
	if err := d.Decode(&p); err != nil {
		return err
	}
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var n Notification
		err := tx.NewSelect().Model(&n).Where("id = ?", p.Notification).Scan(ctx)
		if store.NoRows(err) {
			return struct{}{}, nil // gone with its retention
		}
		if err != nil {
			return struct{}{}, err
		}
		who, err := s.reach(ctx, tx, &n)
		if err != nil {
			return struct{}{}, err
		}
		double, err := duplicate(ctx, tx, &n)
		if err != nil {
			return struct{}{}, err
		}
		muted, err := mutedChannels(ctx, tx, &n)
		if err != nil {
			return struct{}{}, err
		}
		plan := plan(who, muted, n.Critical, double, s.mail != nil, s.loud(now))
		s.write(tx, &n, plan, now)
		return struct{}{}, nil
	})
	return err
}

// plan is the pure rule of route, silence and dedupe. loud is when ordinary
// messages may be sent again; zero = now.
func plan(who reach, muted map[Channel]bool, critical, double, mail bool, loud time.Time) []planned {
	var out []planned
	skip := func(c Channel, why string) { out = append(out, planned{channel: c, state: Skipped, reason: why}) }
	if who.account {
		switch {
		case double:
			skip(InApp, Duplicate)
		case muted[InApp] && !critical:
			skip(InApp, Muted)
		default:
			out = append(out, planned{channel: InApp, state: Sent})
		}
	}
	switch {
	case who.erased:
		skip(Email, Erased)
		return out
	case double:
		skip(Email, Duplicate)
		return out
	case muted[Email] && !critical:
		skip(Email, Muted)
		return out
	case who.mailbox != "" && mail:
		p := planned{channel: Email, state: Waiting}
		if !critical && !loud.IsZero() {
			p.reason, p.due = QuietHours, loud
		}
		return append(out, p)
	case who.mailbox != "":
		skip(Email, ChannelOff)
	case who.account:
		skip(Email, NoMailbox)
	case who.phone == "" && who.wechat == "":
		skip(Email, NoContact)
	}
	if who.account {
		return out
	}
	if c := who.byHand(); c != "" {
		out = append(out, planned{channel: c, state: Waiting, reason: ByHand})
	}
	return out
}

// byHand is the channel of the to-tell list, "" = none.
func (r reach) byHand() Channel {
	switch {
	case r.phone != "":
		return Phone
	case r.wechat != "":
		return WeChat
	}
	return ""
}

// write queues the deliveries with what makes them go.
func (s *Service) write(tx *store.Tx, n *Notification, plan []planned, now time.Time) {
	shown := false
	for _, p := range plan {
		row := &Delivery{ID: id.New(), Event: n.ID, Channel: p.channel, Recipient: n.recipient(), State: p.state, Reason: p.reason, CreatedAt: now}
		switch {
		case p.channel == InApp && p.state == Sent:
			row.SentAt, shown = now, true
		case p.channel == Email && p.state == Waiting:
			start := now
			if !p.due.IsZero() {
				start = p.due
			}
			row.RetryUntil = start.Add(retryFor)
			outbox.Put(tx, sendEvent(row.ID, p.due))
		}
		tx.Queue(tx.DB.Bun().NewInsert().Model(row))
		if p.state == Waiting && (p.channel == Phone || p.channel == WeChat) {
			s.putToTell(tx, n, row, now)
		}
	}
	if !shown {
		tx.QueueSQL(`UPDATE notification SET hidden = TRUE WHERE id = ?`, n.ID)
	}
}

type sending struct {
	Delivery id.ID `json:"delivery"`
}

func sendEvent(delivery id.ID, due time.Time) outbox.Event {
	return outbox.Event{Topic: "notify.send", Queue: outbox.QueueSend, Aggregate: delivery, Payload: sending{delivery}, DueAt: due}
}

// loud is when the quiet hours end that hold at now; zero = they do not hold.
func (s *Service) loud(now time.Time) time.Time {
	local := now.In(s.zone)
	from, to := s.quiet[0], s.quiet[1]
	h := local.Hour()
	quiet := h >= from && h < to
	if from > to {
		quiet = h >= from || h < to
	}
	if !quiet {
		return time.Time{}
	}
	end := time.Date(local.Year(), local.Month(), local.Day(), to, 0, 0, 0, s.zone)
	if !end.After(now) {
		end = time.Date(local.Year(), local.Month(), local.Day()+1, to, 0, 0, 0, s.zone)
	}
	return end.UTC()
}

// duplicate says whether the same words went to the same recipient shortly
// before. Of two at once the older id counts as the first, so one goes out.
func duplicate(ctx context.Context, q bun.IDB, n *Notification) (bool, error) {
	return q.NewSelect().Model((*Notification)(nil)).Where("dedupe = ?", n.Dedupe).
		Where("at > ? AND at <= ?", n.At.Add(-dedupeWindow), n.At).Where("(at < ? OR id < ?)", n.At, n.ID).Exists(ctx)
}

// reach reads how the recipient can be reached now.
func (s *Service) reach(ctx context.Context, q bun.IDB, n *Notification) (reach, error) {
	r := reach{lang: n.Lang}
	if n.Person.IsZero() {
		all, err := org.PersonalOf(ctx, q, n.Subject)
		if err != nil {
			return r, err
		}
		v := map[string]string{} // by the last part of the field: contact.phone, ticket.phone and phone are one
		for field, value := range all[n.Subject] {
			v[field[strings.LastIndexByte(field, '.')+1:]] = value
		}
		if len(v) == 0 { // the subject may be one contact of a person, and nothing else is meant
			c, ok, err := org.ContactByID(ctx, q, n.Subject)
			if err != nil {
				return r, err
			}
			if ok {
				v[c.Kind] = c.Value
			}
		}
		r.mailbox, r.phone, r.wechat = mailbox(v["email"], v["qq"]), v["phone"], v["wechat"]
		if r.lang == "" {
			r.lang = "zh"
		}
		return r, nil
	}
	var p org.Person
	err := q.NewSelect().Model(&p).Where("id = ?", n.Person).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return r, err
	}
	r.erased = store.NoRows(err) || !p.ErasedAt.IsZero()
	r.account = p.Kind == org.Officer && !r.erased
	if r.lang == "" {
		r.lang = p.Lang
	}
	contacts, err := org.Contacts(ctx, q, n.Person)
	if err != nil {
		return r, err
	}
	best := map[string]org.Contact{}
	for _, c := range contacts {
		if old, ok := best[c.Kind]; !ok || c.Verified && !old.Verified {
			best[c.Kind] = c
		}
	}
	r.mailbox = mailbox(best["email"].Value, best["qq"].Value)
	r.phone, r.wechat = best["phone"].Value, best["wechat"].Value
	return r, nil
}

// mailbox is the address that mail goes to: a QQ number names one too.
func mailbox(email, qq string) string {
	if email != "" {
		return email
	}
	if len(qq) < 5 || len(qq) > 11 {
		return ""
	}
	for _, c := range qq {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return qq + "@qq.com"
}
