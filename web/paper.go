package web

import (
	"net/url"
	"slices"

	"kelian/file"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/workflow"
)

// paperPage is where the office enters what somebody signed on the printed form.
type paperPage struct {
	workflow.PaperDesk
	Task, Verdict, Said, To string
	Score                   string // as it was entered
	Points                  int    // the most that one of the tasks gives; 0: none
	Fill                    []formField
	Scan                    formField
	Targets                 []choice
}

// paperFind leads from the code on the printed form to its page.
func (c *call) paperFind() error {
	if err := c.mayEnterPapers(); err != nil {
		return err
	}
	if code := c.r.URL.Query().Get("code"); code != "" {
		return c.to("/paper/"+url.PathEscape(code), "")
	}
	return c.show("paper-find", c.t("paper.title"), nil)
}

// mayEnterPapers hides the page from others.
func (c *call) mayEnterPapers() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	if !c.can("workflow.paper", "") {
		return fault.Missing()
	}
	return nil
}

func (c *call) paper() error {
	if err := c.mayEnterPapers(); err != nil {
		return err
	}
	desk, err := c.Workflow.PaperByCode(c.ctx(), c.actor, c.r.PathValue("code"))
	if err != nil {
		return err
	}
	d := paperPage{PaperDesk: desk, Task: c.in("task"), Verdict: c.in("act"), Said: c.in("comment"), To: c.in("to"), Score: c.in("score")}
	d.Scan = formField{Name: "scan", Title: c.t("paper.scan"), Help: c.t("paper.scanhelp", int(c.File.Limits.Member>>20)), Input: "file", Required: true,
		Accept: "image/*,application/pdf", Value: c.in("scan/file"), Sum: c.in("scan/sha256"), Error: c.refusedFiles["scan"]}
	if d.Scan.Value != "" {
		d.Scan.File = c.fileNames()(d.Scan.Value)
	}
	if d.Scan.Error == "" {
		d.Scan.Error = bad(c.lang, c.err, "scan")
	}
	var fill []workflow.FillField
	for _, t := range desk.Tasks {
		fill, d.Points = append(fill, t.Fill...), max(d.Points, t.Points)
		for _, to := range t.SendBack {
			if x := (choice{Value: to, Title: c.stepTitle(desk.Version, to)}); !slices.Contains(d.Targets, x) {
				d.Targets = append(d.Targets, x)
			}
		}
	}
	if d.Fill, err = c.fillInputs(desk.Version, "{}", fill); err != nil {
		return err
	}
	return c.show("paper", c.t("paper.title")+" "+desk.Number, d)
}

// stepTitle names a step, or the requester for the start.
func (c *call) stepTitle(def *workflow.Definition, name string) string {
	if s := def.Flow.Step(name); s != nil {
		title, _ := c.voice().words(s.Title)
		return title
	}
	return c.t("step.start")
}

func (c *call) paperPost() error {
	if err := c.mayEnterPapers(); err != nil {
		return err
	}
	desk, err := c.Workflow.PaperByCode(c.ctx(), c.actor, c.r.PathValue("code"))
	if err != nil {
		return err
	}
	if err := c.enterPaper(desk); err != nil {
		return c.refused(err, c.paper)
	}
	return c.to("/paper/"+url.PathEscape(c.r.PathValue("code")), "paper")
}

func (c *call) enterPaper(desk workflow.PaperDesk) error {
	verdict, err := c.opinion(c.in("act"))
	if err != nil {
		return err
	}
	if len(c.refusedFiles) > 0 {
		return fault.Input("file", "文件没有收下，请看红字", "the file was not taken; see the red text")
	}
	task, rev, err := c.taskRead()
	if err != nil {
		return err
	}
	in := workflow.PaperInput{Task: task, Verdict: verdict, To: c.in("to"), Comment: c.in("comment"), FormRev: rev, Score: c.score("score"), ScanSHA256: c.in("scan/sha256"), IdempotencyKey: c.key()}
	if in.Scan, err = id.Parse(file.RefFile, c.in("scan/file")); err != nil {
		return fault.Input("scan", "请拍下或选择签字页", "photograph or choose the signed page")
	}
	i := slices.IndexFunc(desk.Tasks, func(t workflow.PaperTask) bool { return t.Task == task })
	if i < 0 {
		return fault.Refuse("ALREADY_SETTLED", "这项待办已经办结", "this task is settled already")
	}
	if verdict == workflow.Approve && len(desk.Tasks[i].Fill) > 0 {
		if in.Fields, err = c.readFill(desk.Version, desk.Tasks[i].Fill); err != nil {
			return err
		}
	}
	_, err = c.Workflow.RecordPaper(c.ctx(), c.actor, in)
	return err
}
