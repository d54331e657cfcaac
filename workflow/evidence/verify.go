package evidence

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/workflow/flow"
)

// Finding is the outcome of a verification. Without Faults the bundle is what
// its signer gave out and says what it states; Given says whether the signer is
// known from elsewhere or only from the bundle itself.
type Finding struct {
	Header      Header
	Request     Request
	Given       bool   // the key was given, not taken from the bundle
	Key         string // base64, that the signatures were checked with
	Events      int
	Votes       int  // with a right digest of what they read
	Notes       int  // proved
	Erased      int  // notes that were erased; the events still name them
	Sealed      int  // audit rows proved to stand under a signed checkpoint
	Unsealed    int  // audit rows that no checkpoint covered yet
	Outcome     bool // a sealed audit row names the head of the events
	Attachments []Attachment
	Faults      []string
}

// Attachment is a file that the forms or a decision on paper name; its SHA-256
// is part of the chain of events.
type Attachment struct {
	Where  string // e.g. "revision 2 /plan", "the paper of event 7"
	SHA256 string
}

func (f *Finding) fault(format string, args ...any) {
	f.Faults = append(f.Faults, fmt.Sprintf(format, args...))
}

// Verify checks a bundle by itself. key is the signer's as known from
// elsewhere; nil takes the one that the bundle carries, which proves only that
// the bundle fits together. The error says that it is no bundle.
func Verify(r io.Reader, key ed25519.PublicKey) (Finding, error) {
	b, err := read(r)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{Header: b.header, Request: b.Request, Given: key != nil, Events: len(b.Events)}
	if key == nil {
		raw, err := base64.StdEncoding.DecodeString(b.header.Key)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return f, errors.New("evidence: the bundle carries no key; give the signer's")
		}
		key = raw
	}
	f.Key = base64.StdEncoding.EncodeToString(key)
	f.fields(b, key)
	if st, ok := f.chain(b); ok {
		f.stated(b, st)
		f.definitions(b)
		f.forms(b, st)
		f.votes(b)
		f.notes(b)
	}
	f.log(b, key)
	return f, nil
}

// fields compares each line with the manifest and names what was changed.
func (f *Finding) fields(b *reading, key ed25519.PublicKey) {
	sig, err := base64.StdEncoding.DecodeString(b.manifest.Signature)
	if err != nil || !ed25519.Verify(key, signedText(b.manifest.Lines), sig) {
		if f.Given && f.Key != b.header.Key {
			f.fault("the bundle was signed by another key (%s) than the one given", b.header.Key)
		} else {
			f.fault("the manifest's signature is wrong")
		}
	}
	if f.Given && f.Key != b.header.Key {
		f.fault("bundle: /key is not the key given")
	}
	if len(b.raw) != len(b.manifest.Lines) {
		f.fault("%d lines are there, the manifest has %d", len(b.raw), len(b.manifest.Lines))
	}
	for i := range min(len(b.raw), len(b.manifest.Lines)) {
		have, err := fieldsOf(b.raw[i])
		if err != nil {
			f.fault("%s cannot be read: %v", b.names[i], err)
			continue
		}
		want := b.manifest.Lines[i]
		for _, p := range slices.Sorted(maps.Keys(have)) {
			if d, ok := want[p]; !ok {
				f.fault("%s: %s was added", b.names[i], p)
			} else if d != have[p] {
				f.fault("%s: %s was changed", b.names[i], p)
			}
		}
		for _, p := range slices.Sorted(maps.Keys(want)) {
			if _, ok := have[p]; !ok {
				f.fault("%s: %s was removed", b.names[i], p)
			}
		}
	}
}

