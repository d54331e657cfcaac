package flow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"kelian/workflow/flow"
)

func seal(t *testing.T, events []flow.Event) []flow.Sealed {
	t.Helper()
	var out []flow.Sealed
	var head [32]byte
	for i, ev := range events {
		sum, err := flow.Chain(head, i+1, ev)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, flow.Sealed{Seq: i + 1, Event: ev, Prev: head, Hash: sum})
		head = sum
	}
	return out
}

func TestChainFindsEveryFlippedByte(t *testing.T) {
	w := purchase(t)
	w.submit("zhouhang", at680)
	w.approve("songlan", "hejing")
	w.do(w.back("guchen", flow.Start, ""))
	w.resubmit("zhouhang", at860)
	chain := seal(t, w.events)
	if _, err := flow.Verify(chain); err != nil {
		t.Fatal(err)
	}
	flips := 0
	for i := range chain {
		raw, _ := json.Marshal(chain[i].Event)
		for k := range raw {
			bad := append([]byte{}, raw...)
			bad[k] ^= 1
			var ev flow.Event
			if json.Unmarshal(bad, &ev) != nil {
				continue // the row no longer reads at all
			}
			if again, _ := json.Marshal(ev); string(again) == string(raw) {
				continue // another spelling of the same event
			}
			flips++
			changed := append([]flow.Sealed{}, chain...)
			changed[i].Event = ev
			if _, err := flow.Verify(changed); err == nil || !strings.Contains(err.Error(), "was changed") {
				t.Fatalf("byte %d of event %d: %v", k, i+1, err)
			}
		}
	}
	if flips < 500 {
		t.Fatalf("only %d flips were tried", flips)
	}
	for name, bad := range map[string][]flow.Sealed{
		"a missing event":  append(append([]flow.Sealed{}, chain[:2]...), chain[3:]...),
		"a missing first":  chain[1:],
		"a false previous": append([]flow.Sealed{chain[0]}, func() flow.Sealed { s := chain[1]; s.Prev[0] ^= 1; return s }()),
		"a false hash":     {func() flow.Sealed { s := chain[0]; s.Hash[31] ^= 1; return s }()},
	} {
		if _, err := flow.Verify(bad); err == nil {
			t.Errorf("%s was not found", name)
		}
	}
}

func TestUnknownEventsAreNotSkipped(t *testing.T) {
	for _, src := range []string{
		`{"type":"nonsense","at":"2026-11-02T01:00:00Z","by":{},"body":{}}`,
		`{"type":"commented","at":"2026-11-02T01:00:00Z","by":{},"body":{"note":{"ref":"a","mac":"b"},"extra":1}}`,
	} {
		var ev flow.Event
		if err := json.Unmarshal([]byte(src), &ev); err == nil {
			t.Errorf("%s was read", src)
		}
	}
}

// The examples of RFC 8785 §3.2.2 and §3.2.3, and what is refused on top.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{ "b" : [ 56 , {"d":true,"10":null,"1":[]} ], "a":1e0}`:                                    `{"a":1,"b":[56,{"1":[],"10":null,"d":true}]}`,
		`{"\u20ac":"Euro","\r":"CR","\ufb33":"Dalet","1":"One","\ud83d\ude00":"Smile","\u00f6":""}`: "{\"\\r\":\"CR\",\"1\":\"One\",\"ö\":\"\",\"€\":\"Euro\",\"😀\":\"Smile\",\"\ufb33\":\"Dalet\"}",
		`[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001, -0]`:                 `[333333333.3333333,1e+30,4.5,0.002,1e-27,0]`,
		`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/<"`:                                          `"€$\u000f\nA'B\"\\\\\"/<"`,
	} {
		got, err := flow.Canonical([]byte(in))
		if strings.Contains(in, "1E30") {
			if err == nil {
				t.Errorf("an integer beyond 2^53 was taken: %s", got)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s %v\nwant %s", in, got, err, want)
		}
	}
	for _, bad := range []string{`{"a":1,"a":2}`, `9007199254740993`, `[1`, `1 2`, "\"\xff\"", strings.Repeat("[", 80) + strings.Repeat("]", 80), ``} {
		if got, err := flow.Canonical([]byte(bad)); err == nil {
			t.Errorf("%q became %s", bad, got)
		}
	}
}

func TestLeavesAndReads(t *testing.T) {
	got, err := flow.Leaves([]byte(`{"when":{"start":"a","end":"b"},"items":[{"n":1}],"a/b":{},"x":null}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]flow.JSON{"/when/start": `"a"`, "/when/end": `"b"`, "/items": `[{"n":1}]`, "/a~1b": `{}`, "/x": `null`}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for p, v := range want {
		if got[p] != v {
			t.Errorf("%s is %s", p, got[p])
		}
	}
	for _, c := range []struct {
		read, leaf string
		want       bool
	}{
		{"/when", "/when/start", true}, {"/items/0/n", "/items", true}, {"/items", "/items", true},
		{"/item", "/items", false}, {"/when/start", "/when/end", false},
	} {
		if got := flow.Covers([]string{c.read}, c.leaf); got != c.want {
			t.Errorf("%s covers %s: %v", c.read, c.leaf, got)
		}
	}
	if _, err := flow.Leaves([]byte(`[1]`)); err == nil {
		t.Error("a list is no form")
	}
}
