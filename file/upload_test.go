package file_test

import (
	"strconv"
	"strings"
	"testing"

	"kelian/file"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

func (w *world) begin(who id.ID, size int64, query string) (at string, a answer) {
	w.t.Helper()
	a = w.req(who, "POST", "/files"+query, nil, "Upload-Length", strconv.FormatInt(size, 10))
	return a.Get("Location"), a
}

func TestResumableUpload(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		text := strings.Repeat("0123456789", 1000)
		at, a := w.begin(w.anna, int64(len(text)), "")
		w.want(a, 201)
		part := func(from, to int, header ...string) answer {
			return w.req(w.anna, "PATCH", at+"?name=big.bin", strings.NewReader(text[from:to]), append(header, "Upload-Offset", strconv.Itoa(from))...)
		}
		stands := func(want int) {
			t.Helper()
			if a := w.req(w.anna, "HEAD", at, nil); a.status != 204 || a.Get("Upload-Offset") != strconv.Itoa(want) || a.Get("Upload-Length") != strconv.Itoa(len(text)) {
				t.Fatalf("%d, stands at %s of %s, want %d", a.status, a.Get("Upload-Offset"), a.Get("Upload-Length"), want)
			}
		}
		stands(0)
		w.want(part(0, 4000), 204)
		stands(4000)
		if a := part(3000, 5000); a.status != 409 || a.Get("Upload-Offset") != "4000" {
			t.Errorf("a wrong offset: %d, %s", a.status, a.Get("Upload-Offset"))
		}
		if a := w.req(w.anna, "PATCH", at, strings.NewReader(text), "Upload-Offset", "4000"); a.status != 413 {
			t.Errorf("more than it was opened for: %d", a.status)
		}
		stands(4000)
		w.want(w.req(w.bert, "HEAD", at, nil), 404)
		w.want(w.req(w.bert, "PATCH", at, strings.NewReader("x"), "Upload-Offset", "4000"), 404)
		w.want(part(4000, len(text)), 400) // complete, but without a digest
		stands(len(text))
		a = part(len(text), len(text), "Upload-SHA256", sumOf(text))
		w.want(a, 201)
		s := w.sent(a)
		if s.SHA256 != sumOf(text) || s.Size != int64(len(text)) || s.Name != "big.bin" {
			t.Errorf("the file is %+v", s)
		}
		again := w.sent(part(len(text), len(text), "Upload-SHA256", sumOf(text)))
		if again.ID != s.ID {
			t.Errorf("asked again it is %s, want %s", again.ID, s.ID)
		}
		if a := w.req(w.anna, "GET", s.URL, nil, "Range", "bytes=9990-"); a.body != text[9990:] {
			t.Errorf("the end is %q", a.body)
		}
		if w.kept() != 1 {
			t.Errorf("%d files are left", w.kept())
		}
	})
}

// A body that breaks off leaves what came, and the sender goes on from there.
func TestResumableUploadGoesOnAfterACut(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{})
	at, _ := w.begin(w.anna, 20, "")
	w.raw("PATCH "+at+" HTTP/1.1\r\nHost: x\r\nWho: "+w.anna.String()+"\r\nUpload-Offset: 0\r\nContent-Length: 20\r\n\r\n0123456789", true)
	if got := w.req(w.anna, "HEAD", at, nil).Get("Upload-Offset"); got != "10" {
		t.Fatalf("it stands at %s", got)
	}
	w.want(w.req(w.anna, "PATCH", at, strings.NewReader("abcdefghij"), "Upload-Offset", "10", "Upload-SHA256", sumOf("0123456789abcdefghij")), 201)
}

func TestWrongDigestEndsAResumableUpload(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		at, _ := w.begin(w.anna, 4, "")
		w.want(w.req(w.anna, "PATCH", at, strings.NewReader("abcd"), "Upload-Offset", "0", "Upload-SHA256", sumOf("abce")), 422)
		w.want(w.req(w.anna, "HEAD", at, nil), 404)
		at, _ = w.begin(w.anna, 4, "")
		w.want(w.req(w.anna, "PATCH", at, strings.NewReader("ab"), "Upload-Offset", "0"), 204)
		w.want(w.req(w.anna, "DELETE", at, nil), 204)
		w.want(w.req(w.anna, "HEAD", at, nil), 404)
		if w.kept() != 0 || w.rows() != 0 {
			t.Errorf("%d files and %d rows are left", w.kept(), w.rows())
		}
	})
}

func TestLargeUploadsNeedAnObjectThatTakesThem(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{Waiting: 8 << 30})
		status := func(size int64, query string) int {
			t.Helper()
			at, a := w.begin(w.anna, size, query)
			if at != "" {
				w.want(w.req(w.anna, "DELETE", at, nil), 204)
			}
			return a.status
		}
		there := "?for=" + w.object.String()
		for _, c := range []struct {
			size  int64
			query string
			roomy int64
			want  int
		}{
			{100 << 20, "", 0, 201}, {100<<20 + 1, "", 0, 413}, {0, "", 0, 400},
			{1, there, 0, 404}, {1, "?for=obj_x", 1 << 40, 404}, {1, "?for=" + id.New().TypeID("zzz"), 1 << 40, 404},
			{4 << 30, there, 1 << 40, 201}, {4<<30 + 1, there, 1 << 40, 413}, {1001, there, 1000, 413}, {1000, there, 1000, 201},
		} {
			w.roomy = c.roomy
			if got := status(c.size, c.query); got != c.want {
				t.Errorf("%d bytes %s where %d are taken: %d, want %d", c.size, c.query, c.roomy, got, c.want)
			}
		}
	})
}

func TestWhatIsNotSentIsBounded(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{Waiting: 100})
		first := w.put(w.anna, "/files", strings.Repeat("a", 60))
		at, a := w.begin(w.anna, 40, "")
		w.want(a, 201)
		if _, a := w.begin(w.anna, 1, ""); a.status != 413 {
			t.Errorf("over the bound: %d %s", a.status, a.body)
		}
		w.want(w.req(w.anna, "PATCH", at, strings.NewReader(strings.Repeat("b", 40)), "Upload-Offset", "0", "Upload-SHA256", sumOf(strings.Repeat("b", 40))), 201)
		w.want(w.req(w.anna, "POST", "/files", strings.NewReader("c")), 413)
		w.put(w.bert, "/files", "somebody else's")
		w.bind(w.anna, first)
		w.put(w.anna, "/files", "c")
	})
}
