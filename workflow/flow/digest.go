package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Leaves cuts a form into its leaves: objects are opened, anything else
// (arrays too) is one leaf. Keys are JSON pointers (RFC 6901), values are
// canonical.
func Leaves(form []byte) (map[string]JSON, error) {
	c, err := Canonical(form)
	if err != nil {
		return nil, err
	}
	out := map[string]JSON{}
	if err := leaves(out, "", c); err != nil {
		return nil, err
	}
	return out, nil
}

func leaves(out map[string]JSON, at string, value []byte) error {
	if !bytes.HasPrefix(value, []byte("{")) || string(value) == "{}" {
		if at == "" {
			if string(value) == "{}" {
				return nil
			}
			return fmt.Errorf("flow: a form is a JSON object")
		}
		out[at] = JSON(value)
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil {
		return err
	}
	for k, v := range members {
		if err := leaves(out, at+"/"+escape(k), v); err != nil {
			return err
		}
	}
	return nil
}

func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// Digest is the unkeyed digest of one leaf: SHA-256, hex.
func Digest(value JSON) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// DigestForm digests every leaf of a form without a key. Personal fields must
// be digested with one, by the shell; this is for forms that have none.
func DigestForm(rev int, form []byte) (Form, error) {
	all, err := Leaves(form)
	if err != nil {
		return Form{}, err
	}
	out := Form{Rev: rev, Digests: make(map[string]string, len(all))}
	for p, v := range all {
		out.Digests[p] = Digest(v)
	}
	return out, nil
}

// within says whether the pointer is the other or below it.
func within(pointer, above string) bool {
	return pointer == above || strings.HasPrefix(pointer, above+"/")
}

// Covers says whether somebody who reads these pointers (none: everything)
// reads the leaf, or a part of it.
func Covers(reads []string, leaf string) bool {
	if len(reads) == 0 {
		return true
	}
	return slices.ContainsFunc(reads, func(r string) bool { return within(leaf, r) || within(r, leaf) })
}

// covered are those of the sorted leaves that reads covers.
func covered(reads, leaves []string) []string {
	var out []string
	for _, p := range leaves {
		if Covers(reads, p) {
			out = append(out, p)
		}
	}
	return out
}

// covers says that whoever reads a has read all of b in this form.
func covers(a, b []string, form Form) bool {
	for p := range form.Digests {
		if Covers(b, p) && !Covers(a, p) {
			return false
		}
	}
	return len(a) == 0 || len(b) > 0
}

// ReadDigest is what a vote signs: SHA-256 over the covered leaves' pointers
// and digests in order, hex.
func ReadDigest(reads []string, form Form) string {
	h := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(form.Digests)) {
		if Covers(reads, p) {
			fmt.Fprintf(h, "%d:%s=%s\n", len(p), p, form.Digests[p])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Chain is the hash of an event in its request's chain: SHA-256(prev ‖
// canonical JSON of {"seq", "event"}). Seq counts from 1; the first prev is
// zero.
func Chain(prev [32]byte, seq int, ev Event) ([32]byte, error) {
	_, sum, err := Seal(prev, seq, ev)
	return sum, err
}

// Seal is Chain that also gives the event's canonical JSON.
func Seal(prev [32]byte, seq int, ev Event) (body []byte, sum [32]byte, err error) {
	raw, err := json.Marshal(ev)
	if err == nil {
		body, err = Canonical(raw)
	}
	if err != nil {
		return nil, sum, err
	}
	// The keys are in canonical order.
	return body, sha256.Sum256(fmt.Appendf(prev[:], `{"event":%s,"seq":%d}`, body, seq)), nil
}

// Sealed is one stored event of a chain.
type Sealed struct {
	Seq   int
	Event Event
	Prev  [32]byte
	Hash  [32]byte
}

// Verify checks a whole chain from its first event and gives its head. The
// error names the first event that is wrong.
func Verify(chain []Sealed) ([32]byte, error) {
	var head [32]byte
	for i, s := range chain {
		if s.Seq != i+1 {
			return head, fmt.Errorf("flow: event %d is missing, found %d", i+1, s.Seq)
		}
		if s.Prev != head {
			return head, fmt.Errorf("flow: event %d does not follow the one before it", s.Seq)
		}
		sum, err := Chain(head, s.Seq, s.Event)
		if err != nil {
			return head, fmt.Errorf("flow: event %d: %w", s.Seq, err)
		}
		if sum != s.Hash {
			return head, fmt.Errorf("flow: event %d was changed", s.Seq)
		}
		head = sum
	}
	return head, nil
}
