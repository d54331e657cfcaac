// Package loader reads what many objects of one answer need with one statement.
//
// Whoever makes objects says what their fields may ask for (Want); the first
// field that does ask (Get) reads everything that was wanted until then. There
// is no waiting for a batch to fill: objects of a list are all made before any
// field of them is resolved, so the batch is full when it is asked for, and how
// many statements an answer takes does not depend on the machine's mood.
package loader

import (
	"context"
	"fmt"
	"sync"
)

// Most is the largest batch; more keys are read by several.
const Most = 1000

// Fetch reads values by their keys; what is absent or not the reader's to see
// is not in the map.
type Fetch[K comparable, V any] func(ctx context.Context, keys []K) (map[K]V, error)

// Loader keeps what was read for the time of one operation.
type Loader[K comparable, V any] struct {
	fetch  Fetch[K, V]
	mu     sync.Mutex
	wanted []K
	known  map[K]*batch[K, V] // nil: wanted, not read yet
}

type batch[K comparable, V any] struct {
	done   chan struct{}
	values map[K]V
	err    error
}

// New makes a loader.
func New[K comparable, V any](fetch Fetch[K, V]) *Loader[K, V] {
	return &Loader[K, V]{fetch: fetch, known: map[K]*batch[K, V]{}}
}

// Want says that the keys may be asked for. It reads nothing.
func (l *Loader[K, V]) Want(keys ...K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.want(keys)
}

func (l *Loader[K, V]) want(keys []K) {
	for _, k := range keys {
		if _, ok := l.known[k]; !ok {
			l.known[k] = nil
			l.wanted = append(l.wanted, k)
		}
	}
}

// Put keeps a value that was read otherwise.
func (l *Loader[K, V]) Put(key K, value V) {
	b := &batch[K, V]{done: make(chan struct{}), values: map[K]V{key: value}}
	close(b.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[key] = b
}

// Get gives a value, and reads all that is wanted where it was not read yet;
// ok is false for what is absent or not the reader's to see.
func (l *Loader[K, V]) Get(ctx context.Context, key K) (value V, ok bool, err error) {
	l.mu.Lock()
	b := l.known[key]
	if b == nil {
		l.want([]K{key})
		b = l.take(key)
		l.mu.Unlock()
		l.read(ctx, b)
	} else {
		l.mu.Unlock()
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return value, false, ctx.Err()
	}
	value, ok = b.values[key]
	return value, ok, b.err
}

// take makes the batch of the key and of what else is wanted.
func (l *Loader[K, V]) take(key K) *batch[K, V] {
	b := &batch[K, V]{done: make(chan struct{}), values: map[K]V{key: *new(V)}}
	keep := l.wanted[:0:0]
	for _, k := range l.wanted {
		switch {
		case l.known[k] != nil: // was put meanwhile
		case len(b.values) < Most || k == key:
			b.values[k] = *new(V)
			l.known[k] = b
		default:
			keep = append(keep, k)
		}
	}
	l.wanted = keep
	return b
}

// read runs the fetch; a panic in it reaches every reader of the batch as an
// error, for nobody else will close the batch.
func (l *Loader[K, V]) read(ctx context.Context, b *batch[K, V]) {
	keys := make([]K, 0, len(b.values))
	for k := range b.values {
		keys = append(keys, k)
	}
	b.values = nil
	defer close(b.done)
	defer func() {
		if p := recover(); p != nil {
			b.err = fmt.Errorf("loader: %v", p)
		}
	}()
	b.values, b.err = l.fetch(ctx, keys)
}
