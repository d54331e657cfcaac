package workflow

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/evidence"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// Export is a bundle as a file.
type Export struct {
	Name string
	Body []byte
}

// Export gives everything that proves how a request was decided, signed, for
// whoever sees the request in full; taking it is recorded. Personal values of
// the form are not in it, only their digests; opinions are, until they are
// erased. Package evidence checks it.
func (s *Service) Export(ctx context.Context, actor org.Actor, request id.ID) (Export, error) {
	b, err := s.Bundle(ctx, actor, request)
	if err != nil {
		return Export{}, err
	}
	var out bytes.Buffer
	if err := b.Write(&out, s.Signer); err != nil {
		return Export{}, err
	}
	return Export{Name: b.Request.ID + evidence.Extension, Body: out.Bytes()}, nil
}

// Bundle is Export before it is spelled and signed.
func (s *Service) Bundle(ctx context.Context, actor org.Actor, request id.ID) (*evidence.Bundle, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return nil, err
	}
	if len(s.hiddenTo(a, d, r, st)) > 0 {
		return nil, fault.Deny("workflow.export", "能看到申请全部内容的人", "whoever sees the whole request")
	}
	if s.Signer.Key == nil {
		return nil, fault.Refuse("NO_SIGNER", "这个进程没有签名密钥，不能导出", "this process has no key to sign with")
	}
	now := clock.Cut(s.clock.Now())
	b, err := s.steady(ctx, request, now)
	if err != nil {
		return nil, err
	}
	_, err = store.InTx(ctx, s.db, store.Internal("exportRequest"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: "workflow.export", Object: outbox.Ref{Kind: RefRequest, ID: request}, At: now})
		return struct{}{}, nil
	})
	return b, err
}

// steady reads a request, and what the audit log has of it, while no command
// changes it.
func (s *Service) steady(ctx context.Context, request id.ID, now time.Time) (*evidence.Bundle, error) {
	for {
		x, err := s.readWhole(ctx, request)
		if err != nil {
			return nil, err
		}
		b, err := s.bundle(ctx, x)
		if err != nil {
			return nil, err
		}
		b.MadeAt = now
		if b.Audit, b.Stretches, err = audit.About(ctx, s.db, s.Signer, request, now); err != nil {
			return nil, err
		}
		if still, err := s.still(ctx, x); err != nil || still {
			return b, err
		}
	}
}

func (s *Service) bundle(ctx context.Context, x *storedRequest) (*evidence.Bundle, error) {
	r := &x.row
	b := &evidence.Bundle{Report: flow.JSON(x.report), Request: evidence.Request{ID: r.ID.TypeID(RefRequest), Number: r.number(), Title: r.Title,
		Definition: r.Definition, Unit: r.Unit, Requester: r.Requester.String(), Status: r.Status, FormRev: r.FormRev,
		OpenedAt: r.OpenedAt.UTC(), ClosedAt: r.ClosedAt.UTC(), Head: r.Head}}
	events, err := readEvents(x.events)
	if err != nil {
		return nil, err
	}
	for i, e := range x.events {
		b.Events = append(b.Events, evidence.Event{Seq: int(e.Seq), Event: events[i], Prev: e.Prev, Hash: e.Hash})
	}
	for _, rev := range x.revisions {
		b.Revisions = append(b.Revisions, evidence.Revision{Rev: rev.Rev, Form: flow.JSON(rev.Form), Personal: sortedKeys(readApart(rev.Apart))})
	}
	values := map[string]org.Personal{}
	for _, p := range x.personal {
		if strings.HasPrefix(p.Field, noteField) {
			values[p.Field] = p
		}
	}
	for _, n := range flow.Notes(events) {
		if p, there := values[n.Ref]; there {
			b.Notes = append(b.Notes, evidence.Note{Ref: n.Ref, Text: p.Value, Key: hex.EncodeToString(p.Proof(s.db.Key()))})
		}
	}
	var texts []struct{ Hash, Source string }
	err = s.db.R.NewRaw(`SELECT hash, source FROM version WHERE definition = ? AND hash IN (?) ORDER BY n`, r.Definition, bun.List(evidence.Hashes(events))).Scan(ctx, &texts)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	for _, t := range texts {
		b.Definitions = append(b.Definitions, evidence.Definition{Hash: t.Hash, Source: t.Source})
	}
	return b, nil
}