// chain checks the events' hashes and folds them.
func (f *Finding) chain(b *reading) (flow.State, bool) {
	chain := make([]flow.Sealed, len(b.Events))
	events := make([]flow.Event, len(b.Events))
	for i, x := range b.Events {
		events[i] = x.Event
		chain[i] = flow.Sealed{Seq: x.Seq, Event: x.Event}
		prev, err := hex.DecodeString(x.Prev)
		hash, err2 := hex.DecodeString(x.Hash)
		if err != nil || err2 != nil || len(prev) != 32 || len(hash) != 32 {
			f.fault("event %d: its hash cannot be read", x.Seq)
			return flow.State{}, false
		}
		copy(chain[i].Prev[:], prev)
		copy(chain[i].Hash[:], hash)
	}
	head, err := flow.Verify(chain)
	if err != nil {
		f.fault("%s", strings.TrimPrefix(err.Error(), "flow: "))
	} else if hex.EncodeToString(head[:]) != b.Request.Head {
		f.fault("request: /head is not the hash of the last event")
	}
	st, err := flow.Refold(events)
	if err != nil {
		f.fault("%s", strings.TrimPrefix(err.Error(), "flow: "))
		return st, false
	}
	return st, true
}

// stated compares what the bundle states with the fold of the events.
func (f *Finding) stated(b *reading, st flow.State) {
	r := b.Request
	for _, x := range []struct {
		field string
		same  bool
	}{
		{"status", r.Status == st.Status}, {"formRev", r.FormRev == st.Rev()}, {"definition", r.Definition == st.Key}, {"requester", r.Requester == st.Requester},
		{"openedAt", r.OpenedAt.Equal(st.OpenedAt)}, {"closedAt", r.ClosedAt.Equal(st.ClosedAt)},
	} {
		if !x.same {
			f.fault("request: /%s is not what the events say", x.field)
		}
	}
}

// definitions checks that the texts are those that the events name.
func (f *Finding) definitions(b *reading) {
	have := map[string]bool{}
	for _, d := range b.Definitions {
		if have[d.Hash] = flow.Digest(flow.JSON(d.Source)) == d.Hash; !have[d.Hash] {
			f.fault("definition %.12s: /source is not the text of this hash", d.Hash)
		}
	}
	for _, h := range Hashes(b.events()) {
		if _, ok := have[h]; !ok {
			f.fault("the definition %.12s that the events name is missing", h)
		}
	}
}

func (b *reading) events() []flow.Event {
	out := make([]flow.Event, len(b.Events))
	for i, x := range b.Events {
		out[i] = x.Event
	}
	return out
}

// Hashes are the versions under which a request ran, in order.
func Hashes(events []flow.Event) []string {
	var out []string
	for _, ev := range events {
		switch e := ev.Body.(type) {
		case flow.Submitted:
			out = append(out, e.Hash)
		case flow.Migrated:
			out = append(out, e.To)
		}
	}
	return out
}

// forms recomputes the digests of each revision and of the report.
func (f *Finding) forms(b *reading, st flow.State) {
	if len(b.Revisions) != len(st.Forms) {
		f.fault("%d revisions are there, the events make %d", len(b.Revisions), len(st.Forms))
		return
	}
	for i, r := range b.Revisions {
		want := maps.Clone(st.Forms[i].Digests)
		for _, p := range r.Personal {
			delete(want, p)
		}
		f.form(fmt.Sprintf("revision %d", r.Rev), r.Form, want)
		if r.Rev != st.Forms[i].Rev {
			f.fault("revision %d stands in the place of revision %d", r.Rev, st.Forms[i].Rev)
		}
	}
	var want map[string]string
	if c := st.CloseOut; c != nil {
		want = c.Report.Digests
	}
	if len(want) > 0 || b.Report != "" {
		f.form("report", b.Report, want)
	}
	for i, ev := range b.events() {
		if ev.By.Scan != "" {
			f.Attachments = append(f.Attachments, Attachment{fmt.Sprintf("the paper of event %d", i+1), ev.By.Scan})
		}
	}
}

