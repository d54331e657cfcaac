package guard

import (
	"time"

	"kelian/internal/fault"
)

// Codes of refusals that only this door knows; the rest are fault's.
const (
	QueryTooLarge    fault.Code = "QUERY_TOO_LARGE"
	DepthLimit       fault.Code = "DEPTH_LIMIT"
	ComplexityLimit  fault.Code = "COMPLEXITY_LIMIT"
	ValidationFailed fault.Code = "GRAPHQL_VALIDATION_FAILED"
)

// Limits of one operation and of streams. Zero fields take the defaults named.
type Limits struct {
	Body       int // bytes of the request body, 256 kB
	Query      int // bytes of the query text, 32 kB
	Tokens     int // of the query text, 2,000
	Variables  int // bytes of the variables' JSON, 64 kB
	JSONDepth  int // nesting of the variables, 20
	Depth      int // nesting of fields, 10
	Nesting    int // nesting of fields and fragments together, 20
	Fields     int // fields and fragment spreads after expansion, 500
	Aliases    int // 30
	Roots      int // root fields, 20
	Mutations  int // root fields of a mutation, 5
	Directives int // 20
	Cost       int // complexity, 2,000
	Nodes      int // Σ of page sizes, 10,000
	Page       int // largest first or last, 100
	PageUnset  int // page size counted when none is given, 20
	List       int // elements of a list in the input, 100
	Errors     int // errors answered, 5
	ErrorBytes int // bytes of errors answered, 16 kB
	Response   int // bytes of a query's data, 4 MB

	Operation time.Duration // a query or mutation, 10 s

	StreamsPerAccount int           // 5
	StreamsPerAddress int           // 50
	StreamsPerCampus  int           // per address of the campus networks, 1,000
	Streams           int           // in all, 2,000
	Subscriptions     int           // per WebSocket, 20
	Message           int           // bytes of a WebSocket message, 64 kB
	Messages          int           // WebSocket messages a second, 5, after a burst of six seconds' worth
	Init              time.Duration // until connection_init, 5 s
	Ping              time.Duration // between signs of life, 15 s
	Write             time.Duration // for one message to a slow reader, 10 s
	Age               time.Duration // of a stream ± 10 %, 1 h
	Reauthorize       time.Duration // between looks at the reader's rights, 5 s
	DrainJitter       time.Duration // over which streams end when the server drains, 2 s
}

func (l Limits) defaults() Limits {
	for _, d := range []struct {
		p *int
		v int
	}{
		{&l.Body, 256 << 10}, {&l.Query, 32 << 10}, {&l.Tokens, 2000}, {&l.Variables, 64 << 10}, {&l.JSONDepth, 20},
		{&l.Depth, 10}, {&l.Nesting, 20}, {&l.Fields, 500}, {&l.Aliases, 30}, {&l.Roots, 20}, {&l.Mutations, 5},
		{&l.Directives, 20}, {&l.Cost, 2000}, {&l.Nodes, 10_000}, {&l.Page, 100}, {&l.PageUnset, 20}, {&l.List, 100},
		{&l.Errors, 5}, {&l.ErrorBytes, 16 << 10}, {&l.Response, 4 << 20},
		{&l.StreamsPerAccount, 5}, {&l.StreamsPerAddress, 50}, {&l.StreamsPerCampus, 1000}, {&l.Streams, 2000},
		{&l.Subscriptions, 20}, {&l.Message, 64 << 10}, {&l.Messages, 5},
	} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
	for _, d := range []struct {
		p *time.Duration
		v time.Duration
	}{
		{&l.Operation, 10 * time.Second}, {&l.Init, 5 * time.Second}, {&l.Ping, 15 * time.Second}, {&l.Write, 10 * time.Second},
		{&l.Age, time.Hour}, {&l.Reauthorize, 5 * time.Second}, {&l.DrainJitter, 2 * time.Second},
	} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
	return l
}
