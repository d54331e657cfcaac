package org

import (
	"fmt"
	"sort"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
)

// Object is what a rule needs to know about the thing that is acted upon.
type Object struct {
	Unit     string  // code of the unit that owns it
	Owner    id.ID   // the person whose it is, e.g. the requester
	Assignee []id.ID // those it was given to
	State    string
}

// Rule allows one action to the holders of a seat. Who is a seat name
// (technical.head), a role anywhere (*.head), any seat of a unit (technical.*),
// a role in the object's own unit (unit.head), or one of the words below.
type Rule struct {
	Action string
	Who    string
	Guard  func(Actor, Object) bool // nil = always
	Zh, En string                   // the guard in words, for the matrix
}

// Words for Who beside seats.
const (
	Anyone   = "anyone"   // strangers too
	Somebody = "somebody" // every account
	Owner    = "owner"    // the object's owner
	Assignee = "assignee" // those the object was given to
	Machine  = "system"   // timers and handlers
)

// Table is the one table of rules. What it does not allow is denied.
type Table struct{ rules map[string][]Rule }

// NewTable merges the domains' rules; a doubled row panics.
func NewTable(parts ...[]Rule) *Table {
	t := &Table{rules: map[string][]Rule{}}
	seen := map[string]bool{}
	for _, part := range parts {
		for _, r := range part {
			key := r.Action + " " + r.Who + " " + r.En
			if seen[key] {
				panic("org: rule twice in the table: " + key)
			}
			seen[key] = true
			t.rules[r.Action] = append(t.rules[r.Action], r)
		}
	}
	return t
}

// Actions lists every action that has a rule, sorted.
func (t *Table) Actions() []string {
	var out []string
	for a := range t.rules {
		out = append(out, a)
	}
	sort.Strings(out)
	return out
}

// Rules gives the rows of one action.
func (t *Table) Rules(action string) []Rule { return t.rules[action] }

// Can says whether a rule allows the action. The system may do what a rule
// gives to the system, and nothing else. An API token needs the action's area
// among its scopes, or <area>:read for an action that ends in .read.
func (t *Table) Can(a Actor, action string, o Object) bool {
	area, _, _ := strings.Cut(action, ".")
	if !a.Scope(area) && (!strings.HasSuffix(action, ".read") || !a.Scope(area+":read")) {
		return false
	}
	for _, r := range t.rules[action] {
		if r.matches(a, o) && (r.Guard == nil || r.Guard(a, o)) {
			return true
		}
	}
	return false
}

// Under gives the seat under which a rule allows the actor the action, for the
// record of it; "" when the actor acts as oneself or may not.
func (t *Table) Under(a Actor, action string, o Object) string {
	if a.Acting != "" {
		return a.Acting
	}
	for _, held := range a.Seats {
		one := a
		one.Seats, one.Person = []HeldSeat{held}, id.Nil
		for _, r := range t.rules[action] {
			if r.Who != Anyone && r.Who != Somebody && r.matches(one, o) && (r.Guard == nil || r.Guard(a, o)) {
				return held.Seat
			}
		}
	}
	return ""
}

// Check is Can with an error that names the rule and those who can.
func (t *Table) Check(a Actor, action string, o Object) error {
	if t.Can(a, action, o) {
		return nil
	}
	if a.Anonymous() {
		return fault.SignIn()
	}
	return t.deny(action, o)
}

func (r Rule) matches(a Actor, o Object) bool {
	switch r.Who {
	case Anyone:
		return true
	case Somebody:
		return !a.Person.IsZero()
	case Owner:
		return !a.Person.IsZero() && a.Person == o.Owner
	case Assignee:
		for _, p := range o.Assignee {
			if !a.Person.IsZero() && p == a.Person {
				return true
			}
		}
		return false
	case Machine:
		return a.System
	}
	at := strings.LastIndexByte(r.Who, '.')
	if at < 0 {
		panic(fmt.Sprintf("org: rule %s: %q is neither a seat nor a known word", r.Action, r.Who))
	}
	unit, role := r.Who[:at], r.Who[at+1:]
	if unit == "unit" {
		unit = o.Unit
	}
	for _, s := range a.Seats {
		if (unit == "*" || s.Unit == unit) && (role == "*" || string(s.Role) == role) && (a.Acting == "" || a.Acting == s.Seat) {
			return true
		}
	}
	return false
}
