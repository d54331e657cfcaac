package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/netmon"
	"kelian/org"
)

// A reader who is slower than the events is told to read everything anew, once,
// and hears what comes after.
func TestASlowReaderIsToldToReadAnewAndGoesOn(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	feed, err := outbox.NewFeed(bg, w.db, testkit.Quiet())
	if err != nil {
		t.Fatal(err)
	}
	// change tells times of a new host n.
	change := func(n, times int) {
		t.Helper()
		name := fmt.Sprint("host ", n)
		made, err := w.netmon.CreateHost(bg, org.System(), netmon.HostInput{NameZh: name, NameEn: name, Address: fmt.Sprint("127.9.0.", n),
			Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}})
		if err == nil {
			_, err = store.InTx(bg, w.db, store.Internal("test"), func(_ context.Context, tx *store.Tx) (int, error) {
				for range times {
					outbox.Put(tx, outbox.Event{Topic: netmon.TopicHost, Aggregate: made.Host, Payload: map[string]any{"host": made.Host}})
				}
				return 0, nil
			})
		}
		if err == nil {
			err = feed.Read(bg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := w.subscribe(w.still(feed).URL, "pan", `subscription{hostStateChanged{resync host{name{zh}}}}`)
	n := 0
	w.untilLive(s, func() { n++; change(n, 1) })

	change(200, 500) // at once: more than wait for anybody
	told := 0
	for !strings.Contains(s.next(), `"resync":true`) {
		told++
	}
	if told > 100 {
		t.Errorf("%d events came before the word that some were missed", told)
	}
	change(201, 1)
	if got := s.next(); !strings.Contains(got, `"host 201"`) {
		t.Errorf("after the word that events were missed: %s", got)
	}
}
