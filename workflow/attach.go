package workflow

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Attachment is a file that a form names. Its digest is part of the form and so
// of what is signed.
type Attachment struct {
	File          id.ID
	SHA256        string
	PersonalField string // the personal value that names it; "" = the form itself
}

// FileKeeper lets a request take the files that its form names. AskAttach adds
// its reads to r; once they have run the answer binds the files to the request
// with the transaction, or gives those that are not owner's own, not the
// request's already, or of another digest, and binds none.
type FileKeeper interface {
	AskAttach(r *store.Reads, owner, request id.ID, list []Attachment) func(tx *store.Tx) (refused []id.ID)
}

// refFile is the prefix of a file's identifier.
const refFile = "fil"

type namedFile struct {
	pointer, sha256 string
	file            id.ID
}

// filesIn are the files that values name, in the order of the form.
func (f *Form) filesIn(values map[string]any) []namedFile {
	var out []namedFile
	for _, x := range f.Fields {
		out = appendFiles(out, x, "/"+x.Name, values[x.Name])
	}
	return out
}

func appendFiles(out []namedFile, f Field, at string, value any) []namedFile {
	switch v := value.(type) {
	case map[string]any:
		if f.Kind == "file" {
			name, _ := v["file"].(string)
			sum, _ := v["sha256"].(string)
			file, _ := id.Parse(refFile, name) // its schema has seen to its shape
			return append(out, namedFile{at, sum, file})
		}
		for _, p := range f.Props {
			out = appendFiles(out, p, at+"/"+p.Name, v[p.Name])
		}
	case []any:
		for i, e := range v {
			if f.Item != nil {
				out = appendFiles(out, *f.Item, at+"/"+strconv.Itoa(i), e)
			}
		}
	}
	return out
}

// holdsFile says that the field is a file or a list of them.
func (f Field) holdsFile() bool { return f.Kind == "file" || f.Item != nil && f.Item.holdsFile() }

// anyFile says that a file stands in the field, however deep.
func (f Field) anyFile() bool {
	return f.holdsFile() || slices.ContainsFunc(f.Props, Field.anyFile) || f.Item != nil && f.Item.anyFile()
}

// fieldOf is the personal value in which what stands at the pointer is kept.
func (a apart) fieldOf(pointer string) string {
	for p := pointer + "/file"; p != ""; p = p[:strings.LastIndexByte(p, '/')] {
		if field := a[p]; field != "" {
			return field
		}
	}
	return ""
}

// askFiles binds the files of the form that was just filled in.
func (t *thread) askFiles(r *store.Reads) func() error {
	if len(t.files) == 0 {
		return func() error { return nil }
	}
	at := map[id.ID]string{}
	var list []Attachment
	for _, x := range t.files {
		if at[x.file] == "" {
			list = append(list, Attachment{x.file, x.sha256, t.apart.fieldOf(x.pointer)})
		}
		at[x.file] = x.pointer
	}
	bind := func(*store.Tx) []id.ID { return []id.ID{list[0].File} }
	if t.svc.Files != nil {
		bind = t.svc.Files.AskAttach(r, t.actor, t.row.ID, list)
	}
	return func() error {
		var problems []FieldError
		for _, file := range bind(t.tx) {
			problems = append(problems, t.def.Form.say(at[file], "FILE", "：找不到这个附件，请重新上传", "names a file that is not there or not yours; upload it again"))
		}
		if len(problems) == 0 {
			return nil
		}
		return fault.Refuse("FORM_INVALID", "表单有误："+problems[0].Zh, "the form is not right: "+problems[0].En).
			At(append([]string{"form"}, strings.Split(strings.TrimPrefix(problems[0].Pointer, "/"), "/")...)...).With(&FormProblems{problems})
	}
}

// Attached says which files of the requests the actor may see: those that the
// form or an earlier revision of it names, in fields that are not hidden from
// the actor, those of the report, and the scans of decisions on paper. True marks somebody's personal value, which the actor sees by the
// rule workflow.personal; whoever shows one records the look.
func (s *Service) Attached(ctx context.Context, actor org.Actor, requests ...id.ID) (map[id.ID]map[id.ID]bool, error) {
	out := map[id.ID]map[id.ID]bool{}
	if actor.Anonymous() || len(requests) == 0 || !actor.Scope("workflow:read") {
		return out, nil
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return nil, err
	}
	var rows []row
	err = s.visible(s.db.R.NewSelect().Model(&rows).ExcludeColumn("search"), a).Where("request.id IN (?)", bun.List(requests)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	ids := make([]id.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	r := store.NewReads(s.db.R)
	personal := org.AskPersonal(r, ids...)
	var revs []revisionRow
	var scans []scanRow
	var reports []closeOutRow
	if len(ids) > 0 {
		r.SQL(&revs, `SELECT * FROM revision WHERE request_id IN (?)`, bun.List(ids))
		r.SQL(&reports, `SELECT request_id, form FROM close_out WHERE request_id IN (?)`, bun.List(ids))
		r.SQL(&scans, `SELECT request_id, scan FROM decision WHERE request_id IN (?) AND scan <> ''`, bun.List(ids))
	}
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	values := personal()
	for i := range rows {
		if out[rows[i].ID], err = s.attached(ctx, a, &rows[i], revs, reports, values[rows[i].ID]); err != nil {
			return nil, err
		}
	}
	for _, x := range scans { // a decision on paper is read with its request
		if file, err := id.Parse(refFile, x.Scan); err == nil {
			out[x.RequestID][file] = false
		}
	}
	return out, nil
}

type closeOutRow struct {
	RequestID id.ID
	Form      string
	ByPerson  id.ID
	At        time.Time
}

type scanRow struct {
	RequestID id.ID
	Scan      string
}

func (s *Service) attached(ctx context.Context, a org.Actor, r *row, revs []revisionRow, reports []closeOutRow, personal map[string]string) (map[id.ID]bool, error) {
	d, err := s.version(ctx, s.db.R, r.VersionID)
	if err != nil {
		return nil, err
	}
	st, err := readState(r.State)
	if err != nil {
		return nil, err
	}
	hidden := s.hiddenTo(a, d, r, st)
	out := map[id.ID]bool{}
	add := func(form string, leaves map[string]string, private bool) {
		for _, x := range d.Form.filesIn(stored(form).with(leaves).values) {
			if seen, ok := out[x.file]; (!ok || seen && !private) && !below(x.pointer, hidden) {
				out[x.file] = private
			}
		}
	}
	add(r.Form, nil, false)
	for _, rev := range revs {
		if rev.RequestID == r.ID {
			add(rev.Form, nil, false)
		}
	}
	for _, x := range reports {
		if x.RequestID == r.ID && d.CloseOut != nil {
			for _, f := range d.CloseOut.filesIn(stored(x.Form).values) {
				out[f.file] = false
			}
		}
	}
	o := org.Object{Unit: r.Unit, Owner: r.Requester, Assignee: openTasks(st), State: string(st.Status)}
	if s.rules.Can(a, "workflow.personal", o) {
		add("{}", known(readApart(r.Apart), personal), a.Person != r.Requester)
	}
	return out, nil
}
