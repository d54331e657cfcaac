// Package org is the federation itself: units, seats, who holds them when, the
// people with their personal values kept apart from history, skills and free
// hours, and the one table of rules that says who may do what.
package org
