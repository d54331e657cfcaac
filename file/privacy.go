package file

import (
	"context"
	"time"

	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// fieldName is the personal value that a file's name is; its subject is the
// file. fieldContent stands in the register for the bytes.
const (
	fieldName    = "file.name"
	fieldContent = "file.content"
)

func init() {
	sees := org.Text{Zh: "上传的人；能看到所属申请或报修的人", En: "whoever uploaded it; whoever may see the request or repair it belongs to"}
	kept := org.Text{Zh: "随所属的申请或报修；没有提交的 7 天后删除；本人注销后删除，只留校验码",
		En: "as long as the request or repair it belongs to; 7 days where it was never sent; erased with the person, only its digest stays"}
	for name, label := range map[string]org.Text{fieldName: {Zh: "附件的文件名", En: "name of an uploaded file"}, fieldContent: {Zh: "附件的内容", En: "content of an uploaded file"}} {
		org.RegisterFields(org.Field{Name: name, Label: label, Basis: org.ByContract, Sees: sees, Retention: kept,
			Purpose: org.Text{Zh: "作为申请或报修的材料；照片里的拍摄地点和设备信息在保存前删除", En: "material of a request or repair; a stranger's photo loses place and device before it is kept"}})
	}
}

// Rules are this package's rows of the table of rules. Who reads a file is the
// rule of the object that it hangs on.
func Rules() []org.Rule {
	return []org.Rule{
		{Action: "file.upload", Who: org.Somebody},
		{Action: "file.read", Who: org.Owner, Zh: "还没有提交的附件", En: "a file that was not sent with anything yet"},
	}
}

// EraseOwned forgets what a person uploaded. The digests that a signed form
// names stay. It is an org.Eraser; Sweep removes the bytes.
func (s *Service) EraseOwned(_ context.Context, tx *store.Tx, person id.ID, at time.Time) error {
	tx.QueueSQL(`DELETE FROM personal WHERE field = ? AND subject IN (SELECT id FROM file WHERE owner = ?)`, fieldName, person)
	tx.QueueSQL(`DELETE FROM upload WHERE owner = ?`, person)
	tx.QueueSQL(`DELETE FROM file WHERE owner = ?`, person)
	audit.Record(tx, audit.Entry{Action: "file.erase", Object: outbox.Ref{Kind: "per", ID: person}, At: at})
	return nil
}

// Exported is one file in the export of a person's data.
type Exported struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Size      int64     `json:"size"`
	MediaType string    `json:"mediaType"`
	SHA256    string    `json:"sha256"`
	At        time.Time `json:"at"`
}

// ExportOwned lists what a person uploaded. It serves an org.Exporter.
func (s *Service) ExportOwned(ctx context.Context, q bun.IDB, person id.ID) (any, error) {
	list, err := s.rows(ctx, q, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("owner = ?", person) })
	out := make([]Exported, 0, len(list))
	for _, f := range list {
		out = append(out, Exported{f.ID.TypeID(RefFile), f.Name, f.Size, f.MediaType, f.SHA256, f.CreatedAt})
	}
	return out, err
}
