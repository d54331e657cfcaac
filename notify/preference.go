package notify

import (
	"context"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"

	"kelian/internal/id"
)

// Preference says whether a person wants a topic on a channel. Everything is
// on until somebody switches it off.
type Preference struct {
	Topic   string
	Channel Channel
	Enabled bool
}

type preferenceRow struct {
	bun.BaseModel `bun:"table:notify_preference"`

	Person  id.ID   `bun:",pk"`
	Topic   string  `bun:",pk"`
	Channel Channel `bun:",pk"`
	Enabled bool
}

// Preferences gives the whole matrix of the actor, topics × channels, sorted
// by topic.
func (s *Service) Preferences(ctx context.Context, actor org.Actor) ([]Preference, error) {
	if actor.Person.IsZero() {
		return nil, fault.SignIn()
	}
	var rows []preferenceRow
	err := s.db.R.NewSelect().Model(&rows).Where("person = ?", actor.Person).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	off := map[Preference]bool{}
	for _, r := range rows {
		off[Preference{Topic: r.Topic, Channel: r.Channel}] = !r.Enabled
	}
	var out []Preference
	for _, t := range Topics() {
		for _, c := range Channels {
			out = append(out, Preference{t, c, !off[Preference{Topic: t, Channel: c}]})
		}
	}
	return out, nil
}

// SetPreferencesInput changes cells of the matrix; the others stay.
type SetPreferencesInput struct {
	Preferences    []Preference
	IdempotencyKey string
}

// SetPreferences stores what the actor wants to hear and how. Critical
// messages come all the same.
func (s *Service) SetPreferences(ctx context.Context, actor org.Actor, in SetPreferencesInput) error {
	if actor.Person.IsZero() {
		return fault.SignIn()
	}
	if n := len(in.Preferences); n == 0 || n > len(templates)*len(Channels) {
		return fault.Input("preferences", "没有要改的内容，或者太多", "nothing to change, or too much")
	}
	for _, p := range in.Preferences {
		if _, ok := templates[p.Topic]; !ok {
			return fault.Input("preferences", "没有这类通知："+p.Topic, "no such topic: "+p.Topic)
		}
		if p.Channel != InApp && p.Channel != Email {
			return fault.Input("preferences", "渠道只能是 inapp 或 email", "the channel must be inapp or email")
		}
	}
	cmd := store.FromClient(s.db, actor.Person, "setNotificationPreferences", in.IdempotencyKey, in)
	_, err := store.InTx(ctx, s.db, cmd, func(_ context.Context, tx *store.Tx) (struct{}, error) {
		for _, p := range in.Preferences {
			tx.Queue(tx.DB.Bun().NewInsert().Model(&preferenceRow{Person: actor.Person, Topic: p.Topic, Channel: p.Channel, Enabled: p.Enabled}).
				On("CONFLICT (person, topic, channel) DO UPDATE").Set("enabled = EXCLUDED.enabled"))
		}
		return struct{}{}, nil
	})
	return err
}

// mutedChannels are those that the recipient switched off for the topic.
func mutedChannels(ctx context.Context, q bun.IDB, n *Notification) (map[Channel]bool, error) {
	if n.Person.IsZero() {
		return nil, nil
	}
	var rows []preferenceRow
	err := q.NewSelect().Model(&rows).Where("person = ?", n.Person).Where("topic = ?", n.Topic).Where("NOT enabled").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, err
	}
	out := map[Channel]bool{}
	for _, r := range rows {
		out[r.Channel] = true
	}
	return out, nil
}
