package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Service keeps files.
type Service struct {
	db    *store.DB
	clock clock.Clock
	rules *org.Table
	Options
	blobs  blobs
	photos chan struct{} // photos are cleaned in memory, a few at a time
	locks  keyed         // of resumable uploads

	uploads, downloads gate
}

// New makes the service.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	o.Limits = o.Limits.shipped()
	return &Service{db: db, clock: c, rules: rules, Options: o, blobs: blobs{filepath.Clean(o.Dir)}, photos: make(chan struct{}, 4)}
}

// Input is what somebody uploads. SHA256 is the digest that the sender
// computed, "" = none; another content is refused then.
type Input struct {
	Name   string
	SHA256 string
	Body   io.Reader
}

// Store keeps a member's file, which hangs on nothing yet. The same content
// again, before it hangs on something, is the same file.
func (s *Service) Store(ctx context.Context, actor org.Actor, in Input) (File, error) {
	name, err := s.admit(ctx, actor, in)
	if err != nil {
		return File{}, err
	}
	w, err := s.blobs.create()
	if err != nil {
		return File{}, noDisk(err)
	}
	defer w.drop()
	n, err := io.Copy(w, io.LimitReader(in.Body, s.Limits.Member+1))
	switch {
	case err != nil:
		return File{}, noDisk(err)
	case n > s.Limits.Member:
		return File{}, tooLarge(s.Limits.Member)
	}
	if err := checkSum(in.SHA256, w.sum(), n); err != nil {
		return File{}, err
	}
	if err := s.blobs.keep(w, s.clock.Now()); err != nil {
		return File{}, noDisk(err)
	}
	fault.At("file-durable")
	return s.record(ctx, actor, File{SHA256: w.sum(), Size: n, MediaType: kindOf(w.head), Name: name}, id.Nil)
}

// admit judges before a byte is read.
func (s *Service) admit(ctx context.Context, actor org.Actor, in Input) (name string, err error) {
	a, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err == nil {
		err = s.rules.Check(a, "file.upload", org.Object{})
	}
	if err != nil {
		return "", err
	}
	if err := s.room(ctx, s.db.R, actor.Person, 0, id.Nil); err != nil {
		return "", err
	}
	return s.check(in)
}

func (s *Service) check(in Input) (name string, err error) {
	if in.SHA256 != "" && !isSum(in.SHA256) {
		return "", fault.Input("sha256", "校验码须是 64 位十六进制小写", "the digest must be 64 lower-case hexadecimal digits")
	}
	return cleanName(in.Name, s.Limits.NameRunes)
}

// StorePhoto keeps a stranger's photo for the object that the link opens. The
// same photo again is the same file.
func (s *Service) StorePhoto(ctx context.Context, actor org.Actor, token string, in Input) (File, error) {
	link, err := s.link(ctx, token)
	if err != nil {
		return File{}, err
	}
	if link.Closed {
		return File{}, fault.Refuse("CLOSED", "已经办结，不再接收照片", "this is closed and takes no more photos")
	}
	name, err := s.check(in)
	if err != nil {
		return File{}, err
	}
	select {
	case s.photos <- struct{}{}:
		defer func() { <-s.photos }()
	case <-ctx.Done():
		return File{}, ctx.Err()
	}
	clean, err := s.photo(in)
	if err == nil {
		err = s.photoRoom(ctx, s.db.R, link, digest(clean))
	}
	if err != nil {
		return File{}, err
	}
	w, err := s.blobs.create()
	if err != nil {
		return File{}, noDisk(err)
	}
	defer w.drop()
	if _, err := w.Write(clean); err != nil {
		return File{}, noDisk(err)
	}
	if err := s.blobs.keep(w, s.clock.Now()); err != nil {
		return File{}, noDisk(err)
	}
	return s.recordPhoto(ctx, link, File{ID: id.New(), SHA256: w.sum(), Size: w.size, MediaType: kindOf(w.head), ParentKind: link.Object.Kind,
		ParentID: link.Object.ID, PersonalField: link.PersonalField, CreatedAt: s.clock.Now(), Name: name})
}

func (s *Service) link(ctx context.Context, token string) (Link, error) {
	if s.Link == nil || token == "" {
		return Link{}, fault.SignIn()
	}
	return s.Link(ctx, token)
}

// photo reads a photo and takes what it says beside the picture.
func (s *Service) photo(in Input) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(in.Body, s.Limits.Photo+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(raw)) > s.Limits.Photo:
		return nil, tooLarge(s.Limits.Photo)
	}
	if err := checkSum(in.SHA256, digest(raw), int64(len(raw))); err != nil {
		return nil, err
	}
	clean, pixels, err := cleanPhoto(raw)
	if err != nil {
		return nil, refuse(WrongKind, "只接收 JPEG 或 PNG 照片", "only photos are taken here, as JPEG or PNG")
	}
	if pixels <= 0 || pixels > s.Limits.Pixels {
		return nil, refuse(TooLarge, "照片的尺寸太大", "the photo has too many pixels")
	}
	return clean, nil
}

