package file_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kelian/file"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
)

func (w *world) sweep() {
	w.t.Helper()
	if _, err := w.files.Sweep(bg); err != nil {
		w.t.Fatal(err)
	}
}

// A process that dies after the bytes and before the row leaves bytes that
// nobody names: nothing shows them, the same upload again works, and they go.
func TestBytesWithoutARowLieAboutNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		lost := w.put(w.anna, "/files", "lost")
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error { tx.QueueSQL(`DELETE FROM file`); return nil }) // as if it had never been committed
		if _, faults, err := file.Verify(bg, db, w.dir, true); err != nil || len(faults) != 0 {
			t.Errorf("faults %v: %v", faults, err)
		}
		w.want(w.req(w.anna, "GET", lost.URL, nil), 404)
		w.clock.Advance(24 * time.Hour)
		w.sweep()
		if w.kept() != 1 {
			t.Fatalf("%d files after a day, want the one that may still be committed", w.kept())
		}
		w.clock.Advance(time.Microsecond)
		w.sweep()
		if w.kept() != 0 {
			t.Errorf("%d files are left", w.kept())
		}
		w.put(w.anna, "/files", "lost")
	})
}

// Bytes that are old and uploaded anew are young again.
func TestOldBytesUploadedAgainStay(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{})
	w.put(w.anna, "/files", "text")
	mk.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error { tx.QueueSQL(`DELETE FROM file`); return nil })
	w.clock.Advance(48 * time.Hour)
	w.put(w.anna, "/files", "text")
	mk.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error { tx.QueueSQL(`DELETE FROM file`); return nil })
	w.sweep()
	if w.kept() != 1 {
		t.Errorf("%d files, want the young one", w.kept())
	}
}

// A sweep that was killed half way left bytes in the trash; somebody may have
// uploaded them again.
func TestTrashOfAKilledSweepIsPutBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		s := w.put(w.anna, "/files", "text")
		at := filepath.Join(w.dir, s.SHA256[:2], s.SHA256[2:4], s.SHA256)
		if err := os.MkdirAll(filepath.Join(w.dir, "trash"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(at, filepath.Join(w.dir, "trash", s.SHA256)); err != nil {
			t.Fatal(err)
		}
		w.sweep()
		w.want(w.req(w.anna, "GET", s.URL, nil), 200)
	})
}

func TestWhatWasNeverSentLapses(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		free, bound := w.put(w.anna, "/files", "free"), w.put(w.anna, "/files", "bound")
		w.bind(w.anna, bound)
		w.readers[w.anna] = file.Readable
		at, _ := w.begin(w.anna, 10, "")
		w.want(w.req(w.anna, "PATCH", at, strings.NewReader("abc"), "Upload-Offset", "0"), 204)
		w.clock.Advance(7 * 24 * time.Hour)
		w.sweep()
		w.want(w.req(w.anna, "GET", free.URL, nil), 200)
		w.clock.Advance(time.Second)
		// The disk keeps its own time for what is under way.
		list, _ := os.ReadDir(filepath.Join(w.dir, "upload"))
		for _, e := range list {
			if err := os.Chtimes(filepath.Join(w.dir, "upload", e.Name()), testkit.Start, testkit.Start); err != nil {
				t.Fatal(err)
			}
		}
		w.sweep()
		w.want(w.req(w.anna, "GET", free.URL, nil), 404)
		w.want(w.req(w.anna, "GET", bound.URL, nil), 200)
		w.want(w.req(w.anna, "HEAD", at, nil), 404)
		if w.kept() != 1 {
			t.Errorf("%d files, want the one that hangs on something", w.kept())
		}
		var names []string
		if err := db.R.NewRaw(`SELECT value FROM personal WHERE field = 'file.name'`).Scan(bg, &names); err != nil || len(names) != 1 {
			t.Errorf("names %v: %v", names, err)
		}
	})
}

func TestErasedPersonsFilesGo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		s, same := w.put(w.anna, "/files?name=anna.txt", "shared"), w.put(w.bert, "/files", "shared")
		w.put(w.anna, "/files", "own")
		w.bind(w.anna, s)
		w.readers[w.bert] = file.Readable
		mk.InTx(t, db, func(ctx context.Context, tx *store.Tx) error {
			return w.files.EraseOwned(ctx, tx, w.anna, w.clock.Now())
		})
		w.want(w.req(w.bert, "GET", s.URL, nil), 404)
		w.clock.Advance(25 * time.Hour)
		w.sweep()
		w.want(w.req(w.bert, "GET", same.URL, nil), 200)
		if w.kept() != 1 {
			t.Errorf("%d files, want what is somebody else's too", w.kept())
		}
		var names []string
		if err := db.R.NewRaw(`SELECT value FROM personal WHERE field = 'file.name' AND value = 'anna.txt'`).Scan(bg, &names); err != nil && !store.NoRows(err) || len(names) != 0 {
			t.Errorf("the name is still there: %v %v", names, err)
		}
	})
}

