package web

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/workflow"
)

// requests lists what the reader may see, and what can be asked for.
func (c *call) requests() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	q := c.r.URL.Query()
	f := workflow.Filter{Mine: q.Get("all") == "", Text: strings.TrimSpace(q.Get("q"))}
	list, more, err := c.Workflow.Requests(c.ctx(), c.actor, f, store.Page{First: 30, After: q.Get("after")})
	if err != nil {
		return err
	}
	defs, err := c.Workflow.Definitions(c.ctx(), c.actor)
	if err != nil {
		return err
	}
	orders, err := c.Workflow.Recurrences(c.ctx(), c.actor, false)
	if err != nil {
		return err
	}
	orders = slices.DeleteFunc(orders, func(x workflow.Recurrence) bool { return !x.Mine })
	next := ""
	if more && len(list) > 0 {
		next = list[len(list)-1].Cursor
	}
	return c.show("requests", c.t("nav.requests"), struct {
		List  []workflow.Summary
		Defs  []workflow.Listed
		Due   []workflow.Recurrence // standing orders of the reader's seats
		All   bool
		Q     string
		Next  string
		Paper bool
	}{list, defs, orders, !f.Mine, f.Text, next, c.can("workflow.paper", "")})
}

// definition finds what is published under a key.
func (c *call) definition(key string) (*workflow.Listed, error) {
	defs, err := c.Workflow.Definitions(c.ctx(), c.actor)
	if err != nil {
		return nil, err
	}
	for i := range defs {
		if defs[i].Key == key {
			return &defs[i], nil
		}
	}
	return nil, fault.Missing()
}

// things are the rooms, boards and items that a form can name.
func (c *call) things() (map[string][]choice, error) {
	out := map[string][]choice{}
	places, err := c.Property.Places(c.ctx(), c.actor)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		kind := strings.ToLower(string(p.Kind))
		out[kind] = append(out[kind], choice{Value: p.Code, Title: text{p.NameZh, p.NameEn}.in(c.lang)})
	}
	items, err := c.Property.Items(c.ctx(), c.actor)
	if err != nil {
		return nil, err
	}
	for _, x := range items {
		out["item"] = append(out["item"], choice{Value: x.Code, Title: text{x.NameZh, x.NameEn}.in(c.lang)})
	}
	return out, nil
}

func (c *call) builder() (*formBuilder, error) {
	things, err := c.things()
	b := &formBuilder{voice: c.voice(), errors: map[string]string{}, things: things, all: c.names().order, file: c.fileNames()}
	maps.Copy(b.errors, c.refusedFiles)
	return b, err
}

// submitPage is the form of a request, new or to be sent again.
type submitPage struct {
	Def      workflow.Listed
	Inputs   []formField
	Units    []choice
	Unit     string
	Urgent   bool
	Ref      string // TypeID of what caused it
	Draft    string // TypeID of the draft of a standing order that it sends
	Forecast *forecastShown
	// Of a request that is there: edit, amend or close-out.
	Kind    string
	Request *workflow.View
	Back    string
	Comment string
	FormRev int
}

// Same says that an edit would change nothing.
func (d submitPage) Same() bool { return d.Forecast != nil && len(d.Forecast.Changes) == 0 }

// forecastShown is a forecast with what it changes, as its reader sees it.
type forecastShown struct {
	workflow.ForecastView
	Shown []shownChange
}

// Upload says that the form can send files.
func (d submitPage) Upload() bool { return takesFiles(d.Inputs) }

func takesFiles(inputs []formField) bool {
	return slices.ContainsFunc(inputs, func(x formField) bool { return x.Input == "file" || takesFiles(x.Parts) })
}

// newRequest shows an empty form, one filled from an older request (?from=), or
// one that begins with a repair ticket (?ref=).
func (c *call) newRequest() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	def, err := c.definition(c.r.PathValue("workflow"))
	if err != nil {
		return err
	}
	d := submitPage{Def: *def, Unit: c.r.URL.Query().Get("unit")}
	values := map[string]any{}
	if from := c.r.URL.Query().Get("from"); from != "" {
		old, err := id.Parse(workflow.RefRequest, from)
		if err != nil {
			return fault.Missing()
		}
		draft, err := c.Workflow.Clone(c.ctx(), c.actor, old)
		if err != nil {
			return err
		}
		d.Unit = draft.Unit
		values, _ = decodeJSON(draft.Form).(map[string]any)
	}
	if d.Draft = c.r.URL.Query().Get("draft"); d.Draft != "" {
		waits, err := id.Parse(workflow.RefOccurrence, d.Draft)
		if err != nil {
			return fault.Missing()
		}
		draft, err := c.Workflow.DraftOf(c.ctx(), c.actor, waits)
		if err != nil {
			return err
		}
		d.Unit = draft.Unit
		values, _ = decodeJSON(draft.Form).(map[string]any)
	}
	if kind, ticket, err := id.Split(c.r.URL.Query().Get("ref")); err == nil && kind == "tkt" {
		v, err := c.Repair.Ticket(c.ctx(), c.actor, ticket)
		if err != nil {
			return err
		}
		d.Ref = ticket.TypeID("tkt")
		if _, ok := def.Definition.Form.Field("/ticket"); ok {
			values["ticket"] = v.Number
		}
	}
	b, err := c.builder()
	if err != nil {
		return err
	}
	d.Inputs = b.inputs(def.Definition.Form, values)
	return c.submitForm(d)
}

