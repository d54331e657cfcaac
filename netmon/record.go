package netmon

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon/judge"
)

// recordBatch is how many rows one statement inserts, and about how many
// statements are sent together: in its first epoch every host changes.
const recordBatch = 200

// record writes the epoch's transitions and tells of hosts that changed; it
// gives the node transitions by node.
func (v *verdict) record(ctx context.Context, tx *store.Tx, now time.Time) (map[string]id.ID, error) {
	moved := map[string]id.ID{}
	for chunk := range slices.Chunk(v.transitions, recordBatch) {
		rows := make([]transitionRow, len(chunk))
		for i, t := range chunk {
			var err error
			if rows[i], err = v.transition(t, now); err != nil {
				return nil, err
			}
			if t.Kind != judge.OfNode {
				continue
			}
			moved[t.ID] = rows[i].ID
			if t.ID == t.Host {
				outbox.Put(tx, outbox.Event{Topic: TopicHost, Aggregate: rows[i].Host, Version: v.epoch, Payload: hostPayload{rows[i].Host, string(t.To)}})
			}
		}
		tx.Queue(tx.DB.Bun().NewInsert().Model(&rows))
		if len(chunk) == recordBatch {
			if err := tx.Flush(ctx); err != nil {
				return nil, err
			}
		}
	}
	return moved, nil
}

func (v *verdict) transition(t judge.Transition, now time.Time) (transitionRow, error) {
	why := v.t.moved(t)
	if t.Kind == judge.OfVantage {
		why = v.t.words(t.Why.Zh, t.Why.En)
	}
	row := transitionRow{ID: id.New(), Kind: string(t.Kind), Subject: t.ID, Epoch: t.Epoch, FromState: string(t.From), ToState: string(t.To),
		FromOverlay: int(t.Was), ToOverlay: int(t.Now), WhyZh: why.Zh, WhyEn: why.En, At: now}
	if t.Host != "" {
		if err := row.Host.UnmarshalText([]byte(t.Host)); err != nil {
			return row, err
		}
	}
	var err error
	if row.Roots, err = listJSON(t.Roots); err == nil {
		row.Evidence, err = listJSON(t.Evidence)
	}
	return row, err
}

// listJSON is "" for an empty list.
func listJSON[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(list)
	return string(raw), err
}
