package web

import (
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"

	"kelian/internal/fault"
	"kelian/workflow"
	"kelian/workflow/flow"
	"kelian/workflow/proof"
	"kelian/workflow/render"
)

// workflows lists what is published.
func (c *call) workflows() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	defs, err := c.Workflow.Definitions(c.ctx(), c.actor)
	if err != nil {
		return err
	}
	return c.show("workflows", c.t("workflows.title"), struct {
		List    []workflow.Listed
		Publish bool
	}{defs, c.can("workflow.publish", "")})
}

// workflowPage is one version, as somebody who is to use it reads it.
type workflowPage struct {
	workflow.Listed
	Picture template.HTML
	Steps   []stepRow
	Asks    []askRow
	Report  []askRow // of what is owed after approval
	Params  []choice
	Proof   *proofShown // for those who may publish
	Publish bool
}

type stepRow struct {
	Title, Rule, Due string
	Who, Fills       []string
	When             []string // under which conditions, outermost first
}

type askRow struct {
	Title, Why string
	Required   bool
	Choices    []string
}

func (c *call) workflowPage() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	def, err := c.definition(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	d := workflowPage{Listed: *def, Publish: c.can("workflow.publish", "")}
	if d.Picture, err = c.drawing(def.Definition); err != nil {
		return err
	}
	d.describe(c.voice(), def.Definition)
	if d.Publish {
		report, err := c.Workflow.Report(c.ctx(), c.actor, def.Version)
		if quiet(err) != nil {
			return err
		}
		d.Proof = c.proof(report)
	}
	title, _ := c.voice().words(def.Title)
	return c.show("workflow", title, d)
}

// drawing is the picture; render escapes what stands in it.
func (c *call) drawing(def *workflow.Definition) (template.HTML, error) {
	v := c.voice()
	svg, err := render.Draw(def.Flow, render.Lang(c.lang), render.FormatSVG, render.Words{
		Seat: func(expr string) string { return v.seatOf(def, expr) }, When: func(b flow.Branch) string { return v.condition(def, b) }})
	return template.HTML(svg), err
}

// describe spells what the version asks for and whom.
func (d *workflowPage) describe(v voice, def *workflow.Definition) {
	d.Asks = v.asks(def.Form)
	if def.CloseOut != nil {
		d.Report = v.asks(def.CloseOut)
	}
	for _, p := range def.Params {
		title, _ := v.words(p.Title)
		d.Params = append(d.Params, choice{Value: plain(p.Value), Title: title})
	}
	d.steps(v, def, def.Flow.Blocks, nil)
}

func (d *workflowPage) steps(v voice, def *workflow.Definition, blocks []flow.Block, when []string) {
	for i := range blocks {
		b := &blocks[i]
		if b.Step != nil {
			row := stepRow{Rule: v.rule(b.Step.Rule), When: when}
			row.Title, _ = v.words(b.Step.Title)
			if due := b.Step.Due; due.N > 0 {
				row.Due, _ = v.words(due.Say())
			}
			for _, a := range b.Step.Ask {
				row.Who = append(row.Who, v.seatOf(def, a))
			}
			for _, f := range fillFields(def, workflow.FillOf(b.Step)) {
				title, _ := v.words(f.Title)
				row.Fills = append(row.Fills, title)
			}
			d.Steps = append(d.Steps, row)
		}
		d.steps(v, def, b.Blocks, when)
		for _, br := range b.Branches {
			cond := text{"其他情形", "otherwise"}.in(v.lang)
			if br.Guard != "" {
				cond = text{"当：", "if "}.in(v.lang) + v.condition(def, br)
			}
			d.steps(v, def, br.Blocks, append(when[:len(when):len(when)], cond))
		}
	}
}

func (v voice) asks(f *workflow.Form) []askRow {
	var out []askRow
	b := formBuilder{voice: v}
	for _, x := range f.Fields {
		row := askRow{Required: x.Required}
		row.Title, _ = v.words(x.Title)
		if x.Personal != nil {
			row.Why = b.personal(x.Personal)
		}
		for _, e := range x.Enum {
			title, _ := v.words(x.Titles[e])
			row.Choices = append(row.Choices, title)
		}
		out = append(out, row)
	}
	return out
}

// proofShown is a proof as its reader sees it.
type proofShown struct {
	OK       bool
	Layers   []choice // Value is the verdict
	Findings []findingRow
	Text     string
}

