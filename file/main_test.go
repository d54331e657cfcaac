package file_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kelian/file"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var bg = context.Background()

// world is a server with two members and one object of a stranger's link.
type world struct {
	t          *testing.T
	db         *store.DB
	clock      *clock.Fake
	dir        string
	files      *file.Service
	server     *httptest.Server
	anna, bert id.ID
	object     outbox.Ref
	readers    map[id.ID]file.Access // of every object
	roomy      int64
	closed     bool
}

func open(t *testing.T, db *store.DB, limits file.Limits) *world {
	w := &world{t: t, db: db, clock: testkit.Clock(), dir: filepath.Join(t.TempDir(), "files"), object: outbox.Ref{Kind: "obj", ID: id.New()}, readers: map[id.ID]file.Access{}}
	w.anna, w.bert = mk.Officer(t, db, "安娜"), mk.Officer(t, db, "贝特")
	rules := org.NewTable(org.Rules(), file.Rules())
	w.files = file.New(db, w.clock, rules, file.Options{Dir: w.dir, Parents: map[string]file.Parent{"obj": w}, Link: w.link, Limits: limits})
	d := &file.Door{Files: w.files, Log: slog.New(slog.DiscardHandler),
		Identify: func(_ http.ResponseWriter, r *http.Request) (org.Actor, error) {
			a := org.Stranger("zh", "192.0.2.1")
			_ = a.Person.UnmarshalText([]byte(r.Header.Get("Who")))
			return a, nil
		},
		Refuse: func(w http.ResponseWriter, _ *http.Request, status int, e *fault.Error) {
			if status == 0 {
				status = map[fault.Code]int{fault.NotFound: 404, fault.Unauthenticated: 401, fault.Conflict: 409, fault.RateLimited: 429, fault.BadUserInput: 400, fault.Rule: 409}[e.Code]
			}
			if status == 0 {
				status = 500
			}
			http.Error(w, e.En, status)
		},
		Stream: func(w http.ResponseWriter, _ *http.Request) func() {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
			return func() {}
		}}
	mux := http.NewServeMux()
	d.Mount(mux)
	w.server = httptest.NewServer(mux)
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) link(_ context.Context, token string) (file.Link, error) {
	if token != "right" {
		return file.Link{}, fault.Missing()
	}
	return file.Link{Object: w.object, PersonalField: "file.name", Closed: w.closed}, nil
}

func (w *world) MayRead(_ context.Context, a org.Actor, _ []id.ID) (func(object, file id.ID) file.Access, error) {
	return func(id.ID, id.ID) file.Access { return w.readers[a.Person] }, nil
}

func (w *world) Room(_ context.Context, _ org.Actor, object id.ID) (int64, error) {
	if object != w.object.ID {
		return 0, nil
	}
	return w.roomy, nil
}

type answer struct {
	status int
	http.Header
	body string
}

// req sends a request as somebody; header is name, value, …
func (w *world) req(who id.ID, method, path string, body io.Reader, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequest(method, w.server.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if !who.IsZero() {
		r.Header.Set("Who", who.String())
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := w.server.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(raw)}
}

type sent struct {
	ID, SHA256, MediaType, Name, URL string
	Size                             int64
}

// put uploads and reads the answer.
func (w *world) put(who id.ID, path, body string) sent {
	w.t.Helper()
	a := w.req(who, "POST", path, strings.NewReader(body))
	if a.status != 201 {
		w.t.Fatalf("POST %s: %d %s", path, a.status, a.body)
	}
	return w.sent(a)
}

func (w *world) sent(a answer) sent {
	w.t.Helper()
	var s sent
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		w.t.Fatal(err, a.body)
	}
	return s
}

func (w *world) want(a answer, status int) {
	w.t.Helper()
	if a.status != status {
		w.t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
}

// kept counts the files below the directory, the bytes under way included.
func (w *world) kept() int {
	n := 0
	_ = filepath.WalkDir(w.dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

func (w *world) rows() int64 {
	w.t.Helper()
	n, err := w.db.R.NewSelect().Table("file").Count(bg)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// bind hangs a file on the world's object.
func (w *world) bind(owner id.ID, s sent) []id.ID {
	w.t.Helper()
	return w.bindAs(owner, file.Attachment{File: w.id(s), SHA256: s.SHA256}, w.object)
}

func (w *world) bindAs(owner id.ID, a file.Attachment, to outbox.Ref) (refused []id.ID) {
	w.t.Helper()
	mk.InTx(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		r := store.NewReads(tx)
		bind := w.files.AskBind(r, owner, to, []file.Attachment{a})
		if err := r.Run(ctx); err != nil {
			return err
		}
		refused = bind(tx)
		return nil
	})
	return refused
}

func (w *world) id(s sent) id.ID {
	w.t.Helper()
	out, err := id.Parse(file.RefFile, s.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// chunked hides its length.
func chunked(s string) io.Reader { return io.MultiReader(bytes.NewReader([]byte(s))) }
