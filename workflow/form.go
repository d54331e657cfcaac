package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kelian/workflow/flow"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Form is what a request asks its requester, as JSON Schema 2020-12.
type Form struct {
	Schema flow.JSON // for the console: with x-title, x-ui, x-enum, x-personal
	Fields []Field   // in the order of the text
	schema *jsonschema.Schema
}

// Field is one field of a form, or the element of a list.
type Field struct {
	Name     string
	Pointer  string // "*" stands for a list's element: /items/*/name
	Type     string // string, integer, boolean, array or object
	Format   string
	Kind     string // x-ui kind, e.g. unit, money, phone
	Title    flow.Text
	Required bool
	Default  any // of a top-level field; as encoding/json knows it
	Enum     []string
	Titles   map[string]flow.Text // of Enum's values
	Personal *Personal
	Max      int     // most characters or elements; 0 where neither applies
	Item     *Field  // of an array
	Props    []Field // of an object
}

// Personal says why a field about a person is asked and how long it is kept.
type Personal struct {
	Purpose   flow.Text
	Retention string // "30d" or "24m" after the request closes, or "term"
}

// FieldError is one thing wrong with a filled form.
type FieldError struct {
	Pointer string // JSON pointer (RFC 6901)
	Code    string // REQUIRED, TYPE, …, or the name of a rule
	Zh, En  string
}

// Filled is a form that its schema has accepted, defaults filled in.
type Filled struct {
	JSON   flow.JSON
	values map[string]any
}

// maxForm bounds a filled form in bytes.
const maxForm = 256 << 10

// Fill reads and validates what a requester entered.
func (f *Form) Fill(raw []byte) (Filled, []FieldError) {
	if len(raw) > maxForm {
		return Filled{}, []FieldError{{Code: "TOO_LARGE", Zh: "表单太大", En: "the form is too large"}}
	}
	canon, err := flow.Canonical(raw)
	if err != nil {
		return Filled{}, []FieldError{{Code: "JSON", Zh: "表单不是合法的 JSON", En: err.Error()}}
	}
	values, ok := decode(canon).(map[string]any)
	if !ok {
		return Filled{}, []FieldError{{Code: "TYPE", Zh: "表单应是一个对象", En: "a form is an object"}}
	}
	for _, fd := range f.Fields {
		if _, given := values[fd.Name]; !given && fd.Default != nil {
			values[fd.Name] = fd.Default
		}
	}
	if err := f.schema.Validate(values); err != nil {
		return Filled{}, f.explain(err)
	}
	out, err := json.Marshal(values)
	if err == nil {
		out, err = flow.Canonical(out)
	}
	if err != nil {
		return Filled{}, []FieldError{{Code: "JSON", Zh: "表单不是合法的 JSON", En: err.Error()}}
	}
	return Filled{JSON: flow.JSON(out), values: values}, nil
}

// decode reads canonical JSON with numbers kept exact.
func decode(canon []byte) any {
	d := json.NewDecoder(bytes.NewReader(canon))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // canonical text decodes
	return v
}

// Digests cuts a filled form into leaves for the core. Leaves that hold
// personal values are digested by mac, with a key that is erased with the
// person's data; mac may be nil only for a form without any.
func (f *Form) Digests(rev int, filled Filled, mac func(pointer string, value flow.JSON) string) (flow.Form, error) {
	leaves, err := flow.Leaves([]byte(filled.JSON))
	if err != nil {
		return flow.Form{}, err
	}
	out := flow.Form{Rev: rev, Digests: make(map[string]string, len(leaves))}
	for p, v := range leaves {
		switch {
		case !f.private(p):
			out.Digests[p] = flow.Digest(v)
		case mac == nil:
			return flow.Form{}, fmt.Errorf("workflow: %s is personal and needs a keyed digest", p)
		default:
			out.Digests[p] = mac(p, v)
		}
	}
	return out, nil
}

// private says that a leaf holds a personal value, or a part of one.
func (f *Form) private(leaf string) bool {
	return slices.ContainsFunc(f.Personal(), func(x Field) bool {
		return x.Pointer == leaf || strings.HasPrefix(x.Pointer, leaf+"/") || strings.HasPrefix(leaf, x.Pointer+"/")
	})
}

// Personal lists the fields that hold personal values, lists' elements too.
func (f *Form) Personal() []Field {
	var out []Field
	eachField(f.Fields, func(x Field) {
		if x.Personal != nil {
			out = append(out, x)
		}
	})
	return out
}

func eachField(fields []Field, visit func(Field)) {
	for _, f := range fields {
		visit(f)
		if f.Item != nil {
			eachField([]Field{*f.Item}, visit)
		}
		eachField(f.Props, visit)
	}
}

// Field finds a field by its pointer; indices of lists match "*".
func (f *Form) Field(pointer string) (Field, bool) {
	var found Field
	ok := false
	want := strings.Split(pointer, "/")
	eachField(f.Fields, func(x Field) {
		have := strings.Split(x.Pointer, "/")
		same := len(have) == len(want)
		for i := 0; same && i < len(have); i++ {
			_, err := strconv.Atoi(want[i])
			same = have[i] == want[i] || have[i] == "*" && err == nil
		}
		if same {
			found, ok = x, true
		}
	})
	return found, ok
}

// Units lists the top-level fields that hold a unit, and as "name[]" those that
// list units.
func (f *Form) Units() []string {
	var out []string
	for _, x := range f.Fields {
		switch {
		case x.Kind == "unit" && x.Type == "string":
			out = append(out, x.Name)
		case x.Item != nil && x.Item.Kind == "unit":
			out = append(out, x.Name+listed)
		}
	}
	return out
}

