package web

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/org"
)

//go:embed assets
var assetFiles embed.FS

// maxForm bounds what a form may send.
const maxForm = 1 << 20

// Site serves the pages.
type Site struct {
	Deps
	mux    *http.ServeMux
	pages  map[string]map[string]*template.Template // by language and page
	assets map[string]asset
	public atomic.Pointer[shared]
}

type asset struct {
	body []byte
	kind string
	etag string
}

// New makes the pages. The server's error page is Site.ErrorPage, its language
// is Lang.
func New(d Deps) *Site {
	if d.Federation == "" {
		d.Federation = "科技联合会"
	}
	if d.Location == nil {
		d.Location = time.UTC
	}
	if d.Clock == nil {
		d.Clock = clock.System{}
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	s := &Site{Deps: d, mux: http.NewServeMux(), assets: map[string]asset{}}
	s.pages = s.load()
	sub, err := fs.Sub(assetFiles, "assets")
	if err != nil {
		panic(err)
	}
	s.serveFiles("/assets/", sub)
	s.serveGraphiql()
	s.route()
	return s
}

// serveFiles keeps the files of a tree in memory under the prefix.
func (s *Site) serveFiles(prefix string, files fs.FS) {
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		s.assets[prefix+name] = asset{body, mime.TypeByExtension(path.Ext(name)), `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	if err != nil {
		panic(err)
	}
	s.mux.HandleFunc("GET "+prefix, s.asset)
}

// asset answers with a file, or with 304 when the reader has it already.
func (s *Site) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.URL.Path]
	if !ok {
		s.ErrorPage(w, r, http.StatusNotFound, missing())
		return
	}
	h := w.Header()
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Content-Type", a.kind)
	if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.body)
}

func missing() *fault.Error {
	e, _ := fault.As(fault.Missing())
	return e
}

// ServeHTTP implements http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// route lists every page.
func (s *Site) route() {
	get := func(pattern string, h func(*call) error) { s.mux.Handle("GET "+pattern, s.handle(h)) }
	post := func(pattern string, h func(*call) error) { s.mux.Handle("POST "+pattern, s.handle(h)) }
	for _, r := range s.routes() {
		get(r.pattern, r.get)
		if r.post != nil {
			post(r.pattern, r.post)
		}
	}
	s.mux.Handle("/", s.handle(func(*call) error { return fault.Missing() }))
}

type route struct {
	pattern   string
	get, post func(*call) error
}

// call is one request of somebody.
type call struct {
	*Site
	w     http.ResponseWriter
	r     *http.Request
	lang  string
	me    *me
	actor org.Actor
	err   *fault.Error // what was refused; shown on the page
	code  int

	refusedFiles map[string]string // by the field's pointer
	picked       picked            // whom the form names
	photos       *photos           // that come with a stranger's form
	done         func()            // ends what begin took
}

// ctx is the request's context.
func (c *call) ctx() context.Context { return c.r.Context() }

// handle wraps a page: language, session, limits, errors.
func (s *Site) handle(h func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Site: s, w: w, r: r, lang: Lang(r), code: http.StatusOK}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Vary", "Cookie, Accept-Language")
		c.keepLang()
		err := c.begin()
		if c.done != nil {
			defer c.done()
		}
		if err == nil {
			err = h(c)
		}
		if err != nil {
			c.fail(err)
		}
	})
}

// begin reads who it is and the form.
func (c *call) begin() error {
	if err := c.refresh(c.ctx()); err != nil {
		return err
	}
	if err := c.session(); err != nil {
		return err
	}
	if c.r.Method != http.MethodPost {
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind == "multipart/form-data" {
		var err error
		switch path := c.r.URL.Path; {
		case takesPhotos(path):
			c.done, err = c.photoForm()
		case path == draftPath:
			err = c.draftForm()
		default:
			c.done, err = c.uploads()
		}
		return err
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseForm(); err != nil {
		return fault.Input("form", "表单太大或不完整，请重新填写", "the form is too large or incomplete; fill it in again").Because(err)
	}
	return nil
}

// in is a field of the form, trimmed.
func (c *call) in(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }

// key is the form's idempotency key.
func (c *call) key() string { return c.in("key") }

// to sends the reader to another page after an act; done names the words that
// say what was done.
func (c *call) to(address, done string) error {
	if done != "" {
		sep := "?"
		if strings.Contains(address, "?") {
			sep = "&"
		}
		address += sep + "done=" + done
	}
	http.Redirect(c.w, c.r, address, http.StatusSeeOther)
	return nil
}

// fail ends the request with an error.
func (c *call) fail(err error) {
	e, ok := fault.As(err)
	if !ok {
		e = &fault.Error{Code: fault.Internal, Zh: "出错了，请稍后再试；仍不行请把请求编号告诉技术部", En: "something went wrong; try again, and if it stays tell the technical department the request number"}
	}
	if e.Code == fault.Internal || e.Code == fault.Unavailable {
		c.Log.ErrorContext(c.ctx(), "page", "request", httpd.RequestID(c.ctx()), "path", httpd.LogPath(c.r.URL.Path), "err", err)
	}
	if e.Code == fault.Unauthenticated {
		next := "/"
		if c.r.Method == http.MethodGet {
			next = c.r.URL.RequestURI()
		}
		http.Redirect(c.w, c.r, "/sign-in?next="+template.URLQueryEscaper(next), http.StatusSeeOther)
		return
	}
	c.problem(statusOf(e), e)
}

// statusOf is the HTTP status of a refusal.
func statusOf(e *fault.Error) int {
	if e.Code == fault.Rule || e.Code == fault.BadUserInput {
		return http.StatusUnprocessableEntity
	}
	return httpd.Status(e)
}

// ErrorPage is the httpd.ErrorPage of the server: refusals that no page of its
// own has.
func (s *Site) ErrorPage(w http.ResponseWriter, r *http.Request, status int, e *fault.Error) {
	c := &call{Site: s, w: w, r: r, lang: Lang(r)}
	_ = c.refresh(c.ctx()) // a page without the calendar is better than none
	c.problem(status, e)
}

func (c *call) problem(status int, e *fault.Error) {
	c.code, c.err = status, e
	c.w.Header().Set("Cache-Control", "no-store")
	title := "error.refused"
	if e.Code == fault.NotFound {
		title = "error.missing"
	} else if status >= 500 {
		title = "error.broken"
	}
	_ = c.show("error", c.t(title), nil)
}

// refused shows the page again with what was refused, as far as a person can
// act on it; other errors end the request.
func (c *call) refused(err error, again func() error) error {
	e, ok := fault.As(err)
	if !ok {
		return err
	}
	switch e.Code {
	case fault.Rule, fault.BadUserInput, fault.Conflict, fault.Forbidden, fault.RateLimited, fault.Unavailable:
		c.err, c.code = e, statusOf(e)
		return again()
	}
	return err
}
