package web

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kelian/file"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
)

// maxUploads bounds the files that a form sends at once.
const maxUploads = 10

// uploads reads a form that may hold files, of somebody who is signed in. A
// file is kept as it comes, before the form is judged: it hangs on nothing yet,
// and the page that is shown again names it. What is refused is said beside its
// field. done ends the request's time as a stream.
func (c *call) uploads() (done func(), err error) {
	if !strings.HasPrefix(c.r.URL.Path, "/requests/") && !strings.HasPrefix(c.r.URL.Path, "/paper/") {
		return nil, fault.Input("form", "这个页面不接收文件", "this page takes no files")
	}
	if err := c.signedIn(); err != nil {
		return nil, err
	}
	leave, err := c.File.Enter(c.actor)
	if err != nil {
		return nil, err
	}
	stream := httpd.NewStream(c.w, c.r)
	done = func() { stream.Done(); leave() }
	err = c.parts()
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(pageTime))
	return done, err
}

// pageTime is how long a page may take to be sent after an upload.
const pageTime = 30 * time.Second

func (c *call) parts() error {
	most := maxForm + maxUploads*c.File.Limits.Member
	if c.r.ContentLength > most {
		return fault.Input("form", "文件太大", "the files are too large")
	}
	c.r.Body = io.NopCloser(io.LimitReader(c.File.Body(c.w, c.r), most))
	parts, err := c.r.MultipartReader()
	if err != nil {
		return cutForm(err)
	}
	values, text, files := url.Values{}, int64(0), 0
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			c.r.PostForm, c.r.Form = values, values
			return nil
		}
		if err != nil {
			return cutForm(err)
		}
		if p.FileName() == "" {
			raw, err := io.ReadAll(io.LimitReader(p, maxForm-text+1))
			if text += int64(len(raw) + len(p.FormName())); err != nil || text > maxForm {
				return cutForm(err)
			}
			values.Add(p.FormName(), string(raw))
			continue
		}
		if files++; files > maxUploads {
			return fault.Input("form", "一次最多上传 10 个文件", "at most 10 files at once")
		}
		if err := c.keep(p, values); err != nil {
			return err
		}
	}
}

// keep stores one file and names it in the form's values.
func (c *call) keep(p *multipart.Part, values url.Values) error {
	field := p.FormName()
	f, err := c.File.Store(c.ctx(), c.actor, file.Input{Name: partName(p), Body: p})
	if err == nil {
		values.Set(field+"/file", f.ID.TypeID(file.RefFile))
		values.Set(field+"/sha256", f.SHA256)
		values.Del(field + "/drop")
		return nil
	}
	e, ok := fault.As(err)
	if !ok || e.Code != fault.BadUserInput || e.Reason == file.Slow || e.Reason == file.Cut {
		return err
	}
	if c.refusedFiles == nil {
		c.refusedFiles = map[string]string{}
	}
	c.refusedFiles[field] = e.Message(c.lang)
	return nil
}

// partName is the name as the browser sent it: FileName cuts at slashes only.
func partName(p *multipart.Part) string {
	if _, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition")); err == nil {
		return params["filename"]
	}
	return p.FileName()
}

func cutForm(err error) error {
	if e, ok := fault.As(err); ok {
		return e
	}
	return fault.Input("form", "表单太大或不完整，请重新填写", "the form is too large or incomplete; fill it in again").Because(err)
}

// fileNames gives the name of a file to those who may see it, else "".
func (c *call) fileNames() func(string) string {
	return func(name string) string {
		which, err := id.Parse(file.RefFile, name)
		if err != nil {
			return ""
		}
		list, err := c.File.Get(c.ctx(), c.actor, which)
		if err != nil {
			c.Log.WarnContext(c.ctx(), "the name of a file", "err", err)
		}
		return list[which].Name
	}
}
