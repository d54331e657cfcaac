package web

import (
	"slices"
	"strconv"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/workflow"
)

// The forms about a request that is there: sent again (edit), changed after its
// approval (amend), reported on (close-out). Each is filled with what is known.

// subject is the request of such a form, if the reader may send it.
func (c *call) subject(kind string) (*workflow.View, *workflow.Form, error) {
	which, err := c.requestID()
	if err != nil {
		return nil, nil, err
	}
	v, err := c.Workflow.Request(c.ctx(), c.actor, which)
	if err != nil {
		return nil, nil, err
	}
	if kind == "edit" && v.Resubmit {
		return &v, v.Version.Form, nil
	}
	m, err := c.Workflow.Moves(c.ctx(), c.actor, which)
	switch {
	case err != nil:
		return nil, nil, err
	case kind == "amend" && m.Amend:
		return &v, v.Version.Form, nil
	case kind == "close-out" && m.CloseOut:
		return &v, v.Version.CloseOut, nil
	}
	return nil, nil, fault.Missing()
}

// about shows the form; values nil = what the request holds.
func (c *call) about(kind string, values map[string]any, forecast *forecastShown) error {
	v, form, err := c.subject(kind)
	if err != nil {
		return err
	}
	b, err := c.builder()
	if err != nil {
		return err
	}
	if values == nil {
		if values, err = c.known(kind, v); err != nil {
			return err
		}
	}
	if c.err != nil {
		if p, ok := c.err.Detail.(*workflow.FormProblems); ok {
			b.errors = c.fieldErrors(p.Errors)
		}
	}
	if forecast != nil && len(forecast.Problems) > 0 {
		b.errors = c.fieldErrors(forecast.Problems)
		c.code = 422
	}
	d := submitPage{Def: workflow.Listed{Title: v.Kind, About: v.Version.About}, Kind: kind, Request: v, FormRev: v.FormRev, Comment: c.in("comment"),
		Inputs: b.inputs(form, values), Forecast: forecast}
	if v.Back != nil {
		d.Back = v.Back.Text
	}
	if list, ok := strings.CutPrefix(c.in("act"), "add:"); ok {
		addRow(d.Inputs, list, b, form)
	}
	return c.submitForm(d)
}

// known is what the form begins with.
func (c *call) known(kind string, v *workflow.View) (map[string]any, error) {
	if kind != "close-out" {
		return c.wholeForm(v)
	}
	if v.Report == nil {
		return map[string]any{}, nil
	}
	values, _ := decodeJSON(v.Report.Form).(map[string]any)
	return values, nil
}

// wholeForm is what the request holds, with the personal leaves that its own
// requester may see.
func (c *call) wholeForm(v *workflow.View) (map[string]any, error) {
	values, _ := decodeJSON(v.Form).(map[string]any)
	if values == nil {
		values = map[string]any{}
	}
	if len(v.Personal) == 0 {
		return values, nil
	}
	leaves, err := c.Workflow.Personal(c.ctx(), c.actor, v.ID)
	if err != nil {
		return nil, err
	}
	for pointer, leaf := range leaves {
		put(values, strings.Split(strings.TrimPrefix(pointer, "/"), "/"), decodeJSON(leaf))
	}
	return values, nil
}

// put sets the value at a path of object names; a path through a list is left
// alone, for lists are whole leaves.
func put(values map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, ok := values[name].(map[string]any)
		if !ok {
			if values[name] != nil {
				return
			}
			next = map[string]any{}
			values[name] = next
		}
		values = next
	}
	values[path[len(path)-1]] = v
}

// aboutPost sends the form, shows what it would ask again, or adds a row.
func (c *call) aboutPost(kind string) error {
	v, form, err := c.subject(kind)
	if err != nil {
		return err
	}
	b, err := c.builder()
	if err != nil {
		return err
	}
	values := b.read(form, c.r.PostForm)
	if len(c.refusedFiles) > 0 {
		c.code = 422
		return c.about(kind, values, nil)
	}
	act := c.in("act")
	if strings.HasPrefix(act, "add:") {
		return c.about(kind, values, nil)
	}
	again := func() error { return c.about(kind, values, nil) }
	if act == "preview" && kind != "close-out" {
		f, err := c.Workflow.ForecastEdit(c.ctx(), c.actor, v.ID, values)
		if err != nil {
			return c.refused(err, again)
		}
		sh, err := c.shower(v.Version)
		if err != nil {
			return err
		}
		return c.about(kind, values, &forecastShown{f, sh.changes(f.Changes)})
	}
	out, done, err := c.sendAbout(kind, v, values)
	if err != nil {
		return c.refused(err, again)
	}
	return c.to("/requests/"+out.TypeID(workflow.RefRequest), done)
}

// sendAbout gives the request to be shown afterwards.
func (c *call) sendAbout(kind string, v *workflow.View, values map[string]any) (id.ID, string, error) {
	switch kind {
	case "amend":
		out, err := c.Workflow.Amend(c.ctx(), c.actor, workflow.AmendInput{Request: v.ID, Form: values, IdempotencyKey: c.key()})
		return out.Request, "amended", err
	case "close-out":
		out, err := c.Workflow.CloseOut(c.ctx(), c.actor, workflow.CloseOutInput{Request: v.ID, Form: values, Comment: c.in("comment"), IdempotencyKey: c.key()})
		return out.Request, "closedout", err
	}
	rev, err := strconv.Atoi(c.in("rev"))
	if err != nil {
		rev = v.FormRev
	}
	out, err := c.Workflow.Resubmit(c.ctx(), c.actor, workflow.ResubmitInput{Request: v.ID, Form: values, FormRev: rev, Comment: c.in("comment"), IdempotencyKey: c.key()})
	return out.Request, "resent", err
}

// isAbout are the forms about a request that is there.
func isAbout(part string) bool { return slices.Contains([]string{"edit", "amend", "close-out"}, part) }
