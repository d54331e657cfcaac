package file

import (
	"context"
	"fmt"
	"os"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Open gives a file and its bytes to somebody who may read it; the caller
// closes them. Absent and foreign answer the same.
func (s *Service) Open(ctx context.Context, actor org.Actor, file id.ID) (File, *os.File, error) {
	if actor.Anonymous() {
		return File{}, nil, fault.SignIn()
	}
	list, err := s.judged(ctx, actor, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", file) })
	if err != nil {
		return File{}, nil, err
	}
	if len(list) == 0 {
		return File{}, nil, fault.Missing()
	}
	f := list[0]
	if f.access == Recorded {
		if err := s.look(ctx, actor, f); err != nil {
			return File{}, nil, err
		}
	}
	body, err := s.body(f)
	return f, body, err
}

// OpenByLink is Open for the holder of the link of the object that the file
// hangs on.
func (s *Service) OpenByLink(ctx context.Context, token string, file id.ID) (File, *os.File, error) {
	link, err := s.link(ctx, token)
	if err != nil {
		return File{}, nil, err
	}
	list, err := s.rows(ctx, s.db.R, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("id = ? AND parent_kind = ? AND parent_id = ?", file, link.Object.Kind, link.Object.ID)
	})
	if err != nil {
		return File{}, nil, err
	}
	if len(list) == 0 {
		return File{}, nil, fault.Missing()
	}
	body, err := s.body(list[0])
	return list[0], body, err
}

// ByLink lists the photos that the holder of a link sent, in the order in which
// they came.
func (s *Service) ByLink(ctx context.Context, token string) ([]File, error) {
	link, err := s.link(ctx, token)
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, s.db.R, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("owner IS NULL AND parent_kind = ? AND parent_id = ?", link.Object.Kind, link.Object.ID)
	})
}

func (s *Service) body(f File) (*os.File, error) {
	body, err := os.Open(s.blobs.path(f.SHA256))
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.ID.TypeID(RefFile), err)
	}
	return body, nil
}

// look records that somebody reads a personal value of somebody else.
func (s *Service) look(ctx context.Context, actor org.Actor, f File) error {
	_, err := store.InTx(ctx, s.db, store.Internal("file.look"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "file.look", Object: f.Parent(),
			Data: map[string]any{"file": f.ID.TypeID(RefFile)}, At: s.clock.Now()})
		return struct{}{}, nil
	})
	return err
}

// Get reads files by id; those that are absent or foreign are not in the map.
func (s *Service) Get(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]File, error) {
	out := map[id.ID]File{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	list, err := s.judged(ctx, actor, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id IN (?)", bun.List(ids)) })
	for _, f := range list {
		out[f.ID] = f
	}
	return out, err
}

// Of lists the files of objects of one kind that the reader may see, in the
// order in which they were uploaded.
func (s *Service) Of(ctx context.Context, actor org.Actor, kind string, objects ...id.ID) (map[id.ID][]File, error) {
	out := map[id.ID][]File{}
	if actor.Anonymous() || len(objects) == 0 {
		return out, nil
	}
	list, err := s.judged(ctx, actor, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("parent_kind = ? AND parent_id IN (?)", kind, bun.List(objects))
	})
	for _, f := range list {
		out[f.ParentID] = append(out[f.ParentID], f)
	}
	return out, err
}

// judged reads files and keeps those that the actor may read.
func (s *Service) judged(ctx context.Context, actor org.Actor, where func(*bun.SelectQuery) *bun.SelectQuery) ([]File, error) {
	list, err := s.rows(ctx, s.db.R, where)
	if err != nil {
		return nil, err
	}
	objects := map[string][]id.ID{}
	for _, f := range list {
		if f.ParentKind != "" {
			objects[f.ParentKind] = append(objects[f.ParentKind], f.ParentID)
		}
	}
	may := map[string]func(object, file id.ID) Access{}
	for kind, ids := range objects {
		if p := s.Parents[kind]; p != nil {
			if may[kind], err = p.MayRead(ctx, actor, ids); err != nil {
				return nil, err
			}
		}
	}
	var out []File
	for _, f := range list {
		if judge := may[f.ParentKind]; judge != nil {
			f.access = judge(f.ParentID, f.ID)
		} else if f.ParentKind == "" && s.rules.Can(actor, "file.read", org.Object{Owner: f.Owner}) {
			f.access = Readable
		}
		if f.access != Hidden {
			out = append(out, f)
		}
	}
	return out, nil
}

// Attachment is a file that a form names.
type Attachment struct {
	File          id.ID
	SHA256        string
	PersonalField string // of the object, where the file is somebody's personal value
}

// AskBind reads what a form names beside other reads, and gives what binds it
// to the object once they have run. What is not the owner's own and free, does
// not hang on the object already, or has another digest is refused: bind gives
// those and binds nothing.
func (s *Service) AskBind(r *store.Reads, owner id.ID, to outbox.Ref, list []Attachment) (bind func(tx *store.Tx) (refused []id.ID)) {
	var rows []File
	ids := make([]id.ID, len(list))
	for i, a := range list {
		ids[i] = a.File
	}
	if len(ids) > 0 {
		r.SQL(&rows, `SELECT * FROM file WHERE id IN (?) ORDER BY id ?`, bun.List(ids), s.db.Lock(false))
	}
	return func(tx *store.Tx) (refused []id.ID) {
		found := map[id.ID]File{}
		for _, f := range rows {
			found[f.ID] = f
		}
		for _, a := range list {
			f, ok := found[a.File]
			free := f.ParentKind == "" && f.Owner == owner && !owner.IsZero()
			if !ok || f.SHA256 != a.SHA256 || !free && f.Parent() != to {
				refused = append(refused, a.File)
			}
		}
		if len(refused) > 0 {
			return refused
		}
		for _, a := range list {
			field := any(nil)
			if a.PersonalField != "" {
				field = a.PersonalField
			}
			tx.QueueSQL(`UPDATE file SET parent_kind = ?, parent_id = ?, personal_field = ? WHERE id = ?`, to.Kind, to.ID, field, a.File)
		}
		return nil
	}
}
