// Package evidence is what is handed out about one request so that anybody can
// check it later without a database and without a server: the definition's
// text, the forms, the opinions, the chain of events, and what proves that the
// audit log's signed checkpoints cover its outcome.
//
// A bundle is UTF-8 text, one JSON object on a line, each with its kind. The
// last line, the manifest, holds a digest of every field of those before it and
// a signature.
package evidence

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"kelian/internal/audit"
	"kelian/workflow/flow"
)

// MediaType and Extension are those of a bundle.
const (
	MediaType = "application/x-ndjson; charset=utf-8"
	Extension = ".kelian.jsonl"
)

// format is the version of the lines below.
const format = 1

// The kinds of lines, in their order in a bundle.
const (
	kindBundle     = "bundle"
	kindRequest    = "request"
	kindDefinition = "definition"
	kindRevision   = "revision"
	kindReport     = "report"
	kindEvent      = "event"
	kindNote       = "note"
	kindAudit      = "audit"
	kindStretch    = "stretch"
	kindManifest   = "manifest"
)

// Bundle is what Write spells. Persons are identifiers, never names.
type Bundle struct {
	Request     Request
	Definitions []Definition
	Revisions   []Revision
	Report      flow.JSON // the close-out, "" = none
	Events      []Event
	Notes       []Note
	Audit       []audit.Sealed
	Stretches   []audit.Stretch
	MadeAt      time.Time
}

// Header is the first line.
type Header struct {
	Kind   string    `json:"kind"`
	Format int       `json:"format"`
	Origin string    `json:"origin"` // who made and signed it
	Key    string    `json:"key"`    // Ed25519, base64: whose signatures it carries
	MadeAt time.Time `json:"madeAt"`
}

// Request is what the bundle states; the events have to say the same.
type Request struct {
	Kind       string      `json:"kind"`
	ID         string      `json:"id"` // req_…
	Number     string      `json:"number"`
	Title      string      `json:"title"`
	Definition string      `json:"definition"`
	Unit       string      `json:"unit"`
	Requester  string      `json:"requester"`
	Status     flow.Status `json:"status"`
	FormRev    int         `json:"formRev"`
	OpenedAt   time.Time   `json:"openedAt"`
	ClosedAt   time.Time   `json:"closedAt,omitzero"`
	Head       string      `json:"head"` // of the chain of events
}

// Definition is a version's text; Hash is its SHA-256.
type Definition struct {
	Kind   string `json:"kind"`
	Hash   string `json:"hash"`
	Source string `json:"source"`
}

// Revision is a form without its personal leaves, of which the events hold
// keyed digests; Personal are their pointers.
type Revision struct {
	Kind     string    `json:"kind"`
	Rev      int       `json:"rev"`
	Form     flow.JSON `json:"form"`
	Personal []string  `json:"personal,omitempty"`
}

type report struct {
	Kind string    `json:"kind"`
	Form flow.JSON `json:"form"`
}

// Event is one event in the chain; Prev and Hash are hex.
type Event struct {
	Kind  string     `json:"kind"`
	Seq   int        `json:"seq"`
	Event flow.Event `json:"event"`
	Prev  string     `json:"prev"`
	Hash  string     `json:"hash"`
}

// Note is an opinion or remark with the key of its own that proves it: its
// HMAC-SHA-256 is what the events hold. One that was erased is not there.
type Note struct {
	Kind string `json:"kind"`
	Ref  string `json:"ref"`
	Text string `json:"text"`
	Key  string `json:"key"` // hex
}

type auditLine struct {
	Kind string `json:"kind"`
	audit.Sealed
}

type stretchLine struct {
	Kind string `json:"kind"`
	audit.Stretch
}

type manifest struct {
	Kind      string              `json:"kind"`
	Lines     []map[string]string `json:"lines"`     // by JSON pointer: SHA-256 of the field, hex
	Signature string              `json:"signature"` // base64, see signedText
}

// signedText is what a manifest's signature is over.
func signedText(lines []map[string]string) []byte {
	h := sha256.New()
	for i, fields := range lines {
		for _, p := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(h, "%d %d:%s=%s\n", i, len(p), p, fields[p])
		}
	}
	return []byte("kelian bundle " + hex.EncodeToString(h.Sum(nil)) + "\n")
}

// fieldsOf digests the fields of a line by pointer.
func fieldsOf(line []byte) (map[string]string, error) {
	form, err := flow.DigestForm(0, line)
	return form.Digests, err
}