func TestBindingJudgesEveryFile(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		s := w.put(w.anna, "/files", "text")
		other := outbox.Ref{Kind: "obj", ID: id.New()}
		right := file.Attachment{File: w.id(s), SHA256: s.SHA256}
		for name, c := range map[string]struct {
			owner id.ID
			a     file.Attachment
		}{
			"foreign":      {w.bert, right},
			"absent":       {w.anna, file.Attachment{File: id.New(), SHA256: s.SHA256}},
			"wrong digest": {w.anna, file.Attachment{File: right.File, SHA256: sumOf("other")}},
		} {
			if got := w.bindAs(c.owner, c.a, w.object); len(got) != 1 || got[0] != c.a.File {
				t.Errorf("%s: refused %v", name, got)
			}
		}
		for range 2 { // again by a new revision of the same object
			if got := w.bindAs(w.anna, right, w.object); got != nil {
				t.Errorf("refused %v", got)
			}
		}
		if got := w.bindAs(w.anna, right, other); len(got) != 1 {
			t.Error("a file hangs on two objects")
		}
	})
}

// A file that is somebody's personal value goes when the value does.
func TestFileGoesWithItsPersonalValue(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		s := w.put(w.anna, "/files", "photo")
		w.bindAs(w.anna, file.Attachment{File: w.id(s), SHA256: s.SHA256, PersonalField: org.FieldName}, outbox.Ref{Kind: "obj", ID: w.bert})
		w.sweep()
		if w.rows() != 1 {
			t.Fatal("it went before its value")
		}
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`DELETE FROM personal WHERE subject = ?`, w.bert)
			return nil
		})
		w.sweep()
		if w.rows() != 0 {
			t.Error("it stayed without its value")
		}
	})
}

func picture() *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, 20, 10))
	for x := range 20 {
		for y := range 10 {
			p.Set(x, y, color.RGBA{uint8(x * 12), uint8(y * 25), 90, 255})
		}
	}
	return p
}

// phone is a photo as a phone writes it: held sideways, with its place, a
// comment and a second picture behind the end.
func phone(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(), nil); err != nil {
		t.Fatal(err)
	}
	tiff := []byte("II*\x00\x08\x00\x00\x00\x02\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x25\x88\x04\x00\x01\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00GPS 29.87N 121.54E")
	seg := func(marker byte, body string) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
	}
	out := append([]byte(nil), b.Bytes()[:2]...)
	out = append(out, seg(0xe1, "Exif\x00\x00"+string(tiff))...)
	out = append(out, seg(0xe1, "http://ns.adobe.com/xap/1.0/\x00GPS in XMP")...)
	out = append(out, seg(0xed, "Photoshop 3.0\x00GPS in IPTC")...)
	out = append(out, seg(0xfe, "GPS in a comment")...)
	out = append(out, b.Bytes()[2:]...)
	return append(out, "GPS behind the end"...)
}

func TestStrangersPhotosLoseTheirPlace(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		s := w.put(id.Nil, "/t/right/files?name=IMG_1.jpg", string(phone(t)))
		if s.MediaType != "image/jpeg" {
			t.Errorf("kind %s", s.MediaType)
		}
		a := w.req(id.Nil, "GET", s.URL, nil)
		w.want(a, 200)
		if strings.Contains(a.body, "GPS") || sumOf(a.body) != s.SHA256 {
			t.Errorf("kept as %q", a.body)
		}
		was, err := jpeg.Decode(bytes.NewReader(phone(t)))
		if err != nil {
			t.Fatal(err)
		}
		is, err := jpeg.Decode(strings.NewReader(a.body))
		if err != nil || !bytes.Equal(was.(*image.YCbCr).Y, is.(*image.YCbCr).Y) {
			t.Errorf("the picture changed: %v", err)
		}
		if !strings.Contains(a.body, "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06") {
			t.Error("the photo lies on its side now")
		}
		if again := w.put(id.Nil, "/t/right/files", string(phone(t))); again.ID != s.ID {
			t.Error("the same photo again is another file")
		}
		w.want(w.req(id.Nil, "GET", "/t/wrong/files/"+s.ID, nil), 404)
		w.want(w.req(w.anna, "GET", "/files/"+s.ID, nil), 404)
		w.readers[w.anna] = file.Readable
		w.want(w.req(w.anna, "GET", "/files/"+s.ID, nil), 200)
		w.sweep() // its personal value is not there: the reporter was forgotten
		w.want(w.req(w.anna, "GET", "/files/"+s.ID, nil), 404)
	})
}