// explain turns the validator's tree into one error per field.
func (f *Form) explain(err error) []FieldError {
	var top *jsonschema.ValidationError
	if !errors.As(err, &top) {
		return []FieldError{{Code: "JSON", Zh: "表单无法校验", En: err.Error()}}
	}
	var out []FieldError
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, c := range e.Causes {
			walk(c)
		}
		if len(e.Causes) == 0 {
			out = append(out, f.explainOne(e)...)
		}
	}
	walk(top)
	slices.SortStableFunc(out, func(a, b FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return out
}

func (f *Form) explainOne(e *jsonschema.ValidationError) []FieldError {
	at := ""
	for _, tok := range e.InstanceLocation {
		at += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(tok)
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		var out []FieldError
		for _, m := range k.Missing {
			out = append(out, f.say(at+"/"+m, "REQUIRED", "必填", "is required"))
		}
		return out
	case *kind.AdditionalProperties:
		var out []FieldError
		for _, m := range slices.Sorted(slices.Values(k.Properties)) {
			out = append(out, FieldError{at + "/" + m, "UNKNOWN_FIELD", "表单里没有这一项", "the form has no such field"})
		}
		return out
	}
	code, zh, en := sayKind(e.ErrorKind)
	return []FieldError{f.say(at, code, zh, en)}
}

// say names the field by its title.
func (f *Form) say(at, code, zh, en string) FieldError {
	title := flow.Text{Zh: at, En: at}
	for p := at; p != ""; p = p[:strings.LastIndexByte(p, '/')] { // a list's entry has no title of its own
		if x, ok := f.Field(p); ok && x.Title.Zh != "" {
			title = x.Title
			break
		}
	}
	return FieldError{Pointer: at, Code: code, Zh: "“" + title.Zh + "”" + zh, En: title.En + " " + en}
}

func sayKind(k jsonschema.ErrorKind) (code, zh, en string) {
	switch v := k.(type) {
	case *kind.Type:
		return "TYPE", "填写的类型不对", "has the wrong type, it must be " + strings.Join(v.Want, " or ")
	case *kind.MaxLength:
		return "TOO_LONG", fmt.Sprintf("不能超过 %d 个字", v.Want), fmt.Sprintf("is longer than %d characters", v.Want)
	case *kind.MinLength:
		return "TOO_SHORT", fmt.Sprintf("至少 %d 个字", v.Want), fmt.Sprintf("is shorter than %d characters", v.Want)
	case *kind.MaxItems:
		return "TOO_MANY", fmt.Sprintf("最多 %d 项", v.Want), fmt.Sprintf("has more than %d entries", v.Want)
	case *kind.MinItems:
		return "TOO_FEW", fmt.Sprintf("至少 %d 项", v.Want), fmt.Sprintf("has fewer than %d entries", v.Want)
	case *kind.UniqueItems:
		return "TWICE", "有重复的项", "has an entry twice"
	case *kind.Enum:
		return "CHOICE", "不在可选范围内", "is none of the choices"
	case *kind.Minimum:
		return "TOO_SMALL", "不能小于 " + v.Want.RatString(), "is less than " + v.Want.RatString()
	case *kind.Maximum:
		return "TOO_LARGE", "不能大于 " + v.Want.RatString(), "is more than " + v.Want.RatString()
	case *kind.Format:
		return "FORMAT", "格式不对（" + v.Want + "）", "is not a valid " + v.Want
	case *kind.Pattern:
		return "FORMAT", "格式不对", "does not have the expected shape"
	}
	return "INVALID", "填写有误", "is not valid"
}

// refuseLoader lets no schema reach outside itself.
type refuseLoader struct{}

// Load implements jsonschema.URLLoader.
func (refuseLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a form refers to nothing outside itself: %s", url)
}

// compileSchema gives the compiled schema of a form that has been linted.
func compileSchema(doc map[string]any) (flow.JSON, *jsonschema.Schema, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return "", nil, err
	}
	canon, err := flow.Canonical(raw)
	if err != nil {
		return "", nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(refuseLoader{})
	if err := c.AddResource("kelian:form", decode(canon)); err != nil {
		return "", nil, err
	}
	s, err := c.Compile("kelian:form")
	return flow.JSON(canon), s, err
}

// fileSchema is what {$ref: kelian:file} and {x-ui: {kind: file}} stand for: an
// upload, bound by its digest to the revision that names it.
func fileSchema() map[string]any {
	return map[string]any{
		"type": "object", "additionalProperties": false, "required": []any{"file", "sha256"},
		"properties": map[string]any{
			"file":   map[string]any{"type": "string", "pattern": "^fil_[0-7][0-9a-hjkmnp-tv-z]{25}$", "maxLength": 30},
			"sha256": map[string]any{"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64},
		},
	}
}

// withFiles replaces references to files by their schema.
func withFiles(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		ui, _ := x["x-ui"].(map[string]any)
		if x["$ref"] == "kelian:file" || ui["kind"] == "file" {
			maps.Copy(out, fileSchema())
		}
		for k, e := range x {
			if k != "$ref" {
				out[k] = withFiles(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = withFiles(e)
		}
		return out
	}
	return v
}

// mustCanonical spells a value that came out of YAML; such values always have
// a spelling.
func mustCanonical(v any) []byte {
	raw, err := json.Marshal(v)
	if err == nil {
		raw, err = flow.Canonical(raw)
	}
	if err != nil {
		return []byte("null")
	}
	return raw
}
