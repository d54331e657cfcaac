package web_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kelian/desk/repair"
	"kelian/file"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow"
)

// The world keeps the files of its requests.

func (w *world) AskAttach(r *store.Reads, owner, request id.ID, list []workflow.Attachment) func(*store.Tx) []id.ID {
	files := make([]file.Attachment, len(list))
	for i, l := range list {
		files[i] = file.Attachment(l)
	}
	return w.deps.File.AskBind(r, owner, outbox.Ref{Kind: "req", ID: request}, files)
}

func (w *world) MayRead(ctx context.Context, actor org.Actor, requests []id.ID) (func(request, f id.ID) file.Access, error) {
	seen, err := w.deps.Workflow.Attached(ctx, actor, requests...)
	return func(request, f id.ID) file.Access {
		if _, ok := seen[request][f]; ok {
			return file.Readable
		}
		return file.Hidden
	}, err
}

// ticketFiles are the photos of reporters.
type ticketFiles struct{ w *world }

func (t ticketFiles) MayRead(ctx context.Context, actor org.Actor, tickets []id.ID) (func(ticket, f id.ID) file.Access, error) {
	list, err := t.w.deps.Repair.Many(ctx, actor, tickets...)
	return func(ticket, _ id.ID) file.Access {
		if _, ok := list[ticket]; ok {
			return file.Readable
		}
		return file.Hidden
	}, err
}

func (w *world) ticketOf(ctx context.Context, token string) (file.Link, error) {
	v, err := w.deps.Repair.ByLink(ctx, token)
	return file.Link{Object: outbox.Ref{Kind: "tkt", ID: v.ID}, PersonalField: repair.FieldText, Closed: !v.ClosedAt.IsZero()}, err
}

