package netmon

import (
	"encoding/json"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon/judge"
)

// recordBatch is how many rows one statement inserts.
const recordBatch = 200

// record queues the epoch's transitions and tells of hosts that changed; it
// gives the node transitions by node.
func (v *verdict) record(tx *store.Tx, now time.Time) (map[string]id.ID, error) {
	moved := map[string]id.ID{}
	rows := make([]transitionRow, 0, len(v.transitions))
	for _, t := range v.transitions {
		row, err := v.transition(t, now)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
		if t.Kind != judge.OfNode {
			continue
		}
		moved[t.ID] = row.ID
		if t.ID == t.Host {
			outbox.Put(tx, outbox.Event{Topic: TopicHost, Aggregate: row.Host, Version: v.epoch, Payload: hostPayload{row.Host, string(t.To)}})
		}
	}
	for chunk := range slices.Chunk(rows, recordBatch) {
		tx.Queue(tx.DB.Bun().NewInsert().Model(&chunk))
	}
	return moved, nil
}

func (v *verdict) transition(t judge.Transition, now time.Time) (transitionRow, error) {
	why := v.t.words(t.Why.Zh, t.Why.En)
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
