package workflow_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/evidence"
	"kelian/workflow/flow"
)

// testSigner signs for the federation of the tests.
var testSigner = audit.Signer{Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "https://kelian.example.edu"}

// seal seals the audit log.
func (f *fed) seal() {
	f.t.Helper()
	testkit.Eventually(f.t, "everything is sealed", func() bool {
		if _, err := audit.SealNext(context.Background(), f.db, f.clock.Now()); err != nil {
			f.t.Fatal(err)
		}
		rep, err := audit.Verify(context.Background(), f.db)
		return err == nil && rep.UnsealedTail == 0
	})
}

// decidedRequest is one that was sent back, changed, and approved with an
// opinion; its form has a personal and a hidden field.
func decidedRequest(f *fed) id.ID {
	f.publish(smallYAML)
	req := f.submit("zhouhang", "office.small", "", smallForm)
	f.decide("songlan", req, workflow.SendBack, "写清楚型号")
	f.resubmit("zhouhang", req, 1, strings.Replace(smallForm, "网线", "六类网线", 1))
	f.decide("songlan", req, workflow.Approve, "有货")
	f.clock.Advance(time.Minute)
	f.approve(req, "liu")
	f.status(req, flow.Approved)
	f.seal()
	return req
}

func (f *fed) bundle(who string, req id.ID) *evidence.Bundle {
	f.t.Helper()
	b, err := f.svc.Bundle(context.Background(), by(who), req)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func spell(t *testing.T, b *evidence.Bundle, by audit.Signer) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := b.Write(&out, by); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func examine(t *testing.T, raw []byte, key ed25519.PublicKey) evidence.Finding {
	t.Helper()
	f, err := evidence.Verify(bytes.NewReader(raw), key)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A bundle proves the outcome by itself, under the key that it carries and
// under the signer's, before and after an opinion and the phone are erased.
func TestBundleProvesTheOutcome(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := decidedRequest(f)
		out, err := f.svc.Export(ctx, by("luyuan"), req)
		if err != nil || out.Name != req.TypeID("req")+".kelian.jsonl" {
			t.Fatal(out.Name, err)
		}
		if bytes.Contains(out.Body, []byte("13800138000")) || !bytes.Contains(out.Body, []byte("有货")) {
			t.Error("the phone is in the bundle, or the opinion is not")
		}
		for _, key := range []ed25519.PublicKey{nil, testSigner.Public()} {
			r := examine(t, out.Body, key)
			if len(r.Faults) != 0 || r.Given != (key != nil) || !r.Outcome || r.Request.Status != flow.Approved || r.Votes != 2 || r.Notes != 2 || r.Erased != 0 || r.Sealed < 5 || r.Unsealed != 0 {
				t.Fatalf("%+v", r)
			}
		}
		_, stranger, _ := ed25519.GenerateKey(nil)
		if r := examine(t, out.Body, stranger.Public().(ed25519.PublicKey)); len(r.Faults) == 0 || !strings.Contains(r.Faults[0], "another key") {
			t.Errorf("under a stranger's key: %q", r.Faults)
		}
		f.inTx(func(ctx context.Context, tx *store.Tx) error { return org.Erase(ctx, tx, req, f.clock.Now()) })
		later := spell(t, f.bundle("zhouhang", req), testSigner)
		if r := examine(t, later, testSigner.Public()); len(r.Faults) != 0 || r.Erased != 2 || r.Notes != 0 || !r.Outcome {
			t.Fatalf("after the erasure: %+v", r)
		}
		if bytes.Contains(later, []byte("有货")) {
			t.Error("an erased opinion is in the bundle")
		}
		if _, err := f.svc.Export(ctx, by("songlan"), req); !fault.Is(err, fault.Forbidden) {
			t.Errorf("somebody to whom a field is hidden takes the bundle: %v", err)
		}
		if _, err := f.svc.Export(ctx, by("ayinuer"), req); !fault.Is(err, fault.NotFound) {
			t.Errorf("somebody who may not see the request takes the bundle: %v", err)
		}
		var taken int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'workflow.export'`).Scan(ctx, &taken); err != nil || taken != 2 {
			t.Fatalf("%d exports recorded, %v", taken, err)
		}
	})
}

// What nobody sealed yet is said, and no fault.
func TestBundleOfAFreshRequestSaysWhatIsNotSealed(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		if r := examine(t, spell(t, f.bundle("zhouhang", req), testSigner), nil); len(r.Faults) != 0 || r.Unsealed != 1 || r.Outcome {
			t.Fatalf("%+v", r)
		}
	})
}

// Every field of every line that is changed, added or removed is named.
func TestEveryChangedFieldOfABundleIsNamed(t *testing.T) {
	f := newFed(t, testkit.SQLite(t))
	lines := bytes.Split(bytes.TrimSpace(spell(t, f.bundle("luyuan", decidedRequest(f)), testSigner)), []byte("\n"))
	names := 0
	for i, line := range lines[:len(lines)-1] {
		leaves, err := flow.Leaves(line)
		if err != nil {
			t.Fatal(err)
		}
		for pointer, value := range leaves {
			changed := slices.Clone(lines)
			changed[i] = changeAt(t, line, pointer, value)
			r, err := evidence.Verify(bytes.NewReader(bytes.Join(changed, []byte("\n"))), testSigner.Public())
			if err != nil {
				continue // no longer a bundle at all, e.g. another kind; the line is named
			}
			names++
			if !slices.ContainsFunc(r.Faults, func(s string) bool { return strings.HasSuffix(s, pointer+" was changed") }) {
				t.Errorf("line %d: %s was changed and is not named: %q", i+1, pointer, r.Faults)
			}
		}
	}
	if names < 200 {
		t.Fatalf("only %d fields were tried", names)
	}
	for i := range lines {
		short := slices.Delete(slices.Clone(lines), i, i+1)
		if r, err := evidence.Verify(bytes.NewReader(bytes.Join(short, []byte("\n"))), testSigner.Public()); err == nil && len(r.Faults) == 0 {
			t.Errorf("line %d was taken out and nothing is said", i+1)
		}
	}
}

// changeAt gives the line with another value of the same kind at the pointer.
func changeAt(t *testing.T, line []byte, pointer string, value flow.JSON) []byte {
	t.Helper()
	var doc any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	at := doc.(map[string]any)
	steps := strings.Split(pointer, "/")[1:]
	for _, s := range steps[:len(steps)-1] {
		at = at[strings.NewReplacer("~1", "/", "~0", "~").Replace(s)].(map[string]any)
	}
	last := strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[len(steps)-1])
	switch x := at[last].(type) {
	case string:
		if moment, err := time.Parse(time.RFC3339, x); err == nil {
			at[last] = moment.Add(time.Second)
		} else if len(x) > 0 && strings.ContainsRune("0123456789abcdef", rune(x[len(x)-1])) {
			at[last] = x[:len(x)-1] + string("123456789abcdef0"[strings.IndexByte("0123456789abcdef", x[len(x)-1])])
		} else {
			at[last] = x + "x"
		}
	case json.Number:
		n, _ := x.Int64()
		at[last] = n + 1
	case bool:
		at[last] = !x
	case []any:
		at[last] = append([]any{"/x"}, x...)
	default:
		t.Fatalf("%s holds %s", pointer, value)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Whoever signs anew what he has changed is still found out: by what the parts
// say of each other.
func TestForgedBundleDoesNotFitTogether(t *testing.T) {
	f := newFed(t, testkit.SQLite(t))
	req := decidedRequest(f)
	_, key, _ := ed25519.GenerateKey(nil)
	forger := audit.Signer{Key: key, Origin: testSigner.Origin}
	for name, c := range map[string]struct {
		change func(b *evidence.Bundle)
		want   string
	}{
		"outcome": {func(b *evidence.Bundle) { b.Request.Status = flow.Rejected }, "/status is not what the events say"},
		"head":    {func(b *evidence.Bundle) { b.Request.Head = audit.Zero }, "/head is not the hash"},
		"form": {func(b *evidence.Bundle) {
			b.Revisions[1].Form = flow.JSON(strings.Replace(string(b.Revisions[1].Form), "六类网线", "光纤", 1))
		}, "revision 2: /form/what"},
		"opinion":    {func(b *evidence.Bundle) { b.Notes[1].Text = "没货" }, "/text is not what the events say"},
		"definition": {func(b *evidence.Bundle) { b.Definitions[0].Source += "#" }, "/source is not the text"},
		"no text":    {func(b *evidence.Bundle) { b.Definitions = nil }, "that the events name is missing"},
		"event gone": {func(b *evidence.Bundle) { b.Events = b.Events[:len(b.Events)-1] }, "/head is not the hash"},
		"time":       {func(b *evidence.Bundle) { b.Events[2].Event.At = b.Events[2].Event.At.Add(time.Hour) }, "event 3 was changed"},
		"audit":      {func(b *evidence.Bundle) { b.Audit[0].Row.Seat = "fed.chair" }, "is not the one at seal"},
		"no audit":   {func(b *evidence.Bundle) { b.Audit = nil }, "no sealed audit row"},
		"leaves":     {func(b *evidence.Bundle) { b.Stretches[0].Leaves = b.Stretches[0].Leaves[1:] }, "do not lead to the checkpoint"},
		"vote": {func(b *evidence.Bundle) {
			for i, ev := range b.Events {
				if v, ok := ev.Event.Body.(flow.VoteCast); ok {
					v.Read = audit.Zero
					b.Events[i].Event.Body = v
					return
				}
			}
		}, "the vote's digest is not that of what it read"},
	} {
		b := f.bundle("luyuan", req)
		c.change(b)
		// Checkpoints cannot be signed anew by a forger who has only his own key;
		// their signature is a fault of its own.
		r := examine(t, spell(t, b, forger), nil)
		if !slices.ContainsFunc(r.Faults, func(s string) bool { return strings.Contains(s, c.want) }) && name != "audit" && name != "leaves" {
			t.Errorf("%s: %q, want %q", name, r.Faults, c.want)
		}
		if !slices.ContainsFunc(r.Faults, func(s string) bool { return strings.Contains(s, "signature is wrong") }) {
			t.Errorf("%s: checkpoints of another signer were believed", name)
		}
		if r := examine(t, spell(t, b, testSigner), testSigner.Public()); !slices.ContainsFunc(r.Faults, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("%s, signed by the federation itself: %q, want %q", name, r.Faults, c.want)
		}
	}
}