// send posts a form with files, as a browser does: pairs are fields, and where
// a name begins with @ it is a file of that content.
func (b *browser) send(path string, pairs ...string) *browser {
	b.w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	write := func(name, value string) {
		var err error
		if field, ok := strings.CutPrefix(name, "@"); ok {
			p, e := form.CreateFormFile(field, `C:\docs\报价单.pdf`)
			err = e
			if e == nil {
				_, err = p.Write([]byte(value))
			}
		} else {
			err = form.WriteField(name, value)
		}
		if err != nil {
			b.w.t.Fatal(err)
		}
	}
	write("key", id.Secret(16))
	for i := 0; i < len(pairs); i += 2 {
		write(pairs[i], pairs[i+1])
	}
	if err := form.Close(); err != nil {
		b.w.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Origin", b.w.deps.PublicURL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// A quotation goes with the form: uploaded at the first look, named when it is
// sent, shown to those who see the field, kept or taken away by an edit.
func TestAFileGoesWithTheForm(t *testing.T) {
	w := open(t)
	z := w.in("zhouhang", "zh")
	path := "/requests/new/office.property"
	z.get(path).want(200, "报价单")
	if !strings.Contains(z.body, `enctype="multipart/form-data"`) || !strings.Contains(z.body, `type="file"`) {
		t.Fatal("the form sends no files")
	}
	z.send(path, append(module("680"), "act", "preview", "@/quote_file", "%PDF-1.7 680")...).want(200, "宋岚", "报价单.pdf", "去掉这个附件")
	which, sum := z.hidden("/quote_file/file"), z.hidden("/quote_file/sha256")
	z.send(path, append(module("680"), "act", "send", "/quote_file/file", which, "/quote_file/sha256", sum, "@/quote_file", "")...).
		want(422, "文件是空的").keeps(which)
	z.post(path, append(module("680"), "act", "send", "/quote_file/file", which, "/quote_file/sha256", sum)...).follow().want(200, "报价单.pdf", "SHA-256 "+sum[:16])
	req := strings.Split(z.at, "?")[0]
	if !strings.Contains(z.body, `href="/files/`+which+`"`) {
		t.Error("the file cannot be opened")
	}
	w.in("songlan", "zh").get(req).want(200).lacks("报价单.pdf", which)
	w.in("guchen", "zh").get(req).want(200, "报价单.pdf")
	z.get(req+"/print").want(200, "报价单.pdf", "SHA-256 "+sum[:16])
	z.get(req + "/clone").follow().want(200).lacks("报价单.pdf")

	z.get(req+"/edit").want(200, "报价单.pdf").keeps(which)
	z.post(req+"/edit", append(module("860"), "act", "send", "rev", "1", "/quote_file/file", which, "/quote_file/sha256", sum)...).follow().want(200, "报价单.pdf")
	z.send(req+"/edit", append(module("860"), "act", "send", "rev", "2", "/quote_file/file", which, "/quote_file/sha256", sum, "/quote_file/drop", "true")...).
		follow().want(200, "第 3 次修订")
	z.get(req + "/edit").lacks("报价单.pdf")

	z.post(path, append(module("680"), "act", "send", "/quote_file/file", which, "/quote_file/sha256", sum)...).want(422, "找不到这个附件")
}

func TestFilesAreTakenOnlyWhereTheyAreAsked(t *testing.T) {
	w := open(t)
	w.browser("zh").send("/sign-in", "@/photo", "x").want(422, "不接收文件")
	w.browser("zh").send("/requests/new/office.property", "@/quote_file", "x").want(303)
	var many []string
	for range 11 {
		many = append(many, "@/quote_file", "x")
	}
	z := w.in("zhouhang", "zh")
	z.send("/requests/new/office.property", many...).want(422, "最多上传 10 个")
	z.send("/requests/new/office.property", "/quote", strings.Repeat("x", 1<<20)).want(422, "太大")
}

// picture is a photo of so many pixels on each side.
func picture(t *testing.T, side int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A report comes with its photos; whoever sent them sees them by the link, and
// so does who mends it. What is no photo is said, and the report is in.
func TestAReportComesWithPhotos(t *testing.T) {
	w := open(t)
	s := w.browser("zh")
	s.get("/repair").want(200, "最多 5 张，每张不超过 10 MB")
	if !strings.Contains(s.body, `accept="image/jpeg,image/png"`) {
		t.Error("a phone offers what is refused")
	}
	report := []string{"act", "send", "kind", "COMPUTER", "building", "7舍", "text", "蓝屏", "name", "王伟", "contact-kind", "phone", "contact-value", "13800001234", "consent", repair.ConsentVersion}
	s.send("/repair", append(report[2:len(report)-2:len(report)-2], "@photo", picture(t, 8))...).want(422, "请重新选择照片").keeps("王伟")
	s.send("/repair", append(report, "@photo", picture(t, 8), "@photo", picture(t, 9))...).follow().want(200, "报修已收到", "再加照片")
	link := strings.Split(s.at, "?")[0]
	if n := strings.Count(s.body, "<img src=\"/t/"); n != 2 {
		t.Fatalf("the reporter sees %d photos", n)
	}
	s.send(link, "act", "photo").want(422, "请先拍下或选择照片")
	s.send(link, "act", "photo", "@photo", "<svg/>").follow().want(200, "不是 JPEG 或 PNG")
	s.send(link, "act", "photo", "@photo", strings.Repeat("x", 10<<20+1)).follow().want(200, "太大")
	s.send(link, "act", "photo", "@photo", picture(t, 10), "@photo", picture(t, 11), "@photo", picture(t, 12), "@photo", picture(t, 13)).follow().want(200, "照片太多").lacks("再加照片")
	s.get(link + "?photo=%3Cb%3E").want(200).lacks("<b>")
	s.send("/t/zzzz", "act", "photo", "@photo", picture(t, 8)).want(404)

	h := w.in("techhead", "zh")
	h.get("/tickets")
	ticket := h.link(`/tickets/tkt_\w+`)
	h.get(ticket).want(200, "报修人的照片（5）")
	if n := strings.Count(h.body, "<img src=\"/files/"); n != 5 {
		t.Fatalf("the technician sees %d photos", n)
	}
	// Without a photo the form takes no place among the uploads.
	s.send("/repair", append(report, "building", "8舍", "@photo", "")...).follow().want(200, "报修已收到").lacks("<img src=\"/t/")
}
