package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/workflow/flow"
	"kelian/workflow/proof"
)

// errUnproved says that a form holds the text of a workflow that was not looked
// at before the transaction, where there is time for a proof.
var errUnproved = fault.Refuse("DRAFT_UNPROVED", "流程文本没有检查，请重新提交", "the text of the workflow was not examined; submit it again")

// draft is the text of a workflow in a form, examined.
type draft struct {
	text  string
	facts map[string]flow.JSON
}

// withDraft runs a command, and once more with the form's text examined if that
// is what it lacked.
func (s *Service) withDraft(ctx context.Context, form map[string]any, do func(*draft) (Outcome, error)) (Outcome, error) {
	out, err := do(nil)
	if !errors.Is(err, errUnproved) {
		return out, err
	}
	d, err := s.draftOf(ctx, form)
	if err != nil {
		return Outcome{}, err
	}
	return do(d)
}

// proveText loads and proves a text; one with mistakes is DEFINITION_INVALID.
func (s *Service) proveText(ctx context.Context, text string, now time.Time) (*Definition, *proof.Report, error) {
	d, err := Load([]byte(text), s.known)
	if err != nil {
		return nil, nil, invalid(err)
	}
	people, err := s.peopleOf(ctx, s.db.R, d, now)
	if err != nil {
		return nil, nil, err
	}
	return d, Prove(d, people, now), nil
}

// draftOf examines the text of a form that asks for its publication: what is
// refuted is not asked for, and the League Committee has a say in what concerns
// its steps, whatever the form claims.
func (s *Service) draftOf(ctx context.Context, form map[string]any) (*draft, error) {
	text, _ := form["text"].(string)
	d, report, err := s.proveText(ctx, text, s.clock.Now())
	if err == nil {
		staffed, _ := form["understaffed"].(bool)
		err = refuted(report, staffed)
	}
	if f, refused := fault.As(err); refused {
		return nil, f.At("form", "text")
	}
	if err != nil {
		return nil, err
	}
	if key, _ := form["definition"].(string); key != d.Flow.Key {
		return nil, formInvalid([]FieldError{{Pointer: "/definition", Code: "KEY", Zh: "与文本里的 key 不同", En: "the key in the text is another one"}})
	}
	old, hash, n, err := s.presentOf(ctx, d.Flow.Key)
	if err != nil {
		return nil, err
	}
	if league, _ := form["league"].(bool); !league && concernsLeague(old, d) {
		return nil, formInvalid([]FieldError{{Pointer: "/league", Code: "LEAGUE", Zh: "改动涉及团委的步骤，请选“是”", En: "steps of the League Committee change: say so"}})
	}
	out := &draft{text: text, facts: map[string]flow.JSON{}}
	if out.facts[FactProof], err = canonical(proofFact(report)); err != nil {
		return nil, err
	}
	fact := diffFact{From: n, Hash: hash}
	if old != nil {
		fact.list(Diff(old, d))
	}
	out.facts[FactDiff], err = canonical(fact)
	return out, err
}

// presentOf is the published version, nil where there is none.
func (s *Service) presentOf(ctx context.Context, key string) (d *Definition, hash string, n int, err error) {
	rows, err := s.versionsOf(ctx, s.db.R, key)
	if fault.Is(err, fault.NotFound) {
		return nil, "", 0, nil
	}
	if err != nil {
		return nil, "", 0, err
	}
	v, err := pick(rows, 0, "definition")
	if err != nil {
		return nil, "", 0, nil //nolint:nilerr // it is retired
	}
	d, err = s.version(ctx, s.db.R, v.ID)
	return d, v.Hash, v.N, err
}

// diffFact is FactDiff: against which version, and what changed.
type diffFact struct {
	From    int          `json:"from"` // 0: none is published
	Hash    string       `json:"hash"`
	Changes []Difference `json:"changes"`
	More    int          `json:"more,omitempty"` // changes beyond the first
}

// diffFactSize bounds how many changes a fact lists.
const diffFactSize = 100

func (f *diffFact) list(all []Difference) {
	n := min(len(all), diffFactSize)
	f.Changes, f.More = all[:n], len(all)-n
}

// unchanged refuses to put a text in the place of a version that it was not
// compared with.
func (s *Service) unchanged(ctx context.Context, tx *store.Tx, key string, fact flow.JSON) error {
	var seen diffFact
	if fact == "" {
		return nil // approved under a definition that does not compare
	}
	if err := json.Unmarshal([]byte(fact), &seen); err != nil {
		return err
	}
	var now []string
	err := tx.NewRaw(`SELECT hash FROM version WHERE definition = ? AND state = 'PUBLISHED'`, key).Scan(ctx, &now)
	if err != nil && !store.NoRows(err) {
		return err
	}
	if strings.Join(now, "") != seen.Hash {
		return fault.Refuse("OUTDATED", "审批期间这个流程已有新版本，没有发布。请在新版本上修改后重新申请", "another version was published meanwhile, so this one was not; ask again with a text that is based on it")
	}
	return nil
}

// proofFact is what a proof found, without counter-examples: they name people.
func proofFact(r *proof.Report) *proof.Report {
	out := *r
	out.Findings = slices.Clone(r.Findings)
	for i := range out.Findings {
		out.Findings[i].Witness = nil
	}
	return &out
}

// concernsLeague says that a step that asks the League Committee, or goes to it
// when it is late, is not the same in both.
func concernsLeague(old, d *Definition) bool {
	steps := func(d *Definition) map[string]map[string]flow.JSON {
		out := map[string]map[string]flow.JSON{}
		if d == nil {
			return out
		}
		for _, p := range pieces(d) {
			if asks := string(p.parts["ask"]) + string(p.parts["on_due"]); p.area == AreaStep && strings.Contains(asks, "league.") {
				out[p.name] = p.parts
			}
		}
		return out
	}
	return !maps.EqualFunc(steps(old), steps(d), maps.Equal[map[string]flow.JSON, map[string]flow.JSON])
}
