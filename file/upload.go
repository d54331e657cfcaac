package file

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Upload is a resumable upload. How far it has come is the size of its part on
// the disk; what ends it is the digest of the whole.
type Upload struct {
	bun.BaseModel `bun:"table:upload"`

	ID        id.ID `bun:",pk"`
	Owner     id.ID
	Size      int64 // in the end
	File      id.ID `bun:",nullzero"` // once it has ended
	CreatedAt time.Time
	Offset    int64 `bun:"-"`
}

// keyed is a lock per identifier.
type keyed struct {
	mu   sync.Mutex
	held map[id.ID]bool
}

// try takes the lock if nobody has it.
func (k *keyed) try(key id.ID) (unlock func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[key] {
		return nil, false
	}
	if k.held == nil {
		k.held = map[id.ID]bool{}
	}
	k.held[key] = true
	return func() { k.mu.Lock(); defer k.mu.Unlock(); delete(k.held, key) }, true
}

// Begin opens a resumable upload of size bytes. More than Limits.Member is
// taken where the object says so.
func (s *Service) Begin(ctx context.Context, actor org.Actor, size int64, object outbox.Ref) (Upload, error) {
	if size <= 0 {
		return Upload{}, empty()
	}
	if _, err := s.admit(ctx, actor, Input{}); err != nil {
		return Upload{}, err
	}
	most := s.Limits.Member
	if !object.ID.IsZero() {
		p, ok := s.Parents[object.Kind].(Roomy)
		if !ok {
			return Upload{}, fault.Missing()
		}
		room, err := p.Room(ctx, actor, object.ID)
		if err != nil {
			return Upload{}, err
		}
		if room == 0 {
			return Upload{}, fault.Missing()
		}
		most = min(room, s.Limits.Large)
	}
	if size > most {
		return Upload{}, tooLarge(most)
	}
	if err := os.MkdirAll(filepath.Join(s.blobs.dir, "upload"), 0o700); err != nil {
		return Upload{}, noDisk(err)
	}
	u := Upload{ID: id.New(), Owner: actor.Person, Size: size, CreatedAt: s.clock.Now()}
	return store.InTx(ctx, s.db, store.Internal("file.begin"), func(ctx context.Context, tx *store.Tx) (Upload, error) {
		if err := s.room(ctx, tx, actor.Person, size, id.Nil); err != nil {
			return Upload{}, err
		}
		tx.Queue(tx.DB.Bun().NewInsert().Model(&u))
		return u, nil
	})
}

// room bounds what a member keeps on the disk without sending it with
// anything; except is an upload that is about to become a file.
func (s *Service) room(ctx context.Context, q bun.IDB, owner id.ID, more int64, except id.ID) error {
	var used int64
	err := q.NewRaw(`SELECT CAST(coalesce((SELECT sum(size) FROM file WHERE owner = ? AND parent_id IS NULL), 0)
		+ coalesce((SELECT sum(size) FROM upload WHERE owner = ? AND file IS NULL AND id <> ?), 0) AS bigint)`, owner, owner, or(except, owner)).Scan(ctx, &used)
	if err != nil {
		return store.Busy(err)
	}
	if used+more > s.Limits.Waiting {
		return refuse(NoRoom, "你有太多上传后没有提交的文件，先提交或等它们过期", "you have too much uploaded that was not sent with anything: send it, or wait until it lapses")
	}
	return nil
}

// Progress says how far the actor's own upload has come.
func (s *Service) Progress(ctx context.Context, actor org.Actor, upload id.ID) (Upload, error) {
	if actor.Anonymous() {
		return Upload{}, fault.SignIn()
	}
	var u Upload
	err := s.db.R.NewSelect().Model(&u).Where("id = ? AND owner = ?", upload, actor.Person).Scan(ctx)
	if store.NoRows(err) || err == nil && !s.rules.Can(actor, "file.upload", org.Object{}) {
		return Upload{}, fault.Missing()
	}
	if err != nil {
		return Upload{}, store.Busy(err)
	}
	if !u.File.IsZero() {
		u.Offset = u.Size
		return u, nil
	}
	info, err := os.Stat(s.blobs.part(upload.String()))
	if err == nil {
		u.Offset = info.Size()
	} else if !errors.Is(err, os.ErrNotExist) {
		return Upload{}, err
	}
	return u, nil
}

