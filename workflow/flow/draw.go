package flow

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// draw takes the step's lot among the electors and leaves those who are asked.
// A round that follows keeps those whom the first one drew.
func (r *run) draw(s *Step, electors *[]Elector) *Drawn {
	if s.Draw == 0 || len(*electors) <= s.Draw {
		return nil
	}
	seed := r.facts.Seed
	if ss := r.st.Step(s.Name); ss != nil && ss.Drawn != nil {
		seed = ss.Drawn.Seed
	}
	r.rank(seed, *electors)
	d := &Drawn{Seed: seed, N: s.Draw}
	for _, e := range *electors {
		d.Of = append(d.Of, e.Person)
	}
	*electors = (*electors)[:s.Draw]
	return d
}

func (r *run) rank(seed string, electors []Elector) {
	slices.SortStableFunc(electors, func(a, b Elector) int { return compareLots(seed, a.Person, b.Person) })
}

// Draw ranks people by lot, and anybody can do it again: by SHA-256 of
// "<seed>:<person>", the lowest first.
func Draw(seed string, people []string) []string {
	out := slices.Clone(people)
	slices.SortFunc(out, func(a, b string) int { return compareLots(seed, a, b) })
	return out
}

func compareLots(seed, a, b string) int {
	x, y := sha256.Sum256([]byte(seed+":"+a)), sha256.Sum256([]byte(seed+":"+b))
	if c := bytes.Compare(x[:], y[:]); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}