// lines are those before the manifest.
func (b *Bundle) lines(by audit.Signer) []any {
	out := []any{Header{kindBundle, format, by.Origin, base64.StdEncoding.EncodeToString(by.Public()), b.MadeAt.UTC()}}
	r := b.Request
	r.Kind = kindRequest
	out = append(out, r)
	for _, x := range b.Definitions {
		x.Kind = kindDefinition
		out = append(out, x)
	}
	for _, x := range b.Revisions {
		x.Kind = kindRevision
		out = append(out, x)
	}
	if b.Report != "" {
		out = append(out, report{kindReport, b.Report})
	}
	for _, x := range b.Events {
		x.Kind = kindEvent
		out = append(out, x)
	}
	for _, x := range b.Notes {
		x.Kind = kindNote
		out = append(out, x)
	}
	for _, x := range b.Audit {
		out = append(out, auditLine{kindAudit, x})
	}
	for _, x := range b.Stretches {
		out = append(out, stretchLine{kindStretch, x})
	}
	return out
}

// Write spells and signs the bundle.
func (b *Bundle) Write(w io.Writer, by audit.Signer) error {
	var spelt [][]byte
	m := manifest{Kind: kindManifest}
	for _, x := range b.lines(by) {
		raw, err := json.Marshal(x)
		if err != nil {
			return err
		}
		fields, err := fieldsOf(raw)
		if err != nil {
			return err
		}
		spelt, m.Lines = append(spelt, raw), append(m.Lines, fields)
	}
	m.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(by.Key, signedText(m.Lines)))
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	for _, line := range append(spelt, raw) {
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// The bounds of a bundle that is read.
const (
	maxLine  = 64 << 20
	maxLines = 100_000
)

// read takes a bundle apart; raw are its lines in order, without the manifest,
// and places says what stands on which.
type reading struct {
	Bundle
	header   Header
	raw      [][]byte
	names    []string
	manifest manifest
}

func read(r io.Reader) (*reading, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<16), maxLine)
	out := &reading{}
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		if n > maxLines || out.manifest.Kind != "" {
			return nil, fmt.Errorf("evidence: line %d: more lines than a bundle has", n)
		}
		if err := out.line(bytes.Clone(line)); err != nil {
			return nil, fmt.Errorf("evidence: line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if out.header.Format != format || out.manifest.Kind == "" {
		return nil, fmt.Errorf("evidence: this is no bundle of a request, or a part of it is missing")
	}
	return out, nil
}

// line reads one line; a field that it does not know is an error.
func (b *reading) line(raw []byte) error {
	var head struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	name := head.Kind
	var err error
	switch head.Kind {
	case kindBundle:
		b.header, err = strict[Header](raw)
	case kindRequest:
		b.Request, err = strict[Request](raw)
	case kindDefinition:
		var x Definition
		x, err = strict[Definition](raw)
		b.Definitions, name = append(b.Definitions, x), fmt.Sprintf("definition %.12s", x.Hash)
	case kindRevision:
		var x Revision
		x, err = strict[Revision](raw)
		b.Revisions, name = append(b.Revisions, x), fmt.Sprintf("revision %d", x.Rev)
	case kindReport:
		var x report
		x, err = strict[report](raw)
		b.Report = x.Form
	case kindEvent:
		var x Event
		x, err = strict[Event](raw)
		b.Events, name = append(b.Events, x), fmt.Sprintf("event %d", x.Seq)
	case kindNote:
		var x Note
		x, err = strict[Note](raw)
		b.Notes, name = append(b.Notes, x), "note "+x.Ref
	case kindAudit:
		var x auditLine
		x, err = strict[auditLine](raw)
		b.Audit, name = append(b.Audit, x.Sealed), fmt.Sprintf("audit row %s", x.Row.ID)
	case kindStretch:
		var x stretchLine
		x, err = strict[stretchLine](raw)
		b.Stretches, name = append(b.Stretches, x.Stretch), fmt.Sprintf("stretch from seal %d", x.From)
	case kindManifest:
		b.manifest, err = strict[manifest](raw)
		return err
	default:
		return fmt.Errorf("unknown kind %.40q", head.Kind)
	}
	b.raw, b.names = append(b.raw, raw), append(b.names, name)
	return err
}

func strict[T any](raw []byte) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	return v, err
}