func (c *call) submitForm(d submitPage) error {
	if len(d.Units) == 0 {
		seen := map[string]bool{}
		for _, h := range c.actor.Seats {
			if !seen[h.Unit] {
				seen[h.Unit] = true
				d.Units = append(d.Units, choice{h.Unit, c.unitName(h.Unit), h.Unit == d.Unit})
			}
		}
	}
	title, _ := c.voice().words(d.Def.Title)
	switch d.Kind {
	case "edit":
		return c.show("submit", c.t("submit.again", d.Request.Number), d)
	case "amend":
		return c.show("submit", c.t("amend.title", d.Request.Number), d)
	case "close-out":
		return c.show("submit", c.t("closeout.title", d.Request.Number), d)
	}
	return c.show("submit", c.t("submit.title", title), d)
}

// newRequestPost shows who will be asked, adds a row, or sends.
func (c *call) newRequestPost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	def, err := c.definition(c.r.PathValue("workflow"))
	if err != nil {
		return err
	}
	b, err := c.builder()
	if err != nil {
		return err
	}
	form := def.Definition.Form
	values := b.read(form, c.r.PostForm)
	d := submitPage{Def: *def, Unit: c.in("unit"), Urgent: c.in("urgent") == "yes", Ref: c.in("ref"), Draft: c.in("draft")}
	act := c.in("act")
	if list, ok := strings.CutPrefix(act, "add:"); ok {
		d.Inputs = b.inputs(form, values)
		addRow(d.Inputs, list, b, form)
		return c.submitForm(d)
	}
	if len(c.refusedFiles) > 0 {
		c.code, d.Inputs = 422, b.inputs(form, values)
		return c.submitForm(d)
	}
	if act == "send" {
		in := workflow.SubmitInput{Definition: def.Key, Unit: d.Unit, Form: values, Urgent: d.Urgent, IdempotencyKey: c.key()}
		if d.Draft != "" {
			if in.Draft, err = id.Parse(workflow.RefOccurrence, d.Draft); err != nil {
				return fault.Missing()
			}
		}
		if kind, ref, err := id.Split(d.Ref); err == nil {
			if kind != "tkt" {
				return fault.Missing()
			}
			if _, err := c.Repair.Ticket(c.ctx(), c.actor, ref); err != nil {
				return err
			}
			in.Refs = append(in.Refs, outbox.Ref{Kind: kind, ID: ref})
		}
		out, err := c.Workflow.Submit(c.ctx(), c.actor, in)
		if err == nil {
			return c.to("/requests/"+out.Request.TypeID(workflow.RefRequest), "sent")
		}
		return c.refused(err, func() error { return c.formAgain(d, b, form, values) })
	}
	f, err := c.Workflow.Forecast(c.ctx(), c.actor, def.Key, d.Unit, values)
	if err != nil {
		return c.refused(err, func() error { return c.formAgain(d, b, form, values) })
	}
	if len(f.Problems) > 0 {
		b.errors = c.fieldErrors(f.Problems)
		c.code = 422
	}
	d.Forecast = &forecastShown{ForecastView: f}
	d.Inputs = b.inputs(form, values)
	return c.submitForm(d)
}

// formAgain shows the form with what was refused beside its fields.
func (c *call) formAgain(d submitPage, b *formBuilder, form *workflow.Form, values map[string]any) error {
	if p, ok := c.err.Detail.(*workflow.FormProblems); ok {
		b.errors = c.fieldErrors(p.Errors)
	}
	d.Inputs = b.inputs(form, values)
	return c.submitForm(d)
}

func (c *call) fieldErrors(list []workflow.FieldError) map[string]string {
	out := map[string]string{}
	for _, e := range list {
		if out[e.Pointer] == "" {
			out[e.Pointer] = text{e.Zh, e.En}.in(c.lang)
		}
	}
	return out
}

// cloneRequest leads to a new form filled from this request.
func (c *call) cloneRequest() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	which, err := id.Parse(workflow.RefRequest, c.r.PathValue("id"))
	if err != nil {
		return fault.Missing()
	}
	v, err := c.Workflow.Request(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	return c.to("/requests/new/"+url.PathEscape(v.Definition)+"?from="+which.TypeID(workflow.RefRequest), "")
}

// targets names where a request can be sent back to.
func (c *call) targets(v *workflow.View) []choice {
	var out []choice
	for _, to := range v.SendBack {
		title := c.t("step.start")
		if i := slices.IndexFunc(v.Steps, func(s workflow.StepView) bool { return s.Name == to }); i >= 0 {
			title, _ = c.voice().words(v.Steps[i].Title)
		}
		out = append(out, choice{Value: to, Title: title})
	}
	return out
}
