package auth

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

func (s *Service) newLink(kind LinkKind, person, by id.ID, life time.Duration, now time.Time) link {
	l := link{ID: id.New(), Kind: kind, PersonID: person, IssuedBy: by, CreatedAt: now, ExpiresAt: now.Add(life)}
	l.Hash = digest(LinkToken(s.db.Key(), l.ID))
	return l
}

// putLink writes a link; an older one of the kind for the person ends.
func (s *Service) putLink(_ context.Context, tx *store.Tx, l link) error {
	if l.Kind != LinkClaim {
		tx.Queue(s.db.Bun().NewUpdate().Table("auth_link").Set("used_at = ?", l.CreatedAt).Where("kind = ?", l.Kind).
			Where("used_at IS NULL").Where("person_id IS NULL AND ? = 'SETUP' OR person_id = ?", l.Kind, l.PersonID))
	}
	tx.Queue(s.db.Bun().NewInsert().Model(&l))
	return nil
}

// LinkInfo is what a page may show of a link before it is used.
type LinkInfo struct {
	Kind    LinkKind
	Expires time.Time
}

// Link says what a link is for. Unknown, used and expired ones answer the same.
func (s *Service) Link(ctx context.Context, token string) (LinkInfo, error) {
	l, err := s.link(ctx, s.db.R, token, "")
	return LinkInfo{l.Kind, l.ExpiresAt}, err
}

func (s *Service) link(ctx context.Context, q bun.IDB, token string, kind LinkKind) (link, error) {
	var l link
	err := q.NewSelect().Model(&l).Where("hash = ?", digest(token)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return l, store.Busy(err)
	}
	if err != nil || kind != "" && l.Kind != kind || !l.UsedAt.IsZero() || !s.clock.Now().Before(l.ExpiresAt) {
		return link{}, deadLink()
	}
	return l, nil
}

// useLink takes a link; of two at once one does.
func (s *Service) useLink(ctx context.Context, tx *store.Tx, l link, now time.Time) error {
	res, err := tx.NewRaw(`UPDATE auth_link SET used_at = ? WHERE id = ? AND used_at IS NULL AND expires_at > ?`, now, l.ID, now).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		if err == nil {
			err = deadLink()
		}
		return err
	}
	return nil
}

func deadLink() error {
	return &fault.Error{Code: fault.NotFound, Reason: "LINK_ENDED", Zh: "这个链接已用过或已过期，请让办公室或部长再发一个", En: "this link was used or has expired; ask the office or the head of your unit for another"}
}
