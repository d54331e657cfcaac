package workflow_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"kelian/file"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// filed is the federation with the keeper of files that the program binds.
type filed struct {
	*fed
	files *file.Service
}

func (f filed) AskAttach(r *store.Reads, owner, request id.ID, list []workflow.Attachment) func(*store.Tx) []id.ID {
	files := make([]file.Attachment, len(list))
	for i, l := range list {
		files[i] = file.Attachment(l)
	}
	return f.files.AskBind(r, owner, outbox.Ref{Kind: workflow.RefRequest, ID: request}, files)
}

func newFiled(t *testing.T, db *store.DB) filed {
	f := filed{fed: newFed(t, db)}
	f.files = file.New(db, f.clock, org.NewTable(file.Rules()), file.Options{Dir: t.TempDir()})
	f.svc.Files = f
	return f
}

// upload gives the value that a form names the file by.
func (f filed) upload(who, text string) (id.ID, string) {
	f.t.Helper()
	x, err := f.files.Store(context.Background(), by(who), file.Input{Name: "报价单.pdf", Body: strings.NewReader(text)})
	if err != nil {
		f.t.Fatal(err)
	}
	return x.ID, fmt.Sprintf(`{"file":%q,"sha256":%q}`, x.ID.TypeID("fil"), x.SHA256)
}

func quoted(value string) string {
	return strings.TrimSuffix(at680, "}") + `,"quote_file":` + value + `}`
}

func (f filed) sees(who string, request, x id.ID) bool {
	f.t.Helper()
	list, err := f.svc.Attached(context.Background(), by(who), request)
	if err != nil {
		f.t.Fatal(err)
	}
	_, ok := list[request][x]
	return ok
}

func TestARequestTakesTheFilesOfItsForm(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFiled(t, db)
		first, value := f.upload("zhouhang", "680 yuan")
		request := f.submit("zhouhang", "office.property", "technical", quoted(value))
		// The keeper was asked, but her step hides the quotation; the vice-chair
		// follows every request; the head of the office was not asked yet.
		for who, want := range map[string]bool{"zhouhang": true, "songlan": false, "guchen": true, "hejing": false, "ling": false} {
			if got := f.sees(who, request, first); got != want {
				t.Errorf("%s sees the quotation: %v, want %v", who, got, want)
			}
		}
		f.approve(request, "songlan")
		var second id.ID
		second, value = f.upload("zhouhang", "670 yuan")
		f.resubmit("zhouhang", request, 1, quoted(value))
		if !f.sees("hejing", request, second) || !f.sees("hejing", request, first) {
			t.Error("who signed the first revision no longer sees what was signed")
		}
		f.resubmit("zhouhang", request, 2, strings.Replace(quoted(value), "甲", "乙", 1)) // the file stays where it is
		f.sound(request)
	})
}

func TestAFormNamesOnlyItsSendersFiles(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFiled(t, db)
		_, mine := f.upload("zhouhang", "mine")
		x, foreign := f.upload("hejing", "foreign")
		_, used := f.upload("zhouhang", "used")
		f.submit("zhouhang", "office.property", "technical", quoted(used))
		for name, value := range map[string]string{
			"foreign": foreign, "used": used, "absent": strings.Replace(mine, mine[9:39], id.New().TypeID("fil"), 1),
			"other digest": mine[:len(mine)-3] + map[bool]string{true: "1", false: "0"}[mine[len(mine)-3] == '0'] + `"}`,
		} {
			_, err := f.svc.Submit(context.Background(), by("zhouhang"), workflow.SubmitInput{Definition: "office.property", Unit: "technical", Form: jsonForm(t, quoted(value))})
			p := refused[*workflow.FormProblems](t, err, "FORM_INVALID")
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "/quote_file" || p.Errors[0].Code != "FILE" {
				t.Errorf("%s: %+v", name, p.Errors)
			}
		}
		for name, value := range map[string]string{"no file": `{"file":"per_01jd0000000000000000000000","sha256":"` + strings.Repeat("a", 64) + `"}`, "no digest": `{"file":` + foreign[8:40] + `}`} {
			_, err := f.svc.Submit(context.Background(), by("zhouhang"), workflow.SubmitInput{Definition: "office.property", Unit: "technical", Form: jsonForm(t, quoted(value))})
			refused[*workflow.FormProblems](t, err, "FORM_INVALID")
			_ = name
		}
		if list, err := f.files.Get(context.Background(), by("hejing"), x); err != nil || len(list) != 1 {
			t.Errorf("the refused file is no longer its owner's: %v", err)
		}
		f.submit("zhouhang", "office.property", "technical", quoted(mine))
	})
}

// An amendment keeps the files of what it amends, and takes no other's.
func TestAnAmendmentKeepsTheFiles(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFiled(t, db)
		_, quote := f.upload("zhouhang", "quotation")
		req := f.submit("zhouhang", "office.property", "technical.information", quoted(quote))
		f.approve(req, "songlan", "hejing", "guchen")
		f.status(req, flow.Approved)
		amend := func(value string) error {
			form := strings.TrimSuffix(at860, "}") + `,"quote_file":` + value + `}`
			_, err := f.svc.Amend(bg, by("zhouhang"), workflow.AmendInput{Request: req, Form: jsonForm(t, form), IdempotencyKey: f.key()})
			return err
		}
		_, foreign := f.upload("ling", "somebody else's")
		refused[*workflow.FormProblems](t, amend(foreign), "FORM_INVALID")
		if err := amend(quote); err != nil {
			t.Fatal(err)
		}
	})
}
