package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// Personal values of a request stand in rows of the request as subject, apart
// from its events and revisions, which carry their keyed digests. Names:
//
//	request.form.<retention>.<revision>.<digest of the pointer>
//	request.note.<number of the event it came with>
const (
	formField = "request.form."
	noteField = "request.note."
)

func init() {
	org.RegisterFields(
		org.Field{Name: formField + "*", Label: org.Text{Zh: "申请表里的个人信息", En: "personal fields of a request's form"},
			Purpose:   org.Text{Zh: "每个字段在表单里写明用途", En: "each field says its purpose in the form"},
			Basis:     org.ByContract,
			Sees:      org.Text{Zh: "申请人；办理期间的审批人，每次查看留痕", En: "the requester; whoever has to decide while it is open, each look is recorded"},
			Retention: org.Text{Zh: "表单里写明，从申请办结算起", En: "as the form says, counted from the end of the request"}},
		org.Field{Name: noteField + "*", Label: org.Text{Zh: "审批意见和留言", En: "opinions and remarks on a request"},
			Purpose:   org.Text{Zh: "说明审批的理由", En: "giving the reasons of a decision"},
			Basis:     org.ByDuty,
			Sees:      org.Text{Zh: "能看到该申请的人", En: "whoever may see the request"},
			Retention: org.Text{Zh: "随申请保存；可单独删除，决定本身不变", En: "as long as the request; can be erased by itself, the decision stays"}},
	)
}

// apart says under which personal field a leaf's value stands, by pointer.
type apart map[string]string

// note writes a remark as an erasable row, to be named by the next event.
func (t *thread) note(text string) *flow.Note {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	ref := noteField + strconv.Itoa(t.st.Seq+1)
	hashes := org.SetPersonal(t.tx, t.svc.db.Key(), t.row.ID, t.now, time.Time{}, map[string]string{ref: text})
	return &flow.Note{Ref: ref, MAC: hashes[ref]}
}

// digest cuts a filled form into the leaves that events carry: personal values
// go to rows of their own. A personal value that did not change keeps its row
// and digest, so that no vote lapses by an edit elsewhere; old are the rows of
// the revision before, nil for the first.
func (t *thread) digest(rev int, f Filled, old map[string]string) (flow.Form, error) {
	before := t.apart
	digests := t.st.Form().Digests
	t.apart = apart{}
	var personal []string
	form, err := t.def.Form.Digests(rev, f, func(pointer string, value flow.JSON) string {
		personal = append(personal, pointer)
		if field := before[pointer]; field != "" && old[field] == string(value) {
			t.apart[pointer] = field
			return digests[pointer]
		}
		sum := sha256.Sum256([]byte(pointer))
		field := fmt.Sprintf("%s%s.%d.%s", formField, t.def.Form.retention(pointer), rev, hex.EncodeToString(sum[:8]))
		t.apart[pointer] = field
		return org.SetPersonal(t.tx, t.svc.db.Key(), t.row.ID, t.now, time.Time{}, map[string]string{field: string(value)})[field]
	})
	if err != nil {
		return form, err
	}
	t.filled = f.without(personal)
	return form, nil
}

// retention is how long the personal leaf is kept.
func (f *Form) retention(pointer string) string {
	for _, x := range f.Personal() {
		if x.Pointer == pointer || strings.HasPrefix(x.Pointer, pointer+"/") || strings.HasPrefix(pointer, x.Pointer+"/") {
			return x.Personal.Retention
		}
	}
	return "term"
}

// keep says how long the form's personal values stay after the request's end.
func (t *thread) keep(cal *calendar.Calendar) {
	done := map[string]bool{}
	for _, f := range t.def.Form.Personal() {
		r := f.Personal.Retention
		if done[r] {
			continue
		}
		done[r] = true
		t.tx.QueueSQL(`UPDATE personal SET until = ? WHERE subject = ? AND field LIKE ?`, keepUntil(r, cal, t.now), t.row.ID, formField+r+".%")
	}
}

