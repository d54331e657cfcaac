package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kelian/file"
	"kelian/internal/fault"
	"kelian/internal/httpd"
)

// photos are what a stranger's form brings after its fields. They are read once
// the form was accepted, for until then they have nothing to hang on.
type photos struct {
	next *multipart.Part
	rest *multipart.Reader
}

// takesPhotos says that strangers send photos to the address.
func takesPhotos(path string) bool { return path == "/repair" || strings.HasPrefix(path, "/t/") }

// photoForm reads a stranger's form up to its first photo. Whoever sends none
// takes no place among the uploads: a campus is one address.
func (c *call) photoForm() (done func(), err error) {
	most := maxForm + int64(c.File.Limits.Photos+1)*c.File.Limits.Photo
	if c.r.ContentLength > most {
		return nil, fault.Input("form", "照片太大，请少选几张", "the photos are too large; choose fewer")
	}
	c.r.Body = io.NopCloser(io.LimitReader(c.File.Body(c.w, c.r), most))
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, cutForm(err)
	}
	values, read := url.Values{}, int64(0)
	c.r.PostForm, c.r.Form = values, values
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, cutForm(err)
		}
		if p.FileName() != "" {
			c.photos = &photos{p, parts}
			return httpd.NewStream(c.w, c.r).Done, nil
		}
		raw, err := io.ReadAll(io.LimitReader(p, maxForm-read+1))
		if read += int64(len(raw) + len(p.FormName())); err != nil || read > maxForm {
			return nil, cutForm(err)
		}
		values.Add(p.FormName(), string(raw))
	}
}

// keepPhotos stores the photos of the form for what the link opens, and gives
// the reason of the first that was refused, "" = none. The rest is read all the
// same: a browser that is still sending shows no answer.
func (c *call) keepPhotos(token string) (reason string) {
	if c.photos == nil {
		return ""
	}
	leave, err := c.File.Enter(c.actor)
	if err == nil {
		defer leave()
	} else {
		reason = "BUSY"
	}
	for p := c.photos.next; p != nil; p, _ = c.photos.rest.NextPart() {
		if p.FileName() != "" && reason == "" {
			_, err := c.File.StorePhoto(c.ctx(), c.actor, token, file.Input{Name: partName(p), Body: p})
			reason = c.reasonOf(err)
		}
		_, _ = io.Copy(io.Discard, p)
	}
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(pageTime))
	return reason
}

// dropPhotos reads past the photos of a form that was refused.
func (c *call) dropPhotos() {
	if c.photos != nil {
		_, _ = io.Copy(io.Discard, c.r.Body)
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(pageTime))
	}
}

func (c *call) reasonOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := fault.As(err); ok && e.Reason != "" {
		return e.Reason
	}
	c.Log.WarnContext(c.ctx(), "a photo was not kept", "err", err)
	return "OTHER"
}

// photoWords say why a photo was refused, "" = none was. An unknown reason is
// somebody's own writing and says nothing.
func (c *call) photoWords() string {
	w, err := say(c.lang, "photo."+c.r.URL.Query().Get("photo"))
	if err != nil {
		return ""
	}
	return w
}

// withPhoto adds the reason to an address.
func withPhoto(address, reason string) string {
	if reason == "" {
		return address
	}
	return address + "?photo=" + url.QueryEscape(reason)
}