type findingRow struct {
	proof.Finding
	Said, Mend, Trace string
}

func (c *call) proof(r *proof.Report) *proofShown {
	if r == nil {
		return nil
	}
	out := &proofShown{OK: r.OK(), Text: r.Text(c.lang != "en")}
	for _, l := range []struct {
		name string
		proof.Layer
	}{{"proof.control", r.Control}, {"proof.data", r.Data}, {"proof.people", r.People}} {
		out.Layers = append(out.Layers, choice{Value: string(l.Verdict), Title: c.t(l.name)})
	}
	for _, f := range r.Findings {
		row := findingRow{Finding: f, Said: text{f.Zh, f.En}.in(c.lang), Mend: text{proof.Codes[f.Code].MendZh, proof.Codes[f.Code].MendEn}.in(c.lang)}
		if f.Witness != nil {
			row.Trace = strings.Join(f.Witness.Trace, " → ")
		}
		out.Findings = append(out.Findings, row)
	}
	return out
}

// draftPath is where a text is tried and published.
const draftPath = "/workflows/draft"

// maxDraft bounds a text in bytes.
const maxDraft = 256 << 10

// draftForm reads a form whose file is the text itself.
func (c *call) draftForm() error {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseMultipartForm(maxForm); err != nil {
		return fault.Input("file", "文件太大：流程文本不超过 256 KB", "the file is too large: a workflow is at most 256 KB").Because(err)
	}
	f, _, err := c.r.FormFile("file")
	if err != nil {
		return nil // none was chosen
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxDraft+1))
	if err != nil {
		return err
	}
	if len(raw) > 0 {
		c.r.PostForm.Set("source", string(raw))
	}
	return nil
}

// mayPublish hides the page from others.
func (c *call) mayPublish() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	if !c.can("workflow.publish", "") {
		return fault.Missing()
	}
	return nil
}

type draftPage struct {
	workflowPage
	Source  string
	Key     string
	Loaded  bool
	Staffed bool // only people are lacking: it can be published all the same
}

// draft begins with an empty text, or with a published one (?from=).
func (c *call) draft() error {
	if err := c.mayPublish(); err != nil {
		return err
	}
	d := draftPage{Source: c.r.PostFormValue("source")}
	if from := c.r.URL.Query().Get("from"); from != "" && d.Source == "" {
		def, err := c.definition(from)
		if err != nil {
			return err
		}
		d.Source = string(def.Definition.Source)
	}
	return c.draftWith(d)
}

func (c *call) draftWith(d draftPage) error {
	return c.show("draft", c.t("draft.title"), d)
}

// draftPost shows what the text is and what is wrong with it, or publishes it.
func (c *call) draftPost() error {
	if err := c.mayPublish(); err != nil {
		return err
	}
	source := strings.ReplaceAll(c.r.PostFormValue("source"), "\r\n", "\n") // as a form sends lines
	if strings.TrimSpace(source) == "" || len(source) > maxDraft {
		return c.refused(fault.Input("source", "请粘贴流程文本，或选择文件（不超过 256 KB）", "paste a workflow's text or choose a file, at most 256 KB"), c.draft)
	}
	if c.in("act") == "publish" {
		out, err := c.Workflow.Publish(c.ctx(), c.actor, workflow.PublishInput{Source: source, Understaffed: c.in("understaffed") == "yes", IdempotencyKey: c.key()})
		if err != nil {
			return c.refused(err, func() error { return c.tried(source) })
		}
		return c.to("/workflows/"+out.Definition+"?n="+strconv.Itoa(out.N), "published")
	}
	return c.tried(source)
}

func (c *call) tried(source string) error {
	def, report, err := c.Workflow.Draft(c.ctx(), c.actor, source)
	if err != nil {
		return err
	}
	d := draftPage{Source: source, Loaded: def != nil}
	d.Proof, d.Publish = c.proof(report), true
	if def != nil {
		d.Title, d.About, d.Listed.Key = def.Flow.Title, def.About, def.Flow.Key
		if d.Picture, err = c.drawing(def); err != nil {
			return err
		}
		d.describe(c.voice(), def)
		d.Staffed = onlyPeople(report)
	}
	return c.draftWith(d)
}

// onlyPeople says that nothing is wrong but that people are lacking.
func onlyPeople(r *proof.Report) bool {
	for _, f := range r.Findings {
		if f.Severity == proof.Error && !f.Staffing() {
			return false
		}
	}
	return true
}
