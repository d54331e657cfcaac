package proof_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kelian/workflow"
	"kelian/workflow/flow"
	"kelian/workflow/proof"
)

var (
	monday = time.Date(2026, 11, 2, 1, 0, 0, 0, time.UTC)
	known  = workflow.Known{Facts: []string{"stock", "room_free", "board_free", "equipment_free"},
		Effects: []string{"property.purchase", "property.reserve", "property.seal", "sponsor.agree", "training.schedule"}}
)

// sample is a definition with what is said of it: "# key: value" lines at its
// head, and § at the place of the finding.
type sample struct {
	name, source string
	head         map[string]string
	line, col    int
}

func samples(t *testing.T, dir string) []sample {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var out []sample
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{name: filepath.Base(name), head: map[string]string{}}
		before, after, marked := strings.Cut(string(raw), "§")
		if marked {
			s.line = strings.Count(before, "\n") + 1
			s.col = len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
		}
		s.source = before + after
		lines := bufio.NewScanner(strings.NewReader(s.source))
		for lines.Scan() && strings.HasPrefix(lines.Text(), "# ") {
			k, v, _ := strings.Cut(lines.Text()[2:], ": ")
			s.head[k] = v
		}
		out = append(out, s)
	}
	return out
}

// prove runs the whole proof; seats is "expression=person+person, …".
func (s sample) prove() *proof.Report {
	d, err := workflow.Load([]byte(s.source), known)
	if err != nil {
		return workflow.ProveSource([]byte(s.source), known, monday)
	}
	return workflow.Prove(d, directory(s.head["seats"]), monday)
}

func directory(seats string) *proof.People {
	if seats == "" {
		return nil
	}
	sit := proof.Situation{Seats: map[string][]flow.Elector{}}
	for _, part := range strings.Split(seats, ", ") {
		seat, people, _ := strings.Cut(part, "=")
		name := strings.TrimSuffix(strings.TrimPrefix(seat, "seat("), ")")
		for _, p := range strings.Split(people, "+") {
			person, behalf, _ := strings.Cut(p, "/")
			sit.Seats[seat] = append(sit.Seats[seat], flow.Elector{Person: person, Seat: name, For: behalf})
		}
	}
	return &proof.People{Situations: []proof.Situation{sit}}
}

func TestEveryBadDefinitionIsRefusedWithItsCodePlaceAndWitness(t *testing.T) {
	all := samples(t, "bad")
	if len(all) < 25 {
		t.Fatalf("only %d samples", len(all))
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			r := s.prove()
			if r.OK() {
				t.Fatalf("not refused:\n%s", r.Text(false))
			}
			f := r.Findings[0]
			if f.Severity != proof.Error || f.Code != s.head["code"] {
				t.Fatalf("%s, want %s:\n%s", f.Code, s.head["code"], r.Text(false))
			}
			if f.Line != s.line || f.Col != s.col {
				t.Errorf("found at %d:%d, want %d:%d", f.Line, f.Col, s.line, s.col)
			}
			for _, extra := range r.Findings[1:] {
				if extra.Severity == proof.Error && extra.Code != f.Code {
					t.Errorf("also %s: %s", extra.Code, extra.En)
				}
			}
			s.witness(t, f)
			if c := proof.Codes[f.Code]; c.CauseZh == "" || c.CauseEn == "" || c.MendZh == "" || c.MendEn == "" || f.Zh == "" || f.En == "" {
				t.Errorf("%s is not explained in both languages", f.Code)
			}
		})
	}
}

// witness compares the counter-example with what the head says.
func (s sample) witness(t *testing.T, f proof.Finding) {
	t.Helper()
	w := f.Witness
	if w == nil {
		w = &proof.Witness{}
	}
	got := map[string]string{"form": string(w.Form), "trace": strings.Join(w.Trace, " → "), "requester": w.Requester,
		"absent": w.Absent, "person": w.Person, "escalated": w.Escalated}
	for k, v := range got {
		if want, said := s.head[k]; said && v != want {
			t.Errorf("the witness's %s is %q, want %q", k, v, want)
		}
	}
	if len(w.Form) == 0 {
		return
	}
	d, err := workflow.Load([]byte(s.source), known)
	if err != nil {
		t.Fatal(err)
	}
	filled, wrong := d.Form.Fill(w.Form)
	broken, err := d.CheckRules(filled, monday)
	if len(wrong) > 0 || len(broken) > 0 || err != nil {
		t.Errorf("the form is no form of the definition: %+v %+v %v", wrong, broken, err)
	}
}

func TestDoubtsAreWarnedOfAndPublished(t *testing.T) {
	for _, s := range samples(t, "doubtful") {
		t.Run(s.name, func(t *testing.T) {
			r := s.prove()
			if !r.OK() || len(r.Findings) == 0 {
				t.Fatalf("want a warning:\n%s", r.Text(false))
			}
			f := r.Findings[0]
			if f.Code != s.head["code"] || f.Line != s.line || f.Col != s.col {
				t.Errorf("%s at %d:%d, want %s at %d:%d", f.Code, f.Line, f.Col, s.head["code"], s.line, s.col)
			}
			s.witness(t, f)
		})
	}
}

func TestSoundDefinitionsPass(t *testing.T) {
	for _, s := range samples(t, "good") {
		t.Run(s.name, func(t *testing.T) {
			r := s.prove()
			if len(r.Findings) > 0 || r.Control.Verdict != proof.Proven || r.Data.Verdict != proof.Proven {
				t.Fatal(r.Text(false))
			}
		})
	}
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		r := workflow.Prove(d, nil, monday)
		if len(r.Findings) > 0 || r.Control.Verdict == proof.Skipped || r.Data.Verdict != proof.Proven || r.People.Verdict != proof.Skipped {
			t.Error(r.Text(false))
		}
		if r.Definition != d.Flow.Key || r.Hash != d.Flow.Hash {
			t.Errorf("the report is of %s %s", r.Definition, r.Hash)
		}
	}
}
