package graph

import "net/http"

// NewPlain is New with every answer written by gqlgen.
func NewPlain(d Deps) (http.Handler, error) { return newHandler(d, true) }
