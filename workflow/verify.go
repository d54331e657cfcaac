package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"kelian/internal/fault"
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

// storedRequest is all that one request has in the database.
type storedRequest struct {
	row       row
	hash      string // of the version's text
	events    []eventRow
	tasks     []taskRow
	decisions []decisionRow
	revisions []revisionRow
	personal  []org.Personal
	report    string // of the close-out, "" = none
}

// Check is Verify for the process itself. A command that commits between its
// reads is no fault: it looks again until the request stood still.
func (s *Service) Check(ctx context.Context, request id.ID) (Report, error) {
	for {
		x, err := s.readWhole(ctx, request)
		if err != nil {
			return Report{Request: request}, err
		}
		rep := s.checkWhole(x)
		if rep.OK() {
			return rep, nil
		}
		if still, err := s.still(ctx, x); err != nil || still {
			return rep, err
		}
	}
}

// still says that no command has changed the request since it was read.
func (s *Service) still(ctx context.Context, x *storedRequest) (bool, error) {
	var seq int64
	err := s.db.R.NewRaw(`SELECT seq FROM request WHERE id = ?`, x.row.ID).Scan(ctx, &seq)
	return seq == x.row.Seq, store.Busy(err)
}

// readWhole reads a request with everything that belongs to it, in one round
// trip on PostgreSQL; an absent one is fault.Missing.
func (s *Service) readWhole(ctx context.Context, request id.ID) (*storedRequest, error) {
	var rows []row
	var hashes, reports []string
	x := &storedRequest{}
	r := store.NewReads(s.db.R)
	r.SQL(&rows, `SELECT * FROM request WHERE id = ?`, request)
	r.SQL(&hashes, `SELECT version.hash FROM version JOIN request ON request.version_id = version.id WHERE request.id = ?`, request)
	r.SQL(&x.events, `SELECT * FROM event WHERE request_id = ? ORDER BY seq`, request)
	r.SQL(&x.tasks, `SELECT * FROM task WHERE request_id = ?`, request)
	r.SQL(&x.decisions, `SELECT * FROM decision WHERE request_id = ?`, request)
	r.SQL(&x.revisions, `SELECT * FROM revision WHERE request_id = ? ORDER BY rev`, request)
	r.SQL(&x.personal, `SELECT * FROM personal WHERE subject = ?`, request)
	r.SQL(&reports, `SELECT form FROM close_out WHERE request_id = ?`, request)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	if len(rows) == 0 || len(hashes) == 0 {
		return nil, fault.Missing()
	}
	x.row, x.hash = rows[0], hashes[0]
	if len(reports) > 0 {
		x.report = reports[0]
	}
	return x, nil
}

// checkWhole compares what is stored with what the events say.
func (s *Service) checkWhole(x *storedRequest) Report {
	r := &x.row
	rep := Report{Request: r.ID}
	events, err := rep.chain(x.events)
	if err != nil {
		rep.add("%v", err)
		return rep
	}
	if rep.Events, rep.Head = len(events), r.Head; rep.Events == 0 || x.events[len(x.events)-1].Hash != r.Head {
		rep.add("the head of the request is not the hash of its last event")
	}
	folded, err := flow.Refold(events)
	if err != nil {
		rep.add("%v", err)
		return rep
	}
	if st, err := readState(r.State); err != nil || !sameJSON(folded, st) {
		rep.add("the stored state is not the fold of the events")
	}
	rep.row(x, folded)
	rep.tasks(x, folded)
	rep.decisions(x, folded, events)
	rep.forms(x, folded, events, s.db.Key())
	return rep
}

