package repair

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// BoardRow is a ticket on the board: nobody's name, no place, no words.
type BoardRow struct {
	ID     id.ID
	Number string
	Kind   Kind
	State  State
	Skills []string
	Worker string // masked: 周*
	Since  time.Time
	Due    time.Time
	Late   bool
	Paused bool
}

// BoardSize bounds the board.
const BoardSize = 200

// Board shows the open tickets, oldest first, to everybody with an account; a
// projector may show it.
func (s *Service) Board(ctx context.Context, actor org.Actor) ([]BoardRow, error) {
	now := s.clock.Now()
	actor, err := org.Judge(ctx, s.db.R, actor, now)
	if err != nil {
		return nil, err
	}
	if err := s.rules.Check(actor, "repair.board", org.Object{}); err != nil {
		return nil, err
	}
	var tickets []Ticket
	err = s.db.R.NewSelect().Model(&tickets).Where("state IN ('SUBMITTED', 'TRIAGED', 'ASSIGNED', 'IN_PROGRESS', 'WAITING_PARTS', 'WAITING_OWNER')").
		OrderExpr("created_at, id").Limit(BoardSize).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	var people []id.ID
	for _, t := range tickets {
		if !t.Worker.IsZero() {
			people = append(people, t.Worker)
		}
	}
	names, err := org.Names(ctx, s.db.R, people...)
	if err != nil {
		return nil, err
	}
	out := make([]BoardRow, len(tickets))
	for i := range tickets {
		v := tickets[i].view(now)
		out[i] = BoardRow{ID: v.ID, Number: v.Number, Kind: v.Kind, State: v.State, Skills: v.Skills, Worker: org.Mask(names[v.Worker]),
			Since: v.CreatedAt, Due: v.Due, Late: v.Late, Paused: v.Paused}
	}
	return out, nil
}