func TestStrangersSendPhotosOnly(t *testing.T) {
	w := open(t, testkit.SQLite(t), file.Limits{Photos: 2, Photo: 4000, Pixels: 200})
	var pic, big bytes.Buffer
	_ = png.Encode(&pic, picture())
	_ = png.Encode(&big, image.NewGray(image.Rect(0, 0, 201, 1)))
	text := append(append([]byte(nil), pic.Bytes()[:33]...), "\x00\x00\x00\x08tEXtGPS here\x00\x00\x00\x00"...)
	text = append(append(text, pic.Bytes()[33:]...), "<script>behind the end</script>"...)
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"page": {"<html><script>", 415}, "drawing": {`<svg xmlns="http://www.w3.org/2000/svg"/>`, 415}, "gif": {"GIF89a\x01\x00\x01\x00\x00\x00\x00;", 415},
		"pdf": {"%PDF-1.7", 415}, "cut": {string(phone(t)[:200]), 415}, "cut late": {string(pic.Bytes()[:pic.Len()-12]), 415}, "empty": {"", 400},
		"too large": {strings.Repeat("x", 4001), 413}, "too many pixels": {big.String(), 413},
	} {
		a := w.req(id.Nil, "POST", "/t/right/files", strings.NewReader(c.body))
		if a.status != c.want || w.kept() != 0 {
			t.Errorf("%s: %d, want %d; %d files kept", name, a.status, c.want, w.kept())
		}
	}
	w.want(w.req(id.Nil, "POST", "/t/wrong/files", bytes.NewReader(pic.Bytes())), 404)
	s := w.put(id.Nil, "/t/right/files", string(text))
	if a := w.req(id.Nil, "GET", s.URL, nil); a.body != pic.String() {
		t.Error("text of the PNG is kept")
	}
	w.put(id.Nil, "/t/right/files", string(phone(t)))
	w.put(id.Nil, "/t/right/files", string(phone(t)))
	var third bytes.Buffer
	_ = png.Encode(&third, image.NewGray(image.Rect(0, 0, 3, 3)))
	w.want(w.req(id.Nil, "POST", "/t/right/files", bytes.NewReader(third.Bytes())), 413)
	if w.kept() != 2 {
		t.Errorf("%d files kept", w.kept())
	}
	w.closed = true
	w.want(w.req(id.Nil, "POST", "/t/right/files", strings.NewReader(string(text))), 409)
}

// An archive carries the bytes, into whichever database.
func TestArchiveCarriesTheBytes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := open(t, db, file.Limits{})
		text := strings.Repeat("0123456789", 20_000)
		s, lost := w.put(w.anna, "/files?name=big.txt", text), w.put(w.anna, "/files", "lost")
		if err := os.Remove(filepath.Join(w.dir, lost.SHA256[:2], lost.SHA256[2:4], lost.SHA256)); err != nil {
			t.Fatal(err)
		}
		from := file.NewArchive(w.dir, w.clock.Now())
		var archive bytes.Buffer
		if _, err := store.Dump(bg, db, &archive, w.clock.Now(), from); err != nil {
			t.Fatal(err)
		}
		if len(from.Missing) != 1 || from.Missing[0] != lost.SHA256 {
			t.Errorf("missing %v", from.Missing)
		}
		targets := []*store.DB{testkit.SQLite(t)}
		if testkit.PostgresURL() != "" {
			targets = append(targets, testkit.Postgres(t))
		}
		for _, to := range targets {
			dir := t.TempDir()
			if _, err := store.Restore(bg, to, bytes.NewReader(archive.Bytes()), file.NewArchive(dir, w.clock.Now())); err != nil {
				t.Fatal(err)
			}
			there := file.New(to, w.clock, org.NewTable(file.Rules()), file.Options{Dir: dir})
			f, body, err := there.Open(bg, org.Actor{Person: w.anna}, w.id(s))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(body)
			if err != nil || string(raw) != text || f.Name != "big.txt" {
				t.Errorf("%s of %d bytes: %v", f.Name, len(raw), err)
			}
			_ = body.Close()
			if n, faults, err := file.Verify(bg, to, dir, true); err != nil || n != 2 || len(faults) != 1 || faults[0].SHA256 != lost.SHA256 {
				t.Errorf("%d digests, faults %v: %v", n, faults, err)
			}
		}
	})
}
