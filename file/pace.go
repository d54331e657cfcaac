package file

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"kelian/internal/fault"
	"kelian/org"
)

// Body is the body of an upload whose sender has to move Limits.Pace bytes in
// every Limits.Stall; it takes the place of the server's time for a whole
// request. What it refuses with is a *fault.Error.
func (s *Service) Body(w http.ResponseWriter, r *http.Request) io.Reader {
	b := &paced{body: r.Body, rc: http.NewResponseController(w), pace: s.Limits.Pace, stall: s.Limits.Stall}
	b.renew()
	return b
}

type paced struct {
	body  io.Reader
	rc    *http.ResponseController
	pace  int
	left  int
	stall time.Duration
}

func (b *paced) renew() {
	b.left = b.pace
	_ = b.rc.SetReadDeadline(time.Now().Add(b.stall))
}

// Read implements io.Reader.
func (b *paced) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.renew()
	}
	n, err := b.body.Read(p)
	b.left -= n
	var tooLong *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, io.EOF) || errors.As(err, &tooLong):
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, refuse(Slow, "上传太慢，已中断，请重试", "the upload was too slow and was cut; try again").Because(err)
	}
	return n, refuse(Cut, "上传中断，没有保存，请重试", "the upload was cut short and nothing was kept; try again").Because(err)
}

// slowly lets a download take as long as its reader needs, as long as
// something moves in every stall.
type slowly struct {
	*os.File
	rc    *http.ResponseController
	stall time.Duration
}

// Read implements io.Reader.
func (s slowly) Read(p []byte) (int, error) {
	_ = s.rc.SetWriteDeadline(time.Now().Add(s.stall))
	return s.File.Read(p)
}

// gate counts what runs, in all and for each holder.
type gate struct {
	mu   sync.Mutex
	all  int
	each map[string]int
}

// enter takes a place; leave gives it back.
func (g *gate) enter(holder string, most, each int) (leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= most || g.each[holder] >= each {
		return nil, false
	}
	if g.each == nil {
		g.each = map[string]int{}
	}
	g.all++
	g.each[holder]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.each[holder]--; g.each[holder] == 0 {
			delete(g.each, holder)
		}
	}, true
}

// Enter takes one of the places of uploads that run at once; leave frees it.
func (s *Service) Enter(actor org.Actor) (leave func(), err error) {
	return s.enter(&s.uploads, actor, s.Limits.AtOnce)
}

func (s *Service) enter(g *gate, actor org.Actor, most int) (leave func(), err error) {
	holder := actor.Address
	if !actor.Anonymous() {
		holder = actor.Person.String()
	}
	leave, ok := g.enter(holder, most, s.Limits.Each)
	if !ok {
		return nil, &fault.Error{Code: fault.RateLimited, Zh: "同时传输的文件太多，请等其中一个完成", En: "too many files are being transferred; wait until one is done"}
	}
	return leave, nil
}