func (f *Finding) form(name string, form flow.JSON, want map[string]string) {
	leaves, err := flow.Leaves([]byte(form))
	if err != nil {
		f.fault("%s: /form cannot be read", name)
		return
	}
	for _, p := range slices.Sorted(maps.Keys(leaves)) {
		if flow.Digest(leaves[p]) != want[p] {
			f.fault("%s: /form%s is not what the events say", name, p)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if _, ok := leaves[p]; !ok {
			f.fault("%s: /form%s is missing", name, p)
		}
	}
	var value any
	if json.Unmarshal([]byte(form), &value) == nil {
		f.attachments(name, "", value)
	}
}

// attachments collects what has the shape of a file: {"file": "fil_…", "sha256"}.
func (f *Finding) attachments(name, at string, value any) {
	switch v := value.(type) {
	case map[string]any:
		file, _ := v["file"].(string)
		if sum, _ := v["sha256"].(string); strings.HasPrefix(file, "fil_") && len(sum) == 64 {
			f.Attachments = append(f.Attachments, Attachment{name + " " + at, sum})
			return
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			f.attachments(name, at+"/"+k, v[k])
		}
	case []any:
		for i, e := range v {
			f.attachments(name, fmt.Sprintf("%s/%d", at, i), e)
		}
	}
}

// votes recomputes the digest of what each vote read, in the form of its day.
func (f *Finding) votes(b *reading) {
	var st flow.State
	for i, ev := range b.events() {
		if v, ok := ev.Body.(flow.VoteCast); ok {
			if ss := st.Step(v.Step); ss == nil || v.FormRev < 1 || v.FormRev > st.Rev() || flow.ReadDigest(ss.Reads, st.Forms[v.FormRev-1]) != v.Read {
				f.fault("event %d: the vote's digest is not that of what it read", i+1)
			} else {
				f.Votes++
			}
		}
		st = flow.Evolve(st, ev)
	}
}

// notes checks the texts that are there against the digests in the events.
func (f *Finding) notes(b *reading) {
	named := map[string]string{}
	for _, n := range flow.Notes(b.events()) {
		named[n.Ref] = n.MAC
	}
	for _, n := range b.Notes {
		key, err := hex.DecodeString(n.Key)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(n.Text))
		want, ok := named[n.Ref]
		if delete(named, n.Ref); err != nil || !ok || !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(want)) {
			f.fault("note %s: /text is not what the events say", n.Ref)
			continue
		}
		f.Notes++
	}
	f.Erased = len(named)
}

// log checks that the audit rows stand under signed checkpoints, and that they
// name the hashes of these events.
func (f *Finding) log(b *reading, key ed25519.PublicKey) {
	leaves, faults := audit.Included(b.Stretches, func(note string) (audit.Head, error) {
		h, err := audit.ReadCheckpoint(note, key)
		if err == nil && h.Origin != b.header.Origin {
			err = fmt.Errorf("audit: the checkpoint at seal %d is of %s", h.Seq, h.Origin)
		}
		return h, err
	})
	f.Faults = append(f.Faults, faults...)
	request, err := id.Parse("req", b.Request.ID)
	if err != nil {
		f.fault("request: /id is none")
	}
	hashes := map[int]string{}
	for _, ev := range b.Events {
		hashes[ev.Seq] = ev.Hash
	}
	for _, x := range b.Audit {
		if x.Row.ObjectID != request {
			f.fault("audit row %s is about another object", x.Row.ID)
		}
		var said struct {
			Seq  int    `json:"seq"`
			Head string `json:"head"`
		}
		_ = json.Unmarshal([]byte(x.Row.Data), &said) // of other shapes there is nothing to compare
		if said.Head != "" && said.Head != hashes[said.Seq] {
			f.fault("audit row %s does not name the hash of event %d", x.Row.ID, said.Seq)
		}
		switch leaf, ok := leaves[x.Seal]; {
		case x.Seal == 0:
			f.Unsealed++
		case !ok || leaf != audit.Leaf(x.Row):
			f.fault("audit row %s is not the one at seal %d", x.Row.ID, x.Seal)
		default:
			f.Sealed++
			f.Outcome = f.Outcome || said.Head != "" && said.Head == b.Request.Head
		}
	}
	if !f.Outcome && f.Unsealed == 0 {
		f.fault("no sealed audit row names the head of the events")
	}
}
