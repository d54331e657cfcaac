package dispatch

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/org"
)

// DefaultCapacity is how many live tasks a person has at most, unless set
// otherwise.
const DefaultCapacity = 3

// Need is what a task asks of the person who gets it.
type Need struct {
	Kind         string   `json:"kind,omitempty"` // repair, or the training task's kind
	Skills       []string `json:"skills,omitempty"`
	Certificates []string `json:"certificates,omitempty"`
	Unit         string   `json:"-"` // only holders of a seat in it or in its parts; "" = anyone
}

// Candidate is somebody who could be asked.
type Candidate struct {
	org.Candidate
	Load         int       // live assignments now
	Capacity     int       // live assignments at most
	DoneThisTerm int       // tasks finished since the term began
	Last         time.Time // of the newest assignment, zero = never
}

// Code says in one word why somebody was or was not chosen.
type Code string

// The codes, the nearer to being chosen the earlier.
const (
	Chosen           Code = "CHOSEN"
	Later            Code = "LATER"       // equal in everything, the id decides
	MoreRecent       Code = "MORE_RECENT" // was asked more recently
	MoreDone         Code = "MORE_DONE"   // did more this term
	Busy             Code = "BUSY"        // the free hours say no
	Full             Code = "FULL"        // has as many tasks as the capacity allows
	Away             Code = "AWAY"        // on leave
	Declined         Code = "DECLINED"    // said no to this task
	Silent           Code = "SILENT"      // let the offer of this task lapse
	GaveBack         Code = "GAVE_BACK"   // had this task and has it no more
	LacksCertificate Code = "LACKS_CERTIFICATE"
	LacksSkill       Code = "LACKS_SKILL"
	Elsewhere        Code = "ELSEWHERE" // holds no seat in the unit
)

var nearness = []Code{Chosen, Later, MoreRecent, MoreDone, Busy, Full, Away, GaveBack, Silent, Declined, LacksCertificate, LacksSkill, Elsewhere}

// Reason is what the dispatcher found about one candidate. It names the person
// by reference only: names are personal and are put in when it is read.
type Reason struct {
	Person id.ID  `json:"person"`
	Code   Code   `json:"code"`
	What   string `json:"what,omitempty"` // the skill or certificate that is lacking
	N      int    `json:"n,omitempty"`    // Chosen, Full: tasks in hand; MoreDone: done this term
	Of     int    `json:"of,omitempty"`   // Chosen, Full: the capacity
}

// Choice is the outcome: the person, and a reason for every candidate, the
// chosen one first, then by nearness.
type Choice struct {
	Person  id.ID
	Reasons []Reason
}

// Choose picks who is asked next: among those who have every skill and
// certificate, hold a seat in the unit, are not on leave, are free now and have
// room, the one who did the fewest tasks this term, then the one whose last
// assignment is longest ago, then the lowest id. excluded holds people who are
// not asked again, with the reason. It reads no clock and keeps no order but
// its own: the same input gives the same choice. Without a fit ok is false and
// the reasons say what each one lacks.
func Choose(need Need, candidates []Candidate, excluded map[id.ID]Code) (choice Choice, ok bool) {
	var fit []Candidate
	for _, c := range candidates {
		if r := obstacle(need, c, excluded); r.Code != "" {
			r.Person = c.Person
			choice.Reasons = append(choice.Reasons, r)
			continue
		}
		fit = append(fit, c)
	}
	slices.SortFunc(fit, fairer)
	for i, c := range fit {
		choice.Reasons = append(choice.Reasons, turn(fit[0], c, i == 0))
	}
	slices.SortStableFunc(choice.Reasons, func(a, b Reason) int {
		if d := slices.Index(nearness, a.Code) - slices.Index(nearness, b.Code); d != 0 {
			return d
		}
		return bytes.Compare(a.Person[:], b.Person[:])
	})
	if len(fit) == 0 {
		return choice, false
	}
	choice.Person = fit[0].Person
	return choice, true
}

// obstacle gives the first thing that keeps the candidate from the task, most
// lasting first.
func obstacle(need Need, c Candidate, excluded map[id.ID]Code) Reason {
	if need.Unit != "" && !slices.ContainsFunc(c.Seats, func(seat string) bool { return strings.HasPrefix(seat, need.Unit+".") }) {
		return Reason{Code: Elsewhere}
	}
	for _, s := range need.Skills {
		if !slices.Contains(c.Skills, s) {
			return Reason{Code: LacksSkill, What: s}
		}
	}
	for _, s := range need.Certificates {
		if !slices.Contains(c.Certificates, s) {
			return Reason{Code: LacksCertificate, What: s}
		}
	}
	switch code := excluded[c.Person]; {
	case code == Full:
		return Reason{Code: Full, N: c.Capacity, Of: c.Capacity}
	case code != "":
		return Reason{Code: code}
	case c.Absent:
		return Reason{Code: Away}
	case !c.Free:
		return Reason{Code: Busy}
	case c.Load >= c.Capacity:
		return Reason{Code: Full, N: c.Load, Of: c.Capacity}
	}
	return Reason{}
}

func fairer(a, b Candidate) int {
	if d := a.DoneThisTerm - b.DoneThisTerm; d != 0 {
		return d
	}
	if d := a.Last.Compare(b.Last); d != 0 {
		return d
	}
	return bytes.Compare(a.Person[:], b.Person[:])
}

// turn says why c is behind the first one, who has the fewest tasks done.
func turn(first, c Candidate, chosen bool) Reason {
	switch {
	case chosen:
		return Reason{Person: c.Person, Code: Chosen, N: c.Load + 1, Of: c.Capacity}
	case c.DoneThisTerm > first.DoneThisTerm:
		return Reason{Person: c.Person, Code: MoreDone, N: c.DoneThisTerm}
	case c.Last.After(first.Last):
		return Reason{Person: c.Person, Code: MoreRecent}
	}
	return Reason{Person: c.Person, Code: Later}
}
