package notify

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
)

// EraseFor forgets what a person wished to hear. What he was told stays until
// its time is over: it names him by reference only. It is an org.Eraser.
func (s *Service) EraseFor(_ context.Context, tx *store.Tx, person id.ID, _ time.Time) error {
	tx.QueueSQL(`DELETE FROM notify_preference WHERE person = ?`, person)
	return nil
}
