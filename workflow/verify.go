package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Report is what Verify found. Problems are empty when the request is what its
// events say; Erased counts personal values that were erased, which is no
// problem.
type Report struct {
	Request  id.ID
	Events   int
	Head     string
	Erased   int
	Problems []string
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) add(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Verify checks a request against its events, for supervision and the League
// Committee: the chain, the fold, the tasks, the forms and the personal values
// that were not erased.
func (s *Service) Verify(ctx context.Context, actor org.Actor, request id.ID) (Report, error) {
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return Report{}, err
	}
	if err := s.rules.Check(a, "workflow.verify", org.Object{}); err != nil {
		return Report{}, err
	}
	return s.Check(ctx, request)
}

// Check is Verify for the process itself.
func (s *Service) Check(ctx context.Context, request id.ID) (Report, error) {
	rep := Report{Request: request}
	r, st, _, err := s.get(ctx, s.db.R, request)
	if err != nil {
		return rep, err
	}
	var rows []eventRow
	if err := s.db.R.NewSelect().Model(&rows).Where("request_id = ?", request).OrderExpr("seq").Scan(ctx); err != nil && !store.NoRows(err) {
		return rep, store.Busy(err)
	}
	events, err := rep.chain(rows)
	if err != nil {
		rep.add("%v", err)
		return rep, nil
	}
	if rep.Events, rep.Head = len(events), r.Head; rep.Events == 0 || rows[len(rows)-1].Hash != r.Head {
		rep.add("the head of the request is not the hash of its last event")
	}
	folded := flow.Fold(events)
	if !sameJSON(folded, st) {
		rep.add("the stored state is not the fold of the events")
	}
	if folded.Status != r.Status || folded.Rev() != r.FormRev || folded.Requester != r.Requester.String() {
		rep.add("the request's row is not what its events say")
	}
	if err := s.checkTasks(ctx, &rep, r, folded); err != nil {
		return rep, err
	}
	return rep, s.checkForms(ctx, &rep, r, folded, events)
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// chain reads the events and checks that each follows the one before it.
func (rep *Report) chain(rows []eventRow) ([]flow.Event, error) {
	events, err := readEvents(rows)
	if err != nil {
		return nil, err
	}
	sealed := make([]flow.Sealed, len(rows))
	for i, r := range rows {
		sealed[i] = flow.Sealed{Seq: int(r.Seq), Event: events[i]}
		if sealed[i].Prev, err = readHash(r.Prev); err != nil {
			return nil, err
		}
		if sealed[i].Hash, err = readHash(r.Hash); err != nil {
			return nil, err
		}
	}
	_, err = flow.Verify(sealed)
	return events, err
}

// checkTasks compares the projection that inboxes read.
func (s *Service) checkTasks(ctx context.Context, rep *Report, r *row, st flow.State) error {
	var rows []taskRow
	if err := s.db.R.NewSelect().Model(&rows).Where("request_id = ?", r.ID).Scan(ctx); err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	have := map[string]taskRow{}
	for _, t := range rows {
		have[t.Name] = t
	}
	if len(have) != len(st.Tasks) {
		rep.add("%d tasks are stored, the events make %d", len(have), len(st.Tasks))
	}
	for _, t := range st.Tasks {
		h, ok := have[t.ID]
		if !ok || h.ID != taskID(r.ID, t) || h.State != t.State || h.Verdict != t.Verdict || h.Step != t.Step || h.Person.String() != t.Elector.Person || h.Seat != t.Elector.Seat {
			rep.add("the task %s is not what the events say", t.ID)
		}
	}
	return nil
}

// checkForms recomputes the digests of each revision. A personal leaf that is
// still there must carry the digest that the event names; so must a note.
func (s *Service) checkForms(ctx context.Context, rep *Report, r *row, st flow.State, events []flow.Event) error {
	var revs []revisionRow
	if err := s.db.R.NewSelect().Model(&revs).Where("request_id = ?", r.ID).OrderExpr("rev").Scan(ctx); err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	var personal []org.Personal
	if err := s.db.R.NewSelect().Model(&personal).Where("subject = ?", r.ID).Scan(ctx); err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	macs := map[string]string{}
	for _, p := range personal {
		if macs[p.Field] = p.Hash; !p.Proves(s.db.Key()) {
			rep.add("the personal value %s was changed", p.Field)
		}
	}
	if len(revs) != st.Rev() {
		rep.add("%d revisions are stored, the events make %d", len(revs), st.Rev())
		return nil
	}
	for i := range revs {
		rep.revision(&revs[i], st.Forms[i], macs)
	}
	for _, n := range notesOf(events) {
		rep.mac("the note "+n.Ref, macs, n.Ref, n.MAC)
	}
	return nil
}

func (rep *Report) revision(rev *revisionRow, form flow.Form, macs map[string]string) {
	got, err := flow.DigestForm(rev.Rev, []byte(rev.Form))
	if err != nil {
		rep.add("revision %d cannot be read", rev.Rev)
		return
	}
	want := maps.Clone(form.Digests)
	for pointer, field := range readApart(rev.Apart) {
		rep.mac(fmt.Sprintf("the value of %s in revision %d", pointer, rev.Rev), macs, field, want[pointer])
		delete(want, pointer)
	}
	if !maps.Equal(got.Digests, want) {
		rep.add("revision %d was changed", rev.Rev)
	}
}

// mac compares a personal row's digest with the one in the events; a row that
// is gone was erased.
func (rep *Report) mac(what string, macs map[string]string, field, want string) {
	switch got, there := macs[field]; {
	case !there:
		rep.Erased++
	case got != want:
		rep.add("%s is not what the events say", what)
	}
}

// notesOf collects the texts that events name.
func notesOf(events []flow.Event) []flow.Note {
	var out []flow.Note
	add := func(n *flow.Note) {
		if n != nil {
			out = append(out, *n)
		}
	}
	for _, ev := range events {
		switch b := ev.Body.(type) {
		case flow.VoteCast:
			add(b.Note)
		case flow.SentBack:
			add(b.Note)
		case flow.Resubmitted:
			add(b.Note)
		case flow.Commented:
			add(&b.Note)
		case flow.Closed:
			add(b.Note)
		}
	}
	return out
}
