// Package bounded holds a cache whose size strangers cannot make grow.
package bounded

import "sync"

// Cache keeps the entries used last. It has two generations: when the young
// one is full it becomes the old one, and what the old one still held and
// nobody asked for is forgotten. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	entries, weight int

	mu         sync.RWMutex
	young, old map[K]entry[V]
	heavy      int // weight of young
}

type entry[V any] struct {
	value  V
	weight int
}

// New makes a cache that keeps at most entries entries and at most weight of
// what Put calls their weight, in whatever unit.
func New[K comparable, V any](entries, weight int) *Cache[K, V] {
	return &Cache[K, V]{entries: max(1, entries/2), weight: max(1, weight/2), young: map[K]entry[V]{}}
}

// Get finds an entry.
func (c *Cache[K, V]) Get(k K) (V, bool) {
	c.mu.RLock()
	e, ok := c.young[k]
	if ok {
		c.mu.RUnlock()
		return e.value, true
	}
	e, ok = c.old[k]
	c.mu.RUnlock()
	if ok {
		c.Put(k, e.value, e.weight)
	}
	return e.value, ok
}

// Put stores an entry; one heavier than half the cache is not stored.
func (c *Cache[K, V]) Put(k K, v V, weight int) {
	if weight > c.weight {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.young[k]; ok {
		c.heavy -= was.weight
	} else if len(c.young) >= c.entries {
		c.turn()
	}
	if c.heavy+weight > c.weight {
		c.turn()
	}
	c.young[k] = entry[V]{v, weight}
	c.heavy += weight
}

func (c *Cache[K, V]) turn() {
	c.old, c.young, c.heavy = c.young, map[K]entry[V]{}, 0
}

// Len is the number of entries held.
func (c *Cache[K, V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := len(c.young)
	for k := range c.old {
		if _, twice := c.young[k]; !twice {
			n++
		}
	}
	return n
}
