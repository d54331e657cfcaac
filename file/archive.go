package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Archive lets backup and restore carry the bytes of all files. It is a
// store.Attached.
type Archive struct {
	blobs blobs
	at    time.Time
	// Missing are digests of rows whose bytes were not there to be copied.
	Missing []string
}

// NewArchive is the archive's side of a directory of blobs; what is restored
// counts as uploaded at the time at.
func NewArchive(dir string, at time.Time) *Archive {
	return &Archive{blobs: blobs{filepath.Clean(dir)}, at: at}
}

// Names implements store.Attached.
func (a *Archive) Names(ctx context.Context, q bun.IDB) ([]string, error) {
	var sums []string
	if err := q.NewRaw(`SELECT DISTINCT sha256 FROM file ORDER BY sha256`).Scan(ctx, &sums); err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return sums, nil
}

// Open implements store.Attached.
func (a *Archive) Open(sum string) (io.ReadCloser, int64, error) {
	f, err := os.Open(a.blobs.path(sum))
	if errors.Is(err, os.ErrNotExist) {
		a.Missing = append(a.Missing, sum)
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Put implements store.Attached.
func (a *Archive) Put(sum string, size int64, r io.Reader) error {
	if !isSum(sum) {
		return fmt.Errorf("%.80q is no digest", sum)
	}
	w, err := a.blobs.create()
	if err != nil {
		return err
	}
	defer w.drop()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	if w.sum() != sum || w.size != size {
		return errors.New("the content is not that of its digest")
	}
	return a.blobs.keep(w, a.at)
}