// row compares the columns that lists and deadlines read.
func (rep *Report) row(x *storedRequest, st flow.State) {
	r := &x.row
	var due, done time.Time
	if c := st.CloseOut; c != nil {
		due, done = c.Due.At, c.DoneAt
	}
	for _, c := range []struct {
		name string
		same bool
	}{
		{"definition", r.Definition == st.Key}, {"version_id", x.hash == st.Hash}, {"requester", r.Requester.String() == st.Requester},
		{"status", r.Status == st.Status}, {"form_rev", r.FormRev == st.Rev()}, {"seq", r.Seq == int64(st.Seq)},
		{"opened_at", r.OpenedAt.Equal(st.OpenedAt)}, {"closed_at", r.ClosedAt.Equal(st.ClosedAt)},
		{"close_out_due", r.CloseOutDue.Equal(due)}, {"closed_out_at", r.ClosedOutAt.Equal(done)},
	} {
		if !c.same {
			rep.add("the request's %s is not what its events say", c.name)
		}
	}
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

// tasks compares the projection that inboxes read.
func (rep *Report) tasks(x *storedRequest, st flow.State) {
	have := map[string]taskRow{}
	for _, t := range x.tasks {
		have[t.Name] = t
	}
	if len(have) != len(st.Tasks) {
		rep.add("%d tasks are stored, the events make %d", len(have), len(st.Tasks))
	}
	for _, t := range st.Tasks {
		h, ok := have[t.ID]
		if !ok || h.ID != taskID(x.row.ID, t) || h.Step != t.Step || h.Round != t.Round || h.Origin != string(t.Origin) || h.Within != t.Within ||
			h.State != t.State || h.Verdict != t.Verdict || h.Person != personID(t.Elector.Person) || h.ForPerson != personID(t.Elector.For) ||
			h.Seat != t.Elector.Seat || h.ClosedBy != personID(t.ClosedBy) ||
			!h.OpenedAt.Equal(t.OpenedAt) || !h.DueAt.Equal(t.DueAt) || !h.ClosedAt.Equal(t.ClosedAt) {
			rep.add("the task %s is not what the events say", t.ID)
		}
	}
}

// decisions compares the answers with the votes and send-backs of the events.
func (rep *Report) decisions(x *storedRequest, st flow.State, events []flow.Event) {
	have := map[id.ID]decisionRow{}
	for _, d := range x.decisions {
		have[d.TaskID] = d
	}
	n := 0
	want := func(task string, by flow.Actor, d decisionRow, note *flow.Note) {
		n++
		if note != nil {
			d.Note = note.Ref
		}
		h, ok := have[taskID(x.row.ID, *st.Task(task))]
		if !ok || h.Verdict != d.Verdict || h.Target != d.Target || h.FormRev != d.FormRev || h.ReadDigest != d.ReadDigest || h.Note != d.Note ||
			h.Person != personID(by.Person) || h.ForPerson != personID(by.For) || h.Seat != by.Seat || h.Door != by.Door || h.Recorder != personID(by.Recorder) {
			rep.add("the decision on the task %s is not what the events say", task)
		}
	}
	for _, v := range st.Votes {
		if st.Task(v.Task).Origin != flow.ByAmend {
			want(v.Task, v.By, decisionRow{Verdict: v.Verdict, FormRev: v.CastRev, ReadDigest: v.Read}, v.Note)
		}
	}
	for i, ev := range events {
		if b, ok := ev.Body.(flow.SentBack); ok {
			before := flow.Fold(events[:i])
			d := decisionRow{Verdict: flow.Return, Target: b.To, FormRev: b.FormRev, ReadDigest: flow.ReadDigest(before.Step(b.Step).Reads, before.Form())}
			want(b.Task, ev.By, d, b.Note)
		}
	}
	if len(x.decisions) != n {
		rep.add("%d decisions are stored, the events make %d", len(x.decisions), n)
	}
}

// forms recomputes the digests of each revision and of the report. A personal
// leaf that is still there must carry the digest that the event names; so must
// a note.
func (rep *Report) forms(x *storedRequest, st flow.State, events []flow.Event, key []byte) {
	macs := map[string]string{}
	for _, p := range x.personal {
		if macs[p.Field] = p.Hash; !p.Proves(key) {
			rep.add("the personal value %s was changed", p.Field)
		}
	}
	revs := x.revisions
	if len(revs) != st.Rev() {
		rep.add("%d revisions are stored, the events make %d", len(revs), st.Rev())
		return
	}
	for i := range revs {
		rep.revision(&revs[i], st.Forms[i], macs)
	}
	if last := &revs[len(revs)-1]; last.Form != x.row.Form || last.Apart != x.row.Apart {
		rep.add("the request's form is not its newest revision")
	}
	if c := st.CloseOut; c != nil && !c.DoneAt.IsZero() {
		if got, err := flow.DigestForm(c.Report.Rev, []byte(x.report)); err != nil || !maps.Equal(got.Digests, c.Report.Digests) {
			rep.add("the report was changed")
		}
	}
	for _, n := range flow.Notes(events) {
		rep.mac("the note "+n.Ref, macs, n.Ref, n.MAC)
	}
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
