package app

import (
	"context"
	"slices"

	"kelian/workflow"
)

// RefoldOnce is a round of the look in the background.
func (a *App) RefoldOnce(ctx context.Context, owner string, since workflow.ClosedAt) workflow.ClosedAt {
	return a.refoldOnce(ctx, owner, since)
}

// HookTypes are the types of events that some topic leads to, sorted.
func (a *App) HookTypes() []string {
	var out []string
	for _, s := range a.hookSources() {
		out = append(out, s.types...)
	}
	slices.Sort(out)
	return out
}
