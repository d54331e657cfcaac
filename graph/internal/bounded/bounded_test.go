package bounded_test

import (
	"testing"

	"kelian/graph/internal/bounded"

	"pgregory.net/rapid"
)

func TestCacheStaysBoundedAndNeverLies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries, weight := rapid.IntRange(2, 12).Draw(t, "entries"), rapid.IntRange(2, 60).Draw(t, "weight")
		c := bounded.New[int, int](entries, weight)
		last, w := map[int]int{}, map[int]int{}
		for n := range rapid.IntRange(1, 200).Draw(t, "ops") {
			k := rapid.IntRange(0, 20).Draw(t, "key")
			if rapid.Bool().Draw(t, "put") {
				// One key always has one weight, as a text and its length.
				if w[k] == 0 {
					w[k] = rapid.IntRange(1, 20).Draw(t, "w")
				}
				c.Put(k, n, w[k])
				last[k] = n
			} else if v, ok := c.Get(k); ok && v != last[k] {
				t.Fatalf("key %d gives %d, stored was %d", k, v, last[k])
			}
			held := 0
			for k := range last {
				if _, ok := c.Get(k); ok {
					held++
				}
			}
			if c.Len() > entries {
				t.Fatalf("%d entries of %d", c.Len(), entries)
			}
		}
	})
}

func TestWhatIsUsedStays(t *testing.T) {
	c := bounded.New[int, string](10, 1000)
	c.Put(0, "kept", 1)
	for n := 1; n < 100; n++ {
		c.Put(n, "passing", 1)
		if v, ok := c.Get(0); !ok || v != "kept" {
			t.Fatalf("forgotten after %d others", n)
		}
	}
	if _, ok := c.Get(1); ok {
		t.Fatal("nothing is ever forgotten")
	}
	c.Put(7, "heavy", 501)
	if v, _ := c.Get(7); v == "heavy" {
		t.Fatal("an entry heavier than half the cache was stored")
	}
}
