package loader_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"kelian/graph/loader"
)

// squares counts its reads and knows the squares of even numbers only.
type squares struct {
	mu    sync.Mutex
	reads [][]int
}

func (s *squares) fetch(_ context.Context, keys []int) (map[int]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, slices.Sorted(slices.Values(keys)))
	out := map[int]int{}
	for _, k := range keys {
		if k%2 == 0 {
			out[k] = k * k
		}
	}
	return out, nil
}

func TestOneReadForAllThatIsWanted(t *testing.T) {
	s := &squares{}
	l := loader.New(s.fetch)
	l.Want(1, 2, 3, 4)
	var wg sync.WaitGroup
	for k := 1; k <= 4; k++ {
		wg.Go(func() {
			v, ok, err := l.Get(t.Context(), k)
			if err != nil || ok != (k%2 == 0) || ok && v != k*k {
				t.Errorf("%d: %d %v %v", k, v, ok, err)
			}
		})
	}
	wg.Wait()
	if len(s.reads) != 1 || !slices.Equal(s.reads[0], []int{1, 2, 3, 4}) {
		t.Errorf("read %v", s.reads)
	}
	l.Want(2, 6)
	if v, ok, _ := l.Get(t.Context(), 6); !ok || v != 36 {
		t.Error("a later key is not read")
	}
	if len(s.reads) != 2 || !slices.Equal(s.reads[1], []int{6}) {
		t.Errorf("what is known was read again: %v", s.reads)
	}
}

func TestWhatWasPutIsNotRead(t *testing.T) {
	s := &squares{}
	l := loader.New(s.fetch)
	l.Want(2, 4)
	l.Put(2, -1)
	if v, ok, _ := l.Get(t.Context(), 2); !ok || v != -1 {
		t.Error(v, ok)
	}
	if _, _, err := l.Get(t.Context(), 4); err != nil {
		t.Error(err)
	}
	if len(s.reads) != 1 || !slices.Equal(s.reads[0], []int{4}) {
		t.Errorf("read %v", s.reads)
	}
}

func TestLargeWantsAreSplit(t *testing.T) {
	s := &squares{}
	l := loader.New(s.fetch)
	n := 2*loader.Most + 2
	for k := range n {
		l.Want(k)
	}
	seen := map[int]bool{}
	for k := 0; k < n; k += 2 {
		if v, ok, err := l.Get(t.Context(), k); !ok || v != k*k || err != nil {
			t.Fatal(k, v, ok, err)
		}
	}
	for _, r := range s.reads {
		if len(r) > loader.Most {
			t.Errorf("a batch of %d", len(r))
		}
		for _, k := range r {
			if seen[k] {
				t.Errorf("%d was read twice", k)
			}
			seen[k] = true
		}
	}
	if len(s.reads) != 3 {
		t.Errorf("%d reads", len(s.reads))
	}
}

func TestFailuresReachEverybody(t *testing.T) {
	broken := errors.New("away")
	l := loader.New(func(context.Context, []int) (map[int]int, error) { return nil, broken })
	l.Want(1, 2)
	for k := 1; k <= 2; k++ {
		if _, ok, err := l.Get(t.Context(), k); ok || !errors.Is(err, broken) {
			t.Error(k, ok, err)
		}
	}
	p := loader.New(func(_ context.Context, keys []int) (map[int]int, error) {
		panic(slices.Collect(maps.Keys(map[int]bool{})))
	})
	p.Want(1, 2)
	for k := 1; k <= 2; k++ {
		if _, ok, err := p.Get(t.Context(), k); ok || err == nil {
			t.Error("a panic passed for a value")
		}
	}
}
