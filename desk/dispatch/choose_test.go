package dispatch_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/id"
	"kelian/internal/testkit"
	"kelian/org"

	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var network = dispatch.Need{Kind: "repair", Skills: []string{"network"}, Unit: "technical"}

// somebody free with room, who knows networks.
func somebody(change ...func(*dispatch.Candidate)) dispatch.Candidate {
	c := dispatch.Candidate{Candidate: org.Candidate{Person: id.New(), Seats: []string{"technical.information.member"}, Skills: []string{"network"}, Free: true}, Capacity: 3}
	for _, f := range change {
		f(&c)
	}
	return c
}

func TestExplanationOfTheTour(t *testing.T) {
	zhou := somebody()
	lin := somebody(func(c *dispatch.Candidate) { c.Free = false })
	he := somebody(func(c *dispatch.Candidate) { c.Skills = nil })
	choice, ok := dispatch.Choose(network, []dispatch.Candidate{he, lin, zhou}, nil)
	if !ok || choice.Person != zhou.Person {
		t.Fatalf("chose %v, %v", choice.Person, ok)
	}
	names := map[id.ID]string{zhou.Person: "周航", lin.Person: "林小满", he.Person: "何静"}
	w := choice.Explanation(network).Sentence(names)
	if w.En != "knows networks, free now, 1 of 3; 林小满 is busy" {
		t.Error(w.En)
	}
	if w.Zh != "会网络，现在有空，手上第 1 件（最多 3 件）；林小满现在没空" {
		t.Error(w.Zh)
	}
	if len(choice.Reasons) != 3 || choice.Reasons[2].Person != he.Person || choice.Reasons[2].Text().En != "does not know networks" {
		t.Errorf("reasons %+v", choice.Reasons)
	}
}

func TestObstacles(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*dispatch.Candidate)
		asked  dispatch.Code
		code   dispatch.Code
		en     string
	}{
		{"skill", func(c *dispatch.Candidate) { c.Skills = []string{"computer"} }, "", dispatch.LacksSkill, "does not know networks"},
		{"certificate", func(c *dispatch.Candidate) { c.Certificates = nil }, "", dispatch.LacksCertificate, "lacks the certificate: electrical work"},
		{"unit", func(c *dispatch.Candidate) { c.Seats = []string{"publicity.member"} }, "", dispatch.Elsewhere, "is in another unit"},
		{"leave", func(c *dispatch.Candidate) { c.Absent = true }, "", dispatch.Away, "is on leave"},
		{"class", func(c *dispatch.Candidate) { c.Free = false }, "", dispatch.Busy, "is busy"},
		{"full", func(c *dispatch.Candidate) { c.Load = 3 }, "", dispatch.Full, "is busy (3 of 3)"},
		{"declined", func(*dispatch.Candidate) {}, dispatch.Declined, dispatch.Declined, "declined"},
		{"silent", func(*dispatch.Candidate) {}, dispatch.Silent, dispatch.Silent, "did not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := somebody(func(p *dispatch.Candidate) { p.Certificates = []string{"electric"} }, c.change)
			need := network
			need.Certificates = []string{"electric"}
			excluded := map[id.ID]dispatch.Code{}
			if c.asked != "" {
				excluded[p.Person] = c.asked
			}
			choice, ok := dispatch.Choose(need, []dispatch.Candidate{p}, excluded)
			if ok || len(choice.Reasons) != 1 || choice.Reasons[0].Code != c.code || choice.Reasons[0].Text().En != c.en {
				t.Fatalf("%v %+v", ok, choice.Reasons)
			}
		})
	}
}

func TestTurn(t *testing.T) {
	old, recent := testkit.Start.Add(-48*time.Hour), testkit.Start.Add(-time.Hour)
	did := func(n int, last time.Time) func(*dispatch.Candidate) {
		return func(c *dispatch.Candidate) { c.DoneThisTerm, c.Last = n, last }
	}
	many, few, never := somebody(did(4, old)), somebody(did(1, recent)), somebody(did(1, time.Time{}))
	choice, _ := dispatch.Choose(network, []dispatch.Candidate{many, few, never}, nil)
	if choice.Person != never.Person {
		t.Fatal("who did as few and never had a task goes first")
	}
	if choice.Reasons[1].Code != dispatch.MoreRecent || choice.Reasons[2].Text().En != "did 4 this term" {
		t.Errorf("%+v", choice.Reasons)
	}
	// A skill alone is not enough: one needs them all.
	two := network
	two.Skills = []string{"network", "electric"}
	if _, ok := dispatch.Choose(two, []dispatch.Candidate{many, few}, nil); ok {
		t.Error("somebody who knows one of two skills was chosen")
	}
}

// Whatever the people, the choice fits, nobody fairer was passed over, the
// order of the list does not matter, and everybody gets a reason.
func TestChoiceAlwaysFitsAndIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var people []dispatch.Candidate
		excluded := map[id.ID]dispatch.Code{}
		for range rapid.IntRange(0, 8).Draw(t, "people") {
			c := somebody(func(c *dispatch.Candidate) {
				c.Free, c.Absent = rapid.Bool().Draw(t, "free"), rapid.IntRange(0, 4).Draw(t, "absent") == 0
				c.Load, c.DoneThisTerm = rapid.IntRange(0, 3).Draw(t, "load"), rapid.IntRange(0, 2).Draw(t, "done")
				c.Last = testkit.Start.Add(-time.Duration(rapid.IntRange(0, 2).Draw(t, "last")) * time.Hour)
				if rapid.IntRange(0, 3).Draw(t, "skill") == 0 {
					c.Skills = nil
				}
			})
			if rapid.IntRange(0, 4).Draw(t, "asked") == 0 {
				excluded[c.Person] = dispatch.Declined
			}
			people = append(people, c)
		}
		fits := func(c dispatch.Candidate) bool {
			return c.Free && !c.Absent && c.Load < c.Capacity && len(c.Skills) > 0 && excluded[c.Person] == ""
		}
		choice, ok := dispatch.Choose(network, people, excluded)
		if ok != slices.ContainsFunc(people, fits) {
			t.Fatalf("chosen: %v", ok)
		}
		if len(choice.Reasons) != len(people) {
			t.Fatalf("%d reasons for %d people", len(choice.Reasons), len(people))
		}
		if !ok {
			return
		}
		got := people[slices.IndexFunc(people, func(c dispatch.Candidate) bool { return c.Person == choice.Person })]
		if !fits(got) {
			t.Fatal("the chosen one does not fit")
		}
		for _, c := range people {
			if !fits(c) || c.Person == got.Person {
				continue
			}
			fairer := c.DoneThisTerm < got.DoneThisTerm || c.DoneThisTerm == got.DoneThisTerm && (c.Last.Before(got.Last) ||
				c.Last.Equal(got.Last) && bytes.Compare(c.Person[:], got.Person[:]) < 0)
			if fairer {
				t.Fatal("somebody fairer was passed over")
			}
		}
		slices.Reverse(people)
		again, _ := dispatch.Choose(network, people, excluded)
		if again.Person != choice.Person || !slices.Equal(again.Reasons, choice.Reasons) {
			t.Fatal("the order of the list changed the choice")
		}
	})
}
