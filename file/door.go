package file

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/org"
)

// Door is the HTTP door. A body is the file's bytes as they are.
//
//	POST   /files?name=…            a file of a member → {id, sha256, size, …}
//	POST   /files?name=…&for=req_…  with Upload-Length: opens a resumable upload → Location
//	PATCH  /files/uploads/{id}      with Upload-Offset; the last part with Upload-SHA256 → the file
//	HEAD   /files/uploads/{id}      Upload-Offset, Upload-Length
//	DELETE /files/uploads/{id}
//	GET    /files/{id}
//	GET    /d/{token}/files/{id}    as the person to whom a decision's link was sent
//	POST   /t/{token}/files         a stranger's photo, by the link of a repair
//	GET    /t/{token}/files/{id}
type Door struct {
	Files    *Service
	Identify func(w http.ResponseWriter, r *http.Request) (org.Actor, error)
	// Decider is the person to whom a decision's link was sent.
	Decider func(ctx context.Context, token string) (org.Actor, error)
	// Refuse answers with an error; status 0 = as its code says.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, e *fault.Error)
	// Stream takes the request out of the limits of ordinary ones.
	Stream func(w http.ResponseWriter, r *http.Request) (done func())
	Log    *slog.Logger
}

// Headers of uploads.
const (
	headerLength = "Upload-Length"
	headerOffset = "Upload-Offset"
	headerSum    = "Upload-SHA256"
)

// Mount adds the door to mux.
func (d *Door) Mount(mux *http.ServeMux) {
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /files":                d.post,
		"PATCH /files/uploads/{id}":  d.patch,
		"HEAD /files/uploads/{id}":   d.head,
		"DELETE /files/uploads/{id}": d.cancel,
		"GET /files/{id}":            d.get,
		"GET /d/{token}/files/{id}":  d.getByDecision,
		"POST /t/{token}/files":      d.photo,
		"GET /t/{token}/files/{id}":  d.getByLink,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			if err := h(w, r); err != nil {
				d.fail(w, r, err)
			}
		})
	}
}

var statuses = map[string]int{TooLarge: http.StatusRequestEntityTooLarge, NoRoom: http.StatusRequestEntityTooLarge, WrongKind: http.StatusUnsupportedMediaType,
	Cut: http.StatusBadRequest, Slow: http.StatusRequestTimeout, WrongSum: http.StatusUnprocessableEntity}

func (d *Door) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := fault.As(err)
	if !ok {
		if !errors.Is(err, context.Canceled) {
			d.Log.ErrorContext(r.Context(), "file", "err", err)
		}
		e = &fault.Error{Code: fault.Internal, Zh: "出错了，请稍后再试；仍不行请告诉技术部", En: "something went wrong; try again, and if it stays tell the technical department"}
		if errors.Is(err, fs.ErrNotExist) {
			e.Zh, e.En = "这个文件的内容在服务器上丢失了，请告诉技术部（kelian doctor）", "the content of this file is missing on the server; tell the technical department (kelian doctor)"
		}
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d.Files.Limits.Stall))
	if r.Body != nil && r.Body != http.NoBody {
		w.Header().Set("Connection", "close") // what is left of the body is not read
	}
	d.Refuse(w, r, statuses[e.Reason], e)
}

// receive lets fn read the body.
func (d *Door) receive(w http.ResponseWriter, r *http.Request, actor org.Actor, most int64, fn func(Input) error) error {
	leave, err := d.Files.Enter(actor)
	if err != nil {
		return err
	}
	defer leave()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case strings.HasPrefix(kind, "multipart/") || r.Header.Get("Content-Encoding") != "":
		return refuse(WrongKind, "请直接发送文件内容，不要用 multipart 或压缩编码", "send the file's bytes as the body, neither as multipart nor encoded")
	case r.ContentLength > most:
		return tooLarge(most)
	}
	defer d.Stream(w, r)()
	err = fn(Input{Name: r.URL.Query().Get("name"), SHA256: r.Header.Get(headerSum), Body: d.Files.Body(w, r)})
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d.Files.Limits.Stall))
	return err
}

func (d *Door) member(w http.ResponseWriter, r *http.Request) (org.Actor, error) {
	actor, err := d.Identify(w, r)
	if err == nil && actor.Anonymous() {
		err = fault.SignIn()
	}
	return actor, err
}

func (d *Door) post(w http.ResponseWriter, r *http.Request) error {
	actor, err := d.member(w, r)
	if err != nil {
		return err
	}
	if r.Header.Get(headerLength) != "" {
		return d.begin(w, r, actor)
	}
	return d.receive(w, r, actor, d.Files.Limits.Member, func(in Input) error {
		f, err := d.Files.Store(r.Context(), actor, in)
		if err == nil {
			answer(w, http.StatusCreated, f, f.Path())
		}
		return err
	})
}

