package web

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/workflow"
	"kelian/workflow/flow"
)

var verdicts = map[string]workflow.Verdict{"approve": workflow.Approve, "reject": workflow.Reject, "abstain": workflow.Abstain, "send-back": workflow.SendBack}

// opinion is the verdict of a form; who says no or sends back says why.
func (c *call) opinion(act string) (workflow.Verdict, error) {
	v, ok := verdicts[act]
	if !ok {
		return "", fault.Input("act", "请选择同意、不同意或退回修改", "choose to approve, reject or send back")
	}
	if (v == workflow.Reject || v == workflow.SendBack) && c.in("comment") == "" {
		return "", fault.Input("comment", "请写明理由，申请人要据此修改", "say why, so that the requester knows what to change")
	}
	return v, nil
}

func (c *call) decide(which id.ID, act string) error {
	verdict, err := c.opinion(act)
	if err != nil {
		return err
	}
	task, rev, err := c.taskRead()
	if err != nil {
		return err
	}
	in := workflow.DecideInput{Task: task, Verdict: verdict, To: c.in("to"), Comment: c.in("comment"), FormRev: rev, Score: c.score("score"), IdempotencyKey: c.key()}
	if verdict == workflow.Approve {
		if len(c.refusedFiles) > 0 {
			return fault.Input("fields", "附件没有收下，请看红字", "a file was not taken; see the red text")
		}
		if in.Fields, err = c.filledIn(which); err != nil {
			return err
		}
	}
	_, err = c.Workflow.Decide(c.ctx(), c.actor, in)
	return err
}

// taskRead is the task of a form, and the revision of the request that its
// reader had before the eyes.
func (c *call) taskRead() (id.ID, int, error) {
	task, err := c.task()
	if err != nil {
		return task, 0, err
	}
	rev, err := strconv.Atoi(c.in("rev"))
	if err != nil {
		return task, 0, fault.Missing()
	}
	return task, rev, nil
}

func (c *call) task() (id.ID, error) {
	task, err := id.Parse(workflow.RefTask, c.in("task"))
	if err != nil {
		return task, fault.Missing()
	}
	return task, nil
}

// fillFields are the fields of the form that a step lets its approver fill in.
// A right below a field opens the whole field; the core has the last word.
func fillFields(def *workflow.Definition, fill []workflow.FillField) []workflow.Field {
	var out []workflow.Field
	for _, f := range def.Form.Fields {
		i := slices.IndexFunc(fill, func(x workflow.FillField) bool {
			return x.Pointer == f.Pointer || strings.HasPrefix(x.Pointer, f.Pointer+"/")
		})
		if i >= 0 {
			f.Required = fill[i].Required
			out = append(out, f)
		}
	}
	return out
}

// fillInputs are their inputs, with what the form holds or what was entered.
func (c *call) fillInputs(def *workflow.Definition, form flow.JSON, fill []workflow.FillField) ([]formField, error) {
	fields := fillFields(def, fill)
	if len(fields) == 0 {
		return nil, nil
	}
	b, err := c.builder()
	if err != nil {
		return nil, err
	}
	values, _ := decodeJSON(form).(map[string]any)
	if c.r.Method == "POST" {
		maps.Copy(values, b.readFields(fields, "", c.r.PostForm))
	}
	if c.err != nil {
		switch d := c.err.Detail.(type) {
		case *workflow.FormProblems:
			maps.Copy(b.errors, c.fieldErrors(d.Errors))
		case *workflow.FieldsOf:
			for _, p := range d.Pointers {
				b.errors[p] = c.err.Message(c.lang)
			}
		}
	}
	var root hints
	_ = json.Unmarshal([]byte(def.Form.Schema), &root) // the loader wrote it
	return b.fields(fields, "", &root, values), nil
}

// filledIn reads what an approval fills in.
func (c *call) filledIn(which id.ID) (map[string]any, error) {
	m, err := c.Workflow.Moves(c.ctx(), c.actor, which)
	if err != nil || len(m.Fill) == 0 {
		return nil, quiet(err) // Decide says who can
	}
	v, err := c.Workflow.Request(c.ctx(), c.actor, which)
	if err != nil {
		return nil, err
	}
	return c.readFill(v.Version, m.Fill)
}

func (c *call) readFill(def *workflow.Definition, fill []workflow.FillField) (map[string]any, error) {
	b, err := c.builder()
	if err != nil {
		return nil, err
	}
	return b.readFields(fillFields(def, fill), "", c.r.PostForm), nil
}

// quiet drops the refusals of parts that this reader does not see.
func quiet(err error) error {
	if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// score is the points that a judge gives; what is no number is none.
func (c *call) score(field string) *int {
	n, err := strconv.Atoi(c.in(field))
	if err != nil {
		return nil
	}
	return &n
}
