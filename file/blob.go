package file

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// blobs is the directory: ab/cd/<sha256> for what is kept, tmp for what is
// being written, upload for resumable uploads, trash for what Sweep is about
// to remove. Its times are business time.
type blobs struct{ dir string }

func (b blobs) path(sum string) string    { return filepath.Join(b.dir, sum[:2], sum[2:4], sum) }
func (b blobs) part(upload string) string { return filepath.Join(b.dir, "upload", upload) }

// written is bytes on their way: not kept before keep.
type written struct {
	file *os.File
	hash hash.Hash
	size int64
	head []byte // the first bytes, by which the kind is told
}

const sniffed = 512

// create begins a file of its own in tmp.
func (b blobs) create() (*written, error) {
	dir := filepath.Join(b.dir, "tmp")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "in-*")
	if err != nil {
		return nil, err
	}
	return &written{file: f, hash: sha256.New()}, nil
}

// Write implements io.Writer.
func (w *written) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if room := sniffed - len(w.head); room > 0 {
		w.head = append(w.head, p[:min(room, n)]...)
	}
	return n, err
}

func (w *written) sum() string { return hex.EncodeToString(w.hash.Sum(nil)) }

// drop forgets what was written, unless it was kept.
func (w *written) drop() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// keep makes the bytes durable under their digest. Bytes of the same digest
// are replaced by themselves, so that they count as new for Sweep.
func (b blobs) keep(w *written, now time.Time) error {
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	return b.place(w.file.Name(), w.sum(), now)
}

// place moves a closed and synced file under its digest.
func (b blobs) place(from, sum string, now time.Time) error {
	if err := os.Chtimes(from, now, now); err != nil {
		return err
	}
	to := b.path(sum)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	inner := filepath.Dir(to)
	return errors.Join(syncDir(inner), syncDir(filepath.Dir(inner)), syncDir(b.dir))
}

// syncDir makes names in a directory durable; Windows cannot and need not.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// each calls fn for every blob.
func (b blobs) each(fn func(sum string, at time.Time) error) error {
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if filepath.Dir(path) == filepath.Clean(b.dir) && len(d.Name()) != 2 {
				return fs.SkipDir // tmp, upload, trash
			}
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || len(d.Name()) != hex.EncodedLen(sha256.Size) {
			return err
		}
		return fn(d.Name(), info.ModTime())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check says what is wrong with the blob; whole reads all of it.
func (b blobs) check(sum string, size int64, whole bool) error {
	info, err := os.Stat(b.path(sum))
	switch {
	case err != nil:
		return err
	case info.Size() != size:
		return fmt.Errorf("%d bytes, the row says %d", info.Size(), size)
	case !whole:
		return nil
	}
	got, err := sumOf(b.path(sum))
	if err == nil && got != sum {
		err = errors.New("the content is not that of its digest")
	}
	return err
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// toTrash takes a blob away if it is still older than cutoff; back puts it
// where it was. A blob that somebody uploads again between the look at it and
// its removal is a new file at the old name, and is seen by its time.
func (b blobs) toTrash(sum string, cutoff time.Time) (gone bool, err error) {
	trash := filepath.Join(b.dir, "trash")
	if err := os.MkdirAll(trash, 0o700); err != nil {
		return false, err
	}
	at := filepath.Join(trash, sum)
	if err := os.Rename(b.path(sum), at); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	info, err := os.Stat(at)
	if err != nil || info.ModTime().Before(cutoff) {
		return true, err
	}
	return false, b.back(sum)
}

func (b blobs) back(sum string) error {
	return os.Rename(filepath.Join(b.dir, "trash", sum), b.path(sum))
}

// names lists a directory of its own; an absent one is empty.
func (b blobs) names(dir string) ([]fs.DirEntry, error) {
	list, err := os.ReadDir(filepath.Join(b.dir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}
