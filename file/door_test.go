package file_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/file"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

func TestUploadAndDownload(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		const text = "%PDF-1.7 报价单"
		s := w.put(w.anna, "/files?name=..%2F..%2Fetc%2F%E6%8A%A5%E4%BB%B7%E5%8D%95.pdf", text)
		if s.SHA256 != sumOf(text) || s.Size != int64(len(text)) || s.MediaType != "application/pdf" || s.Name != "报价单.pdf" {
			t.Errorf("answer %+v", s)
		}
		a := w.req(w.anna, "GET", s.URL, nil)
		w.want(a, 200)
		if a.body != text || a.Get("ETag") != `"`+s.SHA256+`"` || !strings.HasPrefix(a.Get("Content-Disposition"), "inline") ||
			!strings.Contains(a.Get("Content-Security-Policy"), "sandbox") || a.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("download %q with %v", a.body, a.Header)
		}
		if a = w.req(w.anna, "GET", s.URL, nil, "Range", "bytes=1-3"); a.status != 206 || a.body != "PDF" {
			t.Errorf("range: %d %q", a.status, a.body)
		}
		w.want(w.req(w.anna, "GET", s.URL, nil, "If-None-Match", `"`+s.SHA256+`"`), 304)
		w.want(w.req(w.anna, "HEAD", s.URL, nil), 200)
		if again := w.put(w.anna, "/files?name=other", text); again.ID != s.ID || again.Name != "报价单.pdf" {
			t.Errorf("the same content again is %+v", again)
		}
		if other := w.put(w.bert, "/files", text); other.ID == s.ID || w.kept() != 1 {
			t.Errorf("somebody else's is %s, %d files kept", other.ID, w.kept())
		}
	})
}