// Append adds bytes at the offset; what came before an interruption stays. The
// bytes that complete the upload come with the digest of the whole: the answer
// is the file then, and again when it is asked again. A wrong digest ends the
// upload with nothing kept.
func (s *Service) Append(ctx context.Context, actor org.Actor, upload id.ID, offset int64, in Input) (Upload, *File, error) {
	name, err := s.admit(ctx, actor, in)
	if err != nil {
		return Upload{}, nil, err
	}
	unlock, ok := s.locks.try(upload)
	if !ok {
		return Upload{}, nil, conflict("这个上传正在进行，请稍后再试", "this upload is under way; try again in a moment")
	}
	defer unlock()
	u, err := s.Progress(ctx, actor, upload)
	if err != nil {
		return Upload{}, nil, err
	}
	if !u.File.IsZero() {
		list, err := s.Get(ctx, actor, u.File)
		f := list[u.File]
		if err == nil && f.ID.IsZero() {
			err = fault.Missing()
		}
		return u, &f, err
	}
	if offset != u.Offset {
		return u, nil, conflict("断点位置不对，请先询问进度", "the offset is not where the upload stands; ask for it first")
	}
	if err := s.append(&u, in.Body); err != nil || u.Offset < u.Size {
		return u, nil, err
	}
	if in.SHA256 == "" {
		return u, nil, fault.Input("sha256", "最后一段要带上整个文件的 SHA-256", "the last part comes with the SHA-256 of the whole")
	}
	f, err := s.finish(ctx, actor, u, name, in.SHA256)
	return u, f, err
}

func conflict(zh, en string) *fault.Error {
	return &fault.Error{Code: fault.Conflict, Reason: Offset, Zh: zh, En: en}
}

// append writes to the part; more than the upload's size is refused and leaves
// it as it was.
func (s *Service) append(u *Upload, body io.Reader) error {
	f, err := os.OpenFile(s.blobs.part(u.ID.String()), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return noDisk(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(u.Offset, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(body, u.Size-u.Offset+1))
	if u.Offset+n > u.Size {
		return errors.Join(f.Truncate(u.Offset), tooLarge(u.Size))
	}
	u.Offset += n
	return noDisk(errors.Join(err, f.Sync()))
}

func (s *Service) finish(ctx context.Context, actor org.Actor, u Upload, name, want string) (*File, error) {
	part := s.blobs.part(u.ID.String())
	got, err := sumOf(part)
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, errors.Join(os.Remove(part), s.forget(ctx, u.ID), checkSum(want, got, u.Size))
	}
	head, err := headOf(part)
	if err != nil {
		return nil, err
	}
	// A copy by name: the part stays until the row is committed, so that a
	// lost commit can be tried again without sending the bytes again.
	link := part + ".whole"
	_ = os.Remove(link)
	if err := os.Link(part, link); err != nil {
		return nil, noDisk(err)
	}
	if err := s.blobs.place(link, got, s.clock.Now()); err != nil {
		return nil, noDisk(err)
	}
	f, err := s.record(ctx, actor, File{SHA256: got, Size: u.Size, MediaType: kindOf(head), Name: name}, u.ID)
	if err != nil {
		return nil, err
	}
	return &f, os.Remove(part)
}

// Cancel ends the actor's own upload with nothing kept.
func (s *Service) Cancel(ctx context.Context, actor org.Actor, upload id.ID) error {
	unlock, ok := s.locks.try(upload)
	if !ok {
		return conflict("这个上传正在进行，请稍后再试", "this upload is under way; try again in a moment")
	}
	defer unlock()
	if _, err := s.Progress(ctx, actor, upload); err != nil {
		return err
	}
	if err := s.forget(ctx, upload); err != nil {
		return err
	}
	if err := os.Remove(s.blobs.part(upload.String())); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Service) forget(ctx context.Context, upload id.ID) error {
	_, err := store.InTx(ctx, s.db, store.Internal("file.cancel"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.QueueSQL(`DELETE FROM upload WHERE id = ?`, upload)
		return struct{}{}, nil
	})
	return err
}

func headOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, sniffed)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}