func (d *Door) begin(w http.ResponseWriter, r *http.Request, actor org.Actor) error {
	size, err := number(r, headerLength)
	if err != nil {
		return err
	}
	if r.ContentLength != 0 {
		return fault.Input("body", "打开断点续传时不带内容", "opening a resumable upload takes no body")
	}
	var object outbox.Ref
	if name := r.URL.Query().Get("for"); name != "" {
		if object.Kind, object.ID, err = id.Split(name); err != nil {
			return fault.Missing()
		}
	}
	u, err := d.Files.Begin(r.Context(), actor, size, object)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/files/uploads/"+u.ID.TypeID(RefUpload))
	standing(w, u)
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (d *Door) upload(w http.ResponseWriter, r *http.Request) (org.Actor, id.ID, error) {
	actor, err := d.member(w, r)
	if err != nil {
		return actor, id.Nil, err
	}
	upload, err := id.Parse(RefUpload, r.PathValue("id"))
	if err != nil {
		return actor, id.Nil, fault.Missing()
	}
	return actor, upload, nil
}

func (d *Door) patch(w http.ResponseWriter, r *http.Request) error {
	actor, upload, err := d.upload(w, r)
	if err != nil {
		return err
	}
	offset, err := number(r, headerOffset)
	if err != nil {
		return err
	}
	return d.receive(w, r, actor, d.Files.Limits.Large, func(in Input) error {
		u, f, err := d.Files.Append(r.Context(), actor, upload, offset, in)
		if !u.ID.IsZero() {
			standing(w, u)
		}
		switch {
		case err != nil:
			return err
		case f != nil:
			answer(w, http.StatusCreated, *f, f.Path())
		default:
			w.WriteHeader(http.StatusNoContent)
		}
		return nil
	})
}

func (d *Door) head(w http.ResponseWriter, r *http.Request) error {
	actor, upload, err := d.upload(w, r)
	if err != nil {
		return err
	}
	u, err := d.Files.Progress(r.Context(), actor, upload)
	if err != nil {
		return err
	}
	standing(w, u)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *Door) cancel(w http.ResponseWriter, r *http.Request) error {
	actor, upload, err := d.upload(w, r)
	if err == nil {
		err = d.Files.Cancel(r.Context(), actor, upload)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (d *Door) photo(w http.ResponseWriter, r *http.Request) error {
	actor, err := d.Identify(w, r)
	if err != nil {
		return err
	}
	token := r.PathValue("token")
	return d.receive(w, r, actor, d.Files.Limits.Photo, func(in Input) error {
		f, err := d.Files.StorePhoto(r.Context(), actor, token, in)
		if err == nil {
			answer(w, http.StatusCreated, f, "/t/"+token+f.Path())
		}
		return err
	})
}

func (d *Door) get(w http.ResponseWriter, r *http.Request) error {
	actor, err := d.member(w, r)
	if err != nil {
		return err
	}
	return d.send(w, r, actor, func(file id.ID) (File, *os.File, error) { return d.Files.Open(r.Context(), actor, file) })
}

func (d *Door) getByDecision(w http.ResponseWriter, r *http.Request) error {
	actor, err := d.Decider(r.Context(), r.PathValue("token"))
	if err != nil {
		return err
	}
	return d.send(w, r, actor, func(file id.ID) (File, *os.File, error) { return d.Files.Open(r.Context(), actor, file) })
}

func (d *Door) getByLink(w http.ResponseWriter, r *http.Request) error {
	actor, err := d.Identify(w, r)
	if err != nil {
		return err
	}
	return d.send(w, r, actor, func(file id.ID) (File, *os.File, error) {
		return d.Files.OpenByLink(r.Context(), r.PathValue("token"), file)
	})
}

// shown are the kinds that a browser shows; all else is only ever saved.
var shown = map[string]bool{"image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true, "application/pdf": true}

// send answers with a file. Whatever it holds can do nothing: it gets an
// origin of its own, no scripts and no network.
func (d *Door) send(w http.ResponseWriter, r *http.Request, actor org.Actor, open func(file id.ID) (File, *os.File, error)) error {
	file, err := id.Parse(RefFile, r.PathValue("id"))
	if err != nil {
		return fault.Missing()
	}
	leave, err := d.Files.enter(&d.Files.downloads, actor, d.Files.Limits.Readers)
	if err != nil {
		return err
	}
	defer leave()
	f, body, err := open(file)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	kind, how := "application/octet-stream", "attachment"
	if shown[f.MediaType] {
		kind, how = f.MediaType, "inline"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": f.Name}))
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+f.SHA256+`"`)
	h.Set("Cache-Control", "private, no-cache") // asked again each time: rights end
	h.Set("Vary", "Cookie, Authorization")
	defer d.Stream(w, r)()
	http.ServeContent(w, r, "", time.Time{}, slowly{body, http.NewResponseController(w), d.Files.Limits.Stall})
	return nil
}

func standing(w http.ResponseWriter, u Upload) {
	w.Header().Set(headerOffset, strconv.FormatInt(u.Offset, 10))
	w.Header().Set(headerLength, strconv.FormatInt(u.Size, 10))
}

func answer(w http.ResponseWriter, status int, f File, url string) {
	body, _ := json.Marshal(map[string]any{"id": f.ID.TypeID(RefFile), "sha256": f.SHA256, "size": f.Size, "mediaType": f.MediaType, "name": f.Name, "url": url})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Location", url)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func number(r *http.Request, header string) (int64, error) {
	n, err := strconv.ParseInt(r.Header.Get(header), 10, 64)
	if err != nil || n < 0 {
		return 0, fault.Input(header, "须是不小于零的整数", "must be a whole number from zero up")
	}
	return n, nil
}
