package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Sweep forgets files that were sent with nothing within Limits.Unbound and
// those whose personal value was erased, then removes bytes that no row has
// named for Limits.Unnamed. It gives the number of rows and blobs that went.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	now := s.clock.Now()
	n, err := s.forgetRows(ctx, now)
	if err != nil {
		return n, err
	}
	cutoff := now.Add(-s.Limits.Unnamed)
	if err := s.emptyTrash(ctx); err != nil {
		return n, err
	}
	var old []string
	err = s.blobs.each(func(sum string, at time.Time) error {
		if at.Before(cutoff) {
			old = append(old, sum)
		}
		return ctx.Err()
	})
	if err != nil {
		return n, err
	}
	for len(old) > 0 {
		batch := old[:min(500, len(old))]
		old = old[len(batch):]
		unnamed, err := s.unnamed(ctx, batch)
		if err != nil {
			return n, err
		}
		for _, sum := range unnamed {
			gone, err := s.blobs.toTrash(sum, cutoff)
			if err != nil {
				return n, err
			}
			if gone {
				n++
			}
		}
	}
	return n, errors.Join(s.emptyTrash(ctx), s.sweepParts(ctx, cutoff))
}

func (s *Service) forgetRows(ctx context.Context, now time.Time) (int, error) {
	return store.InTx(ctx, s.db, store.Internal("file.sweep"), func(ctx context.Context, tx *store.Tx) (int, error) {
		var gone []id.ID
		err := tx.NewRaw(`DELETE FROM file WHERE (parent_id IS NULL AND created_at < ?)
			OR (personal_field IS NOT NULL AND NOT EXISTS (SELECT 1 FROM personal WHERE personal.subject = file.parent_id AND personal.field = file.personal_field))
			RETURNING id`, now.Add(-s.Limits.Unbound)).Scan(ctx, &gone)
		if err != nil && !store.NoRows(err) {
			return 0, err
		}
		if len(gone) > 0 {
			tx.QueueSQL(`DELETE FROM personal WHERE field = ? AND subject IN (?)`, fieldName, bun.List(gone))
		}
		tx.QueueSQL(`DELETE FROM upload WHERE created_at < ?`, now.Add(-s.Limits.Unbound))
		return len(gone), nil
	})
}

// unnamed are the digests that no row names.
func (s *Service) unnamed(ctx context.Context, sums []string) ([]string, error) {
	var named []string
	err := s.db.R.NewRaw(`SELECT DISTINCT sha256 FROM file WHERE sha256 IN (?)`, bun.List(sums)).Scan(ctx, &named)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	has := map[string]bool{}
	for _, x := range named {
		has[x] = true
	}
	var out []string
	for _, x := range sums {
		if !has[x] {
			out = append(out, x)
		}
	}
	return out, nil
}

// emptyTrash removes what stands in the trash, and puts back what a row names:
// somebody may have uploaded it again before it was taken away.
func (s *Service) emptyTrash(ctx context.Context) error {
	list, err := s.blobs.names("trash")
	if err != nil || len(list) == 0 {
		return err
	}
	var sums []string
	for _, e := range list {
		sums = append(sums, e.Name())
	}
	for len(sums) > 0 {
		batch := sums[:min(500, len(sums))]
		sums = sums[len(batch):]
		unnamed, err := s.unnamed(ctx, batch)
		if err != nil {
			return err
		}
		drop := map[string]bool{}
		for _, sum := range unnamed {
			drop[sum] = true
		}
		for _, sum := range batch {
			if drop[sum] {
				err = os.Remove(filepath.Join(s.blobs.dir, "trash", sum))
			} else {
				err = s.blobs.back(sum)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// sweepParts removes what broken-off writes left, and parts of uploads that
// are forgotten.
func (s *Service) sweepParts(ctx context.Context, cutoff time.Time) error {
	for _, dir := range []string{"tmp", "upload"} {
		list, err := s.blobs.names(dir)
		if err != nil {
			return err
		}
		for _, e := range list {
			info, err := e.Info()
			if err != nil || !info.ModTime().Before(cutoff) {
				continue // being written, or gone meanwhile
			}
			if dir == "upload" {
				var of id.ID
				name, _, _ := strings.Cut(e.Name(), ".")
				if err := of.UnmarshalText([]byte(name)); err != nil {
					continue // not ours
				}
				n, err := s.db.R.NewSelect().Table("upload").Where("id = ?", of).Count(ctx)
				if err != nil {
					return store.Busy(err)
				}
				if n > 0 {
					continue
				}
			}
			if err := os.Remove(filepath.Join(s.blobs.dir, dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// Fault is a row whose bytes are missing or not what it says.
type Fault struct {
	SHA256 string
	What   string
}

// Verify looks whether the bytes of every row are there; whole also reads them
// and compares their digests.
func Verify(ctx context.Context, db *store.DB, dir string, whole bool) (files int, faults []Fault, err error) {
	b := blobs{filepath.Clean(dir)}
	var rows []struct {
		SHA256 string `bun:"sha256"`
		Size   int64
	}
	if err := db.R.NewRaw(`SELECT DISTINCT sha256, size FROM file ORDER BY sha256`).Scan(ctx, &rows); err != nil && !store.NoRows(err) {
		return 0, nil, store.Busy(err)
	}
	for _, r := range rows {
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
		err := b.check(r.SHA256, r.Size, whole)
		if errors.Is(err, os.ErrNotExist) {
			err = errors.New("the file is missing")
		}
		if err != nil {
			faults = append(faults, Fault{r.SHA256, err.Error()})
		}
	}
	return len(rows), faults, nil
}