// What a browser could run is saved, whatever its name says.
func TestPagesAreNeverShown(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{})
	for name, text := range map[string]string{"x.png": "<html><script>alert(1)</script>", "x.jpg": `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "a.txt": "text"} {
		s := w.put(w.anna, "/files?name="+name, text)
		a := w.req(w.anna, "GET", s.URL, nil)
		if !strings.HasPrefix(a.Get("Content-Disposition"), "attachment") || a.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %v", name, a.Header)
		}
	}
}

func TestAbsentAndForeignAnswerTheSame(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		s := w.put(w.anna, "/files", "mine")
		foreign := w.req(w.bert, "GET", s.URL, nil)
		absent := w.req(w.bert, "GET", "/files/"+id.New().TypeID("fil"), nil)
		broken := w.req(w.bert, "GET", "/files/..%2F..%2Fsecret.key", nil)
		w.want(foreign, 404)
		if foreign.body != absent.body || absent.status != 404 || broken.body != absent.body {
			t.Errorf("foreign %q, absent %q, broken %q", foreign.body, absent.body, broken.body)
		}
		w.want(w.req(id.Nil, "GET", s.URL, nil), 401)
		w.want(w.req(id.Nil, "POST", "/files", strings.NewReader("x")), 401)
		// Once it hangs on something, that decides: for the owner as well.
		if refused := w.bind(w.anna, s); refused != nil {
			t.Fatal(refused)
		}
		w.want(w.req(w.anna, "GET", s.URL, nil), 404)
		w.readers[w.bert] = file.Recorded
		w.want(w.req(w.bert, "GET", s.URL, nil), 200)
		if n, err := db.R.NewSelect().Table("audit").Where("action = 'file.look' AND actor = ?", w.bert).Count(bg); err != nil || n != 1 {
			t.Errorf("%d looks recorded: %v", n, err)
		}
	})
}

func TestBadUploadsLeaveNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{Member: 1000})
		edge := strings.Repeat("x", 1000)
		for name, c := range map[string]struct {
			body   io.Reader
			path   string
			header []string
			want   int
		}{
			"empty":             {strings.NewReader(""), "/files", nil, 400},
			"too large":         {strings.NewReader(edge + "x"), "/files", nil, 413},
			"too large chunked": {chunked(edge + "x"), "/files", nil, 413},
			"wrong digest":      {strings.NewReader("x"), "/files", []string{"Upload-SHA256", sumOf("y")}, 422},
			"no digest":         {strings.NewReader("x"), "/files", []string{"Upload-SHA256", "../../x"}, 400},
			"multipart":         {strings.NewReader("x"), "/files", []string{"Content-Type", "multipart/form-data; boundary=a"}, 415},
			"encoded":           {strings.NewReader("x"), "/files", []string{"Content-Encoding", "gzip"}, 415},
			"name with NUL":     {strings.NewReader("x"), "/files?name=a%00b", nil, 400},
			"name not UTF-8":    {strings.NewReader("x"), "/files?name=%ff", nil, 400},
			"long name":         {strings.NewReader("x"), "/files?name=" + strings.Repeat("a", 201), nil, 400},
		} {
			t.Run(name, func(t *testing.T) {
				a := w.req(w.anna, "POST", c.path, c.body, c.header...)
				if a.status != c.want {
					t.Errorf("status %d, want %d: %s", a.status, c.want, a.body)
				}
				if w.kept() != 0 || w.rows() != 0 {
					t.Errorf("%d files and %d rows are left", w.kept(), w.rows())
				}
			})
		}
		w.put(w.anna, "/files", edge)
		w.put(w.anna, "/files?name="+strings.Repeat("a", 200), "the longest name")
	})
}

// raw opens an upload by hand and gives what the server says.
func (w *world) raw(request string, cut bool) string {
	w.t.Helper()
	c, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, request); err != nil {
		w.t.Fatal(err)
	}
	if cut {
		_ = c.(*net.TCPConn).CloseWrite()
	}
	raw, _ := io.ReadAll(c)
	return string(raw)
}

func TestCutAndSlowUploadsLeaveNothing(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{Stall: 50 * time.Millisecond})
	head := fmt.Sprintf("POST /files HTTP/1.1\r\nHost: x\r\nWho: %s\r\n", w.anna)
	for name, c := range map[string]struct {
		request string
		cut     bool
		want    string
	}{
		"cut":         {head + "Content-Length: 100\r\n\r\nonly this", true, "400"},
		"cut chunked": {head + "Transfer-Encoding: chunked\r\n\r\n5\r\nonly \r\n", true, "400"},
		"slow":        {head + "Content-Length: 100\r\n\r\nonly this", false, "408"},
	} {
		if got := w.raw(c.request, c.cut); !strings.HasPrefix(got, "HTTP/1.1 "+c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if w.kept() != 0 || w.rows() != 0 {
		t.Errorf("%d files and %d rows are left", w.kept(), w.rows())
	}
}

func TestParallelUploadsOfOneContent(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{Each: 16})
		text := strings.Repeat("same", 50_000)
		got := make([]string, 8)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				a := w.req([]id.ID{w.anna, w.bert}[i%2], "POST", "/files", strings.NewReader(text))
				if a.status == 201 {
					got[i] = w.sent(a).ID
				}
			})
		}
		wg.Wait()
		for i := range got {
			if got[i] == "" || got[i] != got[i%2] {
				t.Errorf("upload %d is %q, the first of the same person %q", i, got[i], got[i%2])
			}
		}
		if w.kept() != 1 || w.rows() != 2 {
			t.Errorf("%d files and %d rows", w.kept(), w.rows())
		}
	})
}

func TestTooManyAtOnceWait(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{Each: 1})
	in, out := io.Pipe()
	done := make(chan answer, 1)
	go func() { done <- w.req(w.anna, "POST", "/files", in) }()
	if _, err := io.WriteString(out, "first"); err != nil { // the server reads it
		t.Fatal(err)
	}
	for w.kept() == 0 { // until the first stands inside
		w.want(w.req(w.bert, "GET", "/files/"+id.New().TypeID("fil"), nil), 404)
	}
	w.want(w.req(w.anna, "POST", "/files", strings.NewReader("second")), 429)
	w.put(w.bert, "/files", "somebody else's")
	_ = out.Close()
	w.want(<-done, 201)
}

func TestMissingContentIsSaidSo(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{})
	s := w.put(w.anna, "/files", "will be lost")
	if err := os.Remove(filepath.Join(w.dir, s.SHA256[:2], s.SHA256[2:4], s.SHA256)); err != nil {
		t.Fatal(err)
	}
	if a := w.req(w.anna, "GET", s.URL, nil); a.status != 500 || !strings.Contains(a.body, "missing") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if _, faults, err := file.Verify(bg, w.db, w.dir, false); err != nil || len(faults) != 1 || faults[0].SHA256 != s.SHA256 {
		t.Errorf("faults %v: %v", faults, err)
	}
}
