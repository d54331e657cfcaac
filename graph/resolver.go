package graph

import "log/slog"

// Resolver answers the fields of the schema from the services. It holds no
// rule of any domain.
type Resolver struct {
	Deps
	log *slog.Logger
}
