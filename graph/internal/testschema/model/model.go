// Package model holds the Go side of the test schema.
package model

import (
	"fmt"
	"io"
	"time"

	"kelian/internal/fault"
)

// Day is a calendar day.
type Day struct{ time.Time }

// UnmarshalGQL refuses what is no day between 1970 and 2100.
func (d *Day) UnmarshalGQL(v any) error {
	s, _ := v.(string)
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1970 || t.Year() > 2100 {
		return fault.Input("", "日期须写成 2026-02-28", "write the day as 2026-02-28")
	}
	d.Time = t
	return nil
}

// MarshalGQL writes it as it is read.
func (d Day) MarshalGQL(w io.Writer) { _, _ = fmt.Fprintf(w, "%q", d.Format(time.DateOnly)) }

// Priority is an enum.
type Priority string

// UnmarshalGQL leaves unknown values to the validation.
func (p *Priority) UnmarshalGQL(v any) error {
	s, _ := v.(string)
	if s != "LOW" && s != "HIGH" {
		return fmt.Errorf("%T %v is not a Priority", v, v)
	}
	*p = Priority(s)
	return nil
}

// MarshalGQL writes the name.
func (p Priority) MarshalGQL(w io.Writer) { _, _ = fmt.Fprintf(w, "%q", string(p)) }

// Member has child resolvers.
type Member struct {
	ID   string
	Name string
}

// IsNode marks it.
func (Member) IsNode() {}

// Ticket is read in one piece: no child has a resolver.
type Ticket struct {
	ID       string
	Title    string
	Note     *string
	Count    int
	Big      float64
	Open     bool
	Priority Priority
	Due      *Day
	Owner    *Person
	Author   *Person
	Steps    []Step
	Tags     []string
	Later    []Step
}

// Person of a ticket.
type Person struct {
	Name  string
	Phone *string
}

// Step of a ticket.
type Step struct {
	No   int
	Done bool
	By   *Person
}
