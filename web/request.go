package web

import (
	"slices"
	"strings"
	"time"

	"kelian/file"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/notify"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// requestPage is a request as one reader sees it.
type requestPage struct {
	workflow.View
	Moves         workflow.Moves
	Fields        []shownField
	Report        []shownField
	Revs          []shownRevision
	Changed       []shownChange // since what the reader decided on, or since the first
	Why           why
	Targets       []choice
	Fill          []formField   // what the reader's approval fills in
	PersonalShown []shownField  // after "show", which is recorded
	Changes       []shownChange // what a stale answer did not know
	Abstain       bool
	Told          []notify.DeliveryView
	Strong        bool
	CanClone      bool
	Can           bool // the reader may ask others before deciding
	Nudge         bool // the requester may nudge now
	Act, Said     string
	Score         string // as it was entered
	Who           picked
	Scans         map[string]string // addresses of the scans of papers, by digest
}

// Upload says that the decision can come with files.
func (d requestPage) Upload() bool { return takesFiles(d.Fill) }

type shownRevision struct {
	Rev     int
	At      time.Time
	Changes []shownChange
}

// fileDoor is where this reader downloads: who came by a decision's link, by
// the link.
func (c *call) fileDoor() string {
	if token := c.r.PathValue("token"); token != "" && strings.HasPrefix(c.r.URL.Path, "/d/") {
		return "/d/" + token + "/files/"
	}
	return "/files/"
}

// shower spells forms of the version that a request is pinned to.
func (c *call) shower(def *workflow.Definition) (*shower, error) {
	things, err := c.things()
	return &shower{voice: c.voice(), things: things, file: c.fileNames(), door: c.fileDoor(), form: def.Form}, err
}

// requestID reads the request of the address.
func (c *call) requestID() (id.ID, error) {
	if err := c.signedIn(); err != nil {
		return id.Nil, err
	}
	which, err := id.Parse(workflow.RefRequest, c.r.PathValue("id"))
	if err != nil {
		return id.Nil, fault.Missing()
	}
	return which, nil
}

func (c *call) request() error { return c.requestWith(nil) }

func (c *call) requestWith(reveal map[string]flow.JSON) error {
	which, err := c.requestID()
	if err != nil {
		return err
	}
	look, err := c.Workflow.Look(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	v := look.View
	d := requestPage{View: v, Moves: look.Moves, CanClone: true, Act: c.in("act"), Said: c.in("comment"), Score: c.in("score"), Who: c.picked}
	d.Nudge = d.Moves.Nudge && !c.Clock.Now().Before(d.Moves.NudgeAt)
	d.Can = v.Status == flow.Open && v.Mine != nil && d.Moves.HandOn
	if err := c.fillRequest(&d, &v); err != nil {
		return err
	}
	if v.Status == flow.Open {
		d.Why = c.why(&look)
	}
	d.Told, err = c.Notify.Deliveries(c.ctx(), c.actor, outbox.Ref{Kind: workflow.RefRequest, ID: which})
	if err != nil && !fault.Is(err, fault.Forbidden) && !fault.Is(err, fault.NotFound) {
		return err
	}
	if reveal != nil {
		d.PersonalShown = c.revealed(v.Version, reveal)
	}
	return c.show("request", v.Number+" "+v.Title, d)
}

// fillRequest spells the form, its revisions and what is open to the reader.
func (c *call) fillRequest(d *requestPage, v *workflow.View) error {
	sh, err := c.shower(v.Version)
	if err != nil {
		return err
	}
	d.Fields, d.Targets = sh.print(v.Filled()), c.targets(v)
	if v.Report != nil {
		report := *sh
		report.form = v.Version.CloseOut
		d.Report = report.print(v.Report.Fields)
	}
	for _, r := range v.Revisions[min(1, len(v.Revisions)):] {
		d.Revs = append(d.Revs, shownRevision{r.Rev, r.At, sh.changes(r.Changes)})
	}
	slices.Reverse(d.Revs)
	if c.err != nil {
		if stale, ok := c.err.Detail.(*workflow.StaleForm); ok {
			d.Changes = sh.changes(stale.Changes)
		}
	}
	if d.Scans, err = c.scans(v); err != nil || v.Mine == nil {
		return err
	}
	for _, st := range v.Steps {
		if st.Name == v.Mine.Step {
			d.Abstain = st.Rule.Abstain
		}
	}
	if len(d.Revs) > 0 {
		d.Changed = d.Revs[0].Changes
	}
	d.Fill, err = c.fillInputs(v.Version, v.Form, d.Moves.Fill)
	return err
}

// scans finds the scans of decisions from paper.
func (c *call) scans(v *workflow.View) (map[string]string, error) {
	out := map[string]string{}
	for _, st := range v.Steps {
		for _, t := range st.Tasks {
			if t.Decision != nil && t.Decision.Scan != "" {
				out[t.Decision.Scan] = ""
			}
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	files, err := c.File.Of(c.ctx(), c.actor, workflow.RefRequest, v.ID)
	for _, f := range files[v.ID] {
		if _, ok := out[f.SHA256]; ok {
			out[f.SHA256] = c.fileDoor() + f.ID.TypeID(file.RefFile)
		}
	}
	return out, err
}

func (c *call) revealed(def *workflow.Definition, leaves map[string]flow.JSON) []shownField {
	sh, err := c.shower(def)
	if err != nil {
		return nil
	}
	var out []shownField
	for pointer, leaf := range leaves {
		f := sh.field(pointer, "")
		title, _ := sh.words(f.Title)
		if title == "" {
			title = pointer
		}
		out = append(out, shownField{Title: title, Value: sh.value(decodeJSON(leaf), f)})
	}
	slices.SortFunc(out, func(a, b shownField) int { return strings.Compare(a.Title, b.Title) })
	return out
}

// requestPost does one move on the request, or shows what is recorded to be
// looked at.
func (c *call) requestPost() error {
	which, err := c.requestID()
	if err != nil {
		return err
	}
	at := "/requests/" + which.TypeID(workflow.RefRequest)
	act := c.in("act")
	if act == "personal" {
		leaves, err := c.Workflow.Personal(c.ctx(), c.actor, which)
		if err != nil {
			return c.refused(err, c.request)
		}
		return c.requestWith(leaves)
	}
	done := "saved"
	if move, ok := moves[act]; ok {
		done = move.done
		err = move.do(c, which)
	} else if err = c.decide(which, act); err == nil {
		return c.to("/inbox?decided="+which.TypeID(workflow.RefRequest), "decided")
	}
	if err != nil {
		return c.refused(err, c.request)
	}
	return c.to(at, done)
}
