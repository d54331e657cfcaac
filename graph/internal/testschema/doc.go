// Package testschema is the GraphQL schema that the tests of graph/guard and
// graph/compiled run against; the server does not contain it.
package testschema

//go:generate go run github.com/99designs/gqlgen generate
