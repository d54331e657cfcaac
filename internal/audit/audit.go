// Package audit keeps who did what. A record is one row in the transaction of
// the change; a sealer chains committed rows by SHA-256 shortly after, so that
// no change waits for another one's place in the chain.
package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Entry is one act. Data holds references and HMACs of personal values, never
// the values.
type Entry struct {
	Actor  id.ID  // the person; zero for the system and for strangers
	Seat   string // the seat under which the person acted, "" = as oneself
	Action string // "<domain>.<verb>", e.g. workflow.approve
	Object outbox.Ref
	Data   any
	At     time.Time // business time
}

// Row is an audit row as stored and as hashed.
type Row struct {
	bun.BaseModel `bun:"table:audit"`

	ID         id.ID     `bun:",pk" json:"id"`
	At         time.Time `json:"at"`
	Actor      id.ID     `bun:",nullzero" json:"actor"`
	Seat       string    `json:"seat"`
	Action     string    `json:"action"`
	ObjectKind string    `json:"objectKind"`
	ObjectID   id.ID     `bun:",nullzero" json:"objectId"`
	Data       string    `json:"data"`
}

// Record writes the entry with the transaction.
func Record(tx *store.Tx, e Entry) {
	data := []byte("{}")
	if e.Data != nil {
		var err error
		if data, err = json.Marshal(e.Data); err != nil {
			panic(fmt.Sprintf("audit: data of %s: %v", e.Action, err))
		}
	}
	tx.Queue(tx.DB.Bun().NewInsert().Model(&Row{ID: id.New(), At: e.At, Actor: e.Actor, Seat: e.Seat, Action: e.Action,
		ObjectKind: e.Object.Kind, ObjectID: e.Object.ID, Data: string(data)}))
}