// record commits a member's row; upload is the resumable upload it ends.
func (s *Service) record(ctx context.Context, actor org.Actor, f File, upload id.ID) (File, error) {
	f.ID, f.Owner, f.CreatedAt = id.New(), actor.Person, s.clock.Now()
	return store.InTx(ctx, s.db, store.Internal("file.store"), func(ctx context.Context, tx *store.Tx) (File, error) {
		a, err := org.Judge(ctx, tx, actor, f.CreatedAt)
		if err != nil {
			return File{}, err
		}
		if err := s.rules.Check(a, "file.upload", org.Object{}); err != nil {
			return File{}, err
		}
		if err := s.room(ctx, tx, actor.Person, f.Size, upload); err != nil {
			return File{}, err
		}
		out, err := s.insert(ctx, tx, f, func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("owner = ? AND sha256 = ? AND parent_id IS NULL", f.Owner, f.SHA256)
		})
		if err == nil && !upload.IsZero() {
			tx.QueueSQL(`UPDATE upload SET file = ? WHERE id = ?`, out.ID, upload)
		}
		return out, err
	})
}

func (s *Service) recordPhoto(ctx context.Context, link Link, f File) (File, error) {
	return store.InTx(ctx, s.db, store.Internal("file.photo"), func(ctx context.Context, tx *store.Tx) (File, error) {
		if err := s.photoRoom(ctx, tx, link, f.SHA256); err != nil {
			return File{}, err
		}
		return s.insert(ctx, tx, f, func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("owner IS NULL AND parent_id = ? AND sha256 = ?", link.Object.ID, f.SHA256)
		})
	})
}

// photoRoom bounds the photos of one object; again is one that may be there.
func (s *Service) photoRoom(ctx context.Context, q bun.IDB, link Link, again string) error {
	var n int
	err := q.NewRaw(`SELECT count(*) FROM file WHERE parent_id = ? AND owner IS NULL AND sha256 <> ?`, link.Object.ID, again).Scan(ctx, &n)
	if err != nil {
		return store.Busy(err)
	}
	if n >= s.Limits.Photos {
		return refuse(NoRoom, fmt.Sprintf("最多 %d 张照片", s.Limits.Photos), fmt.Sprintf("at most %d photos", s.Limits.Photos))
	}
	return nil
}

// insert writes the row, or finds the same one that is there.
func (s *Service) insert(ctx context.Context, tx *store.Tx, f File, same func(*bun.SelectQuery) *bun.SelectQuery) (File, error) {
	if _, err := tx.NewInsert().Model(&f).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return File{}, err
	}
	list, err := s.rows(ctx, tx, same)
	if err != nil || len(list) == 0 {
		return File{}, errors.Join(err, store.Busy(err))
	}
	out := list[0]
	if out.ID == f.ID {
		org.SetPersonal(tx, s.db.Key(), f.ID, f.CreatedAt, time.Time{}, map[string]string{fieldName: f.Name})
		audit.Record(tx, audit.Entry{Actor: f.Owner, Action: "file.upload", Object: outbox.Ref{Kind: RefFile, ID: f.ID},
			Data: map[string]any{"sha256": f.SHA256, "size": f.Size}, At: f.CreatedAt})
		out.Name = f.Name
	}
	return out, nil
}

// rows reads files with their names.
func (s *Service) rows(ctx context.Context, q bun.IDB, where func(*bun.SelectQuery) *bun.SelectQuery) ([]File, error) {
	var list []File
	if err := where(q.NewSelect().Model(&list)).OrderExpr("created_at, id").Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	ids := make([]id.ID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	values, err := org.PersonalOf(ctx, q, ids...)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Name = or(values[list[i].ID][fieldName], "file")
	}
	return list, nil
}

// kindOf tells a content's kind from its first bytes; what the sender says of
// it counts for nothing.
func kindOf(head []byte) string {
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return kind
}

// cleanName keeps the last part of a path, without control characters and
// those that turn the direction of writing.
func cleanName(name string, most int) (string, error) {
	if strings.ContainsRune(name, 0) || strings.ToValidUTF8(name, "") != name {
		return "", fault.Input("name", "文件名不合法", "the file's name is not valid")
	}
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 {
			return -1
		}
		return r
	}, name))
	if n := []rune(name); len(n) > most {
		return "", fault.Input("name", fmt.Sprintf("文件名不能超过 %d 个字", most), fmt.Sprintf("the file's name is longer than %d characters", most))
	}
	if name == "" || name == "." || name == ".." {
		name = "file"
	}
	return name, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func isSum(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && strings.ToLower(s) == s
}

func checkSum(want, got string, size int64) error {
	if size == 0 {
		return empty()
	}
	if want != "" && want != got {
		return refuse(WrongSum, "内容与校验码不符，请重新上传", "the content is not that of the digest; upload it again")
	}
	return nil
}

func empty() *fault.Error { return refuse("FILE_EMPTY", "文件是空的", "the file is empty") }

func tooLarge(most int64) *fault.Error {
	return refuse(TooLarge, "文件超过 "+human(most), "the file is larger than "+human(most))
}

func human(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d B", n)
}

// noDisk makes a full or absent disk an answer that people understand.
func noDisk(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, os.ErrPermission) {
		return (&fault.Error{Code: fault.Unavailable, Zh: "服务器存储空间不足或不可写，请联系技术部", En: "the server's disk is full or cannot be written; tell the technical department"}).Because(err)
	}
	return err
}
