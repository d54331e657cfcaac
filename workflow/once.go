package workflow

import (
	"slices"
	"strconv"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// factOnce is the fact that a request with fields of Definition.Once records:
// the fields whose values were nobody else's when the form came in.
const factOnce = "once"

// onceMax bounds such a value, in characters.
const onceMax = 200

// claim is a value that only one request may use: of a field of
// Definition.Once, held from the submission until the request is refused,
// withdrawn or stopped. An amendment shares what the request holds that it
// amends.
type claim struct {
	bun.BaseModel `bun:"table:used_once"`

	Definition string `bun:",pk"`
	Field      string `bun:",pk"` // JSON pointer
	Value      string `bun:",pk"`
	RequestID  id.ID
}

// claims are the values of the form that only this request may use, with the
// place of each in the form.
func (t *thread) claims() (list []claim, places []string) { return t.claimsOf(t.def.Once) }

func (t *thread) claimsOf(fields []string) (list []claim, places []string) {
	for _, pointer := range fields {
		add := func(v any, place string) {
			text, _ := v.(string)
			c := claim{Definition: t.row.Definition, Field: pointer, Value: strings.TrimSpace(text), RequestID: t.row.ID}
			if c.Value != "" && !slices.Contains(list, c) {
				list, places = append(list, c), append(places, place)
			}
		}
		switch v := t.filled.values[strings.TrimPrefix(pointer, "/")].(type) {
		case []any:
			for i, x := range v {
				add(x, pointer+"/"+strconv.Itoa(i))
			}
		default:
			add(v, pointer)
		}
	}
	return list, places
}

// askOnce finds what a form just filled in holds of another request; its number
// is told to those who may read it.
func (t *thread) askOnce(r *store.Reads) func() []FieldError {
	list, places := t.claims()
	if len(list) == 0 {
		return func() []FieldError { return nil }
	}
	values, mine := make([]string, len(list)), []id.ID{t.row.ID}
	for i, c := range list {
		values[i] = c.Value
	}
	if !t.row.Amends.IsZero() {
		mine = append(mine, t.row.Amends)
	}
	var held []claim
	var holders []row
	const others = ` FROM used_once WHERE definition = ? AND value IN (?) AND request_id NOT IN (?)`
	r.SQL(&held, `SELECT *`+others, t.row.Definition, bun.List(values), bun.List(mine))
	r.SQL(&holders, `SELECT * FROM request WHERE id IN (SELECT request_id`+others+`)`, t.row.Definition, bun.List(values), bun.List(mine))
	return func() (problems []FieldError) {
		for i, c := range list {
			k := slices.IndexFunc(held, func(h claim) bool { return h.Field == c.Field && h.Value == c.Value })
			if k >= 0 {
				problems = append(problems, t.usedTwice(places[i], c.Value, t.numberOf(holders, held[k].RequestID)))
			}
		}
		return problems
	}
}

// saveOnce claims the values of a new revision in the place of those of the
// one before.
func (t *thread) saveOnce() {
	if t.before.Seq > 0 { // also where only a version before claimed
		t.tx.QueueSQL(`DELETE FROM used_once WHERE request_id = ?`, t.row.ID)
	}
	list, _ := t.claims()
	if len(list) == 0 {
		return
	}
	t.claimAll(list)
}

// claimAll queues claims; what an amended request holds it goes on to hold.
func (t *thread) claimAll(list []claim) {
	insert := t.svc.db.Bun().NewInsert().Model(&list)
	if !t.row.Amends.IsZero() {
		insert = insert.On("CONFLICT DO NOTHING")
	}
	t.tx.Queue(insert)
}

// moveOnce claims what only the version claims that the request moves to. What
// its old version claimed it keeps: others were refused because of it.
func (t *thread) moveOnce(from *Definition) {
	fields := slices.Compact(slices.Sorted(slices.Values(slices.Concat(from.Once, t.def.Once))))
	list, _ := t.claimsOf(fields)
	if len(list) == 0 {
		return
	}
	t.tx.QueueSQL(`DELETE FROM used_once WHERE request_id = ? AND field IN (?)`, t.row.ID, bun.List(fields))
	t.claimAll(list)
}

// numberOf is the number of a request that the actor may read, else "".
func (t *thread) numberOf(requests []row, request id.ID) string {
	for i := range requests {
		if r := &requests[i]; r.ID == request {
			if st, err := readState(r.State); err == nil && t.svc.canRead(t.judge, r, st) {
				return r.number()
			}
		}
	}
	return ""
}

func (t *thread) usedTwice(place, value, number string) FieldError {
	if number == "" {
		return t.def.Form.say(place, "USED_ALREADY", "：“"+value+"”已在另一份申请里用过，一个只能用一次",
			"holds "+value+", which another request has used; each is used once")
	}
	return t.def.Form.say(place, "USED_ALREADY", "：“"+value+"”已在 "+number+" 里用过，一个只能用一次",
		"holds "+value+", which "+number+" has used; each is used once")
}

// settleOnce gives back what the request held when nothing comes of it, or hands
// it to the amendment of it that is under way. An
// approved amendment takes over what the request held that it amends. What the
// version before a migration claimed is given back too.
func (t *thread) settleOnce(status flow.Status) {
	switch {
	case status == flow.Approved && !t.row.Amends.IsZero():
		t.tx.QueueSQL(`DELETE FROM used_once WHERE request_id IN (?)`, bun.List([]id.ID{t.row.ID, t.row.Amends}))
		if list, _ := t.claims(); len(list) > 0 {
			t.tx.Queue(t.svc.db.Bun().NewInsert().Model(&list))
		}
	case status != flow.Approved && status != flow.Superseded:
		// An amendment under way asks for the same thing in another way: what it
		// shared is its own now, until its next form says what it needs of it.
		t.tx.QueueSQL(`UPDATE used_once SET request_id = a.id FROM (SELECT id FROM request WHERE amends = ? AND status IN ('OPEN', 'RETURNED') ?) AS a WHERE request_id = ?`,
			t.row.ID, t.svc.db.Lock(false), t.row.ID)
		t.tx.QueueSQL(`DELETE FROM used_once WHERE request_id = ?`, t.row.ID)
	}
}

// raced words the refusal of the schema when two requests used a value at the
// same moment; sending it again says which.
func raced(out Outcome, err error) (Outcome, error) {
	if store.IsUnique(err, "used_once") {
		return Outcome{}, fault.Refuse("FORM_INVALID", "表单有误：有内容刚刚被另一份申请用过，请核对后再提交",
			"the form is not right: another request has used one of its values just now; check and submit again").At("form")
	}
	return out, err
}