// keepUntil reads "30d", "24m" or "term".
func keepUntil(retention string, cal *calendar.Calendar, from time.Time) time.Time {
	n, _ := strconv.Atoi(retention[:len(retention)-1])
	switch {
	case strings.HasSuffix(retention, "d"):
		return from.AddDate(0, 0, n)
	case retention != "term":
		return from.AddDate(0, n, 0)
	}
	if term, ok := cal.Term(from); ok {
		if first, err := time.ParseInLocation(time.DateOnly, term.First, cal.Location()); err == nil {
			return first.AddDate(0, 0, 7*term.Weeks).UTC()
		}
	}
	return from.AddDate(0, 6, 0)
}

// without is the form less some leaves.
func (f Filled) without(pointers []string) Filled {
	values, _ := decode([]byte(f.JSON)).(map[string]any)
	for _, p := range pointers {
		at, steps := values, strings.Split(p, "/")[1:]
		for i, s := range steps {
			s = unescape(s)
			if i == len(steps)-1 {
				delete(at, s)
				break
			}
			next, ok := at[s].(map[string]any)
			if !ok {
				break
			}
			at = next
		}
	}
	return Filled{JSON: flow.JSON(mustCanonical(values)), values: values}
}

// with puts leaves back.
func (f Filled) with(leaves map[string]string) Filled {
	values, _ := decode([]byte(f.JSON)).(map[string]any)
	for _, p := range slices.Sorted(maps.Keys(leaves)) {
		at, steps := values, strings.Split(p, "/")[1:]
		for i, s := range steps {
			s = unescape(s)
			if i == len(steps)-1 {
				at[s] = decode([]byte(leaves[p]))
				break
			}
			next, ok := at[s].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[s] = next
			}
			at = next
		}
	}
	return Filled{JSON: flow.JSON(mustCanonical(values)), values: values}
}

// stored reads a form as it is kept: accepted once, without personal leaves.
func stored(text string) Filled {
	values, _ := decode([]byte(text)).(map[string]any)
	return Filled{JSON: flow.JSON(text), values: values}
}

func unescape(s string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(s) }

// plainForm gives the form with whole numbers as int64, for desks.
func (f Filled) plainForm() map[string]any {
	out, _ := plainValue(decode([]byte(f.JSON))).(map[string]any)
	return out
}

func plainValue(v any) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		n, _ := x.Float64()
		return n
	case []any:
		for i := range x {
			x[i] = plainValue(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = plainValue(x[k])
		}
	}
	return v
}

// EraseFor erases what forms hold about a person who asked: the personal
// fields of all of their requests. Decisions, chains and numbers stay and
// still verify. It is an org.Eraser.
func (s *Service) EraseFor(_ context.Context, tx *store.Tx, person id.ID, _ time.Time) error {
	tx.QueueSQL(`DELETE FROM personal WHERE subject IN (SELECT id FROM request WHERE requester = ?) AND field LIKE ?`, person, formField+"%")
	return nil
}

// Exported is one request in the export of a person's data.
type Exported struct {
	Number   string            `json:"number"`
	Title    string            `json:"title"`
	Status   flow.Status       `json:"status"`
	OpenedAt time.Time         `json:"openedAt"`
	Form     json.RawMessage   `json:"form"`
	Personal map[string]string `json:"personal,omitempty"` // by field, JSON
}

// ExportFor gives everything that a person's own requests hold. It serves an
// org.Exporter.
func (s *Service) ExportFor(ctx context.Context, q bun.IDB, person id.ID) (any, error) {
	var rows []row
	err := q.NewSelect().Model(&rows).Column("id", "series", "year", "serial", "title", "status", "opened_at", "form", "apart").
		Where("requester = ?", person).OrderExpr("opened_at, id").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, err
	}
	ids := make([]id.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	values, err := org.PersonalOf(ctx, q, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]Exported, 0, len(rows))
	for _, r := range rows {
		x := Exported{Number: r.number(), Title: r.Title, Status: r.Status, OpenedAt: r.OpenedAt, Form: json.RawMessage(r.Form)}
		for pointer, field := range readApart(r.Apart) {
			if v, ok := values[r.ID][field]; ok {
				if x.Personal == nil {
					x.Personal = map[string]string{}
				}
				x.Personal[pointer] = v
			}
		}
		out = append(out, x)
	}
	return out, nil
}

func readApart(text string) apart {
	var a apart
	_ = json.Unmarshal([]byte(text), &a)
	return a
}
