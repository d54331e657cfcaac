package app

import (
	"context"

	"kelian/workflow"
)

// RefoldOnce is a round of the look in the background.
func (a *App) RefoldOnce(ctx context.Context, owner string, since workflow.ClosedAt) workflow.ClosedAt {
	return a.refoldOnce(ctx, owner, since)
}
