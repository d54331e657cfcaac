package workflow

import (
	"regexp"
	"slices"

	"kelian/workflow/flow"
)

var (
	retention = regexp.MustCompile(`^([1-9][0-9]{0,3}[dm]|term)$`)
	// reserved are the names that guards use for something else.
	reserved = []string{"form", "params", "now", "sum", "working_days", "true", "false", "null", "in", "as", "break", "const",
		"continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void",
		"while", "size", "has", "int", "uint", "string", "bool", "double", "bytes", "list", "map", "type", "dyn", "timestamp", "duration"}
	// personalNames and personalKinds mark fields about a person; such a field
	// says why it is asked (USERS: personal data).
	personalNames = []string{"phone", "mobile", "telephone", "tel", "qq", "wechat", "weixin", "email", "mail", "dorm", "dormitory",
		"student_no", "student_number", "staff_no", "staff_number", "contact", "contact_name", "birthday", "photo"}
	personalKinds = []string{"person_name", "phone", "qq", "wechat", "email", "student_number", "dormitory", "class", "photo"}
	// forbidden is never asked, whatever the purpose.
	forbidden = []string{"id_card", "idcard", "identity_card", "identity_number", "id_number", "bank_account", "bank_card",
		"fingerprint", "face", "biometric"}
	uiKinds = append([]string{"unit", "person", "room", "item", "ticket", "board", "sponsor", "money", "file", "longtext", "select"}, personalKinds...)
	formats = []string{"date", "date-time", "time", "email", "uri", "uuid"}
	// keywords by type, beside those every field has.
	keywords = map[string][]string{
		"string":  {"minLength", "maxLength", "pattern", "format", "enum", "x-enum"},
		"integer": {"minimum", "maximum", "enum"},
		"boolean": {},
		"array":   {"items", "minItems", "maxItems", "uniqueItems"},
		"object":  {"properties", "required", "additionalProperties"},
	}
	everyField = []string{"type", "default", "x-title", "x-ui", "x-personal", "$ref"}
)

// readForm lints and compiles the form block.
func (l *loader) readForm(n *node) *Form {
	before := len(l.problems)
	if n == nil || !l.only(n, "form", []string{"properties"}, "$schema", "type", "required", "additionalProperties") {
		return nil
	}
	f := &Form{}
	f.Fields = l.fields(n, "", true)
	if len(l.problems) > before {
		return nil
	}
	doc := closeSchema(withFiles(n.plain())).(map[string]any)
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["type"] = "object"
	var err error
	if f.Schema, f.schema, err = compileSchema(doc); err != nil {
		l.add(n, "FORM", "表单的 JSON Schema 有误："+err.Error(), "the form's JSON Schema is wrong: "+err.Error())
		return nil
	}
	for _, fd := range f.Fields {
		if fd.Default != nil {
			l.checkDefault(n, f, fd)
		}
	}
	return f
}

// closeSchema adds additionalProperties: false to every object with properties.
func closeSchema(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			x[k] = closeSchema(e)
		}
		if _, ok := x["properties"].(map[string]any); ok {
			x["additionalProperties"] = false
		}
	case []any:
		for i := range x {
			x[i] = closeSchema(x[i])
		}
	}
	return v
}

func (l *loader) checkDefault(n *node, f *Form, fd Field) {
	sub := f.schema.Properties[fd.Name]
	if sub != nil && sub.Validate(decode(mustCanonical(fd.Default))) != nil {
		at := n.get("properties").get(fd.Name).get("default")
		l.add(at, "FORM_DEFAULT", "默认值不符合字段自己的规则", "the default breaks the field's own rules")
	}
}

// fields reads the properties of an object.
func (l *loader) fields(n *node, at string, top bool) []Field {
	if extra := n.get("additionalProperties"); extra != nil && extra.value != false {
		l.add(extra, "FORM_OPEN", "表单不能接受未声明的字段", "a form takes no undeclared fields")
	}
	props := n.get("properties")
	if props == nil || !l.expect(props, mapNode, "properties") {
		return nil
	}
	required := l.strs(n.get("required"), "required")
	for i, r := range required {
		if props.get(r) == nil {
			l.add(n.get("required").item(i), "FORM_REQUIRED", "必填的“"+r+"”没有声明", "required field "+r+" is not declared")
		}
	}
	var out []Field
	for _, k := range props.keys {
		key := &node{line: k.line, col: k.col}
		if !word.MatchString(k.name) || top && slices.Contains(reserved, k.name) {
			l.add(key, "FORM_NAME", "字段名“"+k.name+"”要用小写字母、数字和下划线，且不是保留字", "field name "+k.name+" must be lower-case letters, digits and _, and no reserved word")
		}
		f := l.field(k.value, key, k.name, at+"/"+k.name)
		f.Required = slices.Contains(required, k.name)
		out = append(out, f)
	}
	return out
}

// field reads one field; key is where its name stands.
func (l *loader) field(n, key *node, name, at string) Field {
	f := Field{Name: name, Pointer: at}
	if !l.expect(n, mapNode, at) {
		return f
	}
	if ref := n.get("$ref"); ref != nil {
		if s, _ := ref.text(); s != "kelian:file" {
			l.add(ref, "FORM_REF", "只能引用 kelian:file", "a field refers to kelian:file or to nothing")
		}
		f.Type, f.Kind = "object", "file"
		l.only(n, at, nil, everyField...)
	} else if kind := n.get("x-ui").get("kind"); kind != nil && kind.value == "file" {
		f.Type, f.Kind = "object", "file"
		l.only(n, at, nil, everyField...)
		if tp := n.get("type"); tp != nil && tp.value != "object" {
			l.add(tp, "FORM_TYPE", at+" 是附件，类型只能是 object", at+" is a file, its type can only be object")
		}
	} else {
		f.Type = l.str(n.get("type"), "type")
		known, ok := keywords[f.Type]
		if !ok {
			l.add(n, "FORM_TYPE", at+" 的类型只能是 string、integer、boolean、array、object（金额用整数分）",
				at+" must have the type string, integer, boolean, array or object (money is whole fen)")
			return f
		}
		l.only(n, at, []string{"type"}, append(slices.Clone(known), everyField...)...)
	}
	l.fieldLooks(n, &f)
	l.fieldLimits(n, key, &f)
	l.fieldPersonal(n, key, &f)
	switch f.Type {
	case "array":
		if items := n.get("items"); items != nil {
			item := l.field(items, items, "*", at+"/*")
			f.Item = &item
		} else {
			l.add(n, "FORM_LIMIT", at+" 要写明列表的内容", at+" must say what its entries are (items)")
		}
	case "object":
		if f.Kind != "file" {
			f.Props = l.fields(n, at, false)
		}
	}
	return f
}

// fieldLooks reads what people see: titles, kind, choices.
func (l *loader) fieldLooks(n *node, f *Field) {
	if f.Name != "*" || n.get("x-title") != nil {
		f.Title = l.title(n, "x-title", f.Pointer)
	}
	if ui := n.get("x-ui"); ui != nil && l.only(ui, "x-ui", nil, "kind", "of", "rows", "help") {
		if k := ui.get("kind"); k != nil {
			f.Kind = l.str(k, "kind")
			if !slices.Contains(uiKinds, f.Kind) {
				l.add(k, "FORM_UI", "没有这种控件："+f.Kind, "there is no kind of input "+f.Kind)
			}
		}
		l.strs(ui.get("of"), "of")
		if ui.get("help") != nil {
			l.title(ui, "help", "x-ui")
		}
	}
	if fm := n.get("format"); fm != nil {
		if f.Format = l.str(fm, "format"); !slices.Contains(formats, f.Format) {
			l.add(fm, "FORM_FORMAT", "不支持的格式 "+f.Format, "unknown format "+f.Format)
		}
	}
	if d := n.get("default"); d != nil {
		f.Default = decode(mustCanonical(d.plain()))
	}
	l.fieldChoices(n, f)
}

func (l *loader) fieldChoices(n *node, f *Field) {
	enum := n.get("enum")
	if enum == nil || f.Type != "string" || !l.expect(enum, listNode, "enum") {
		return
	}
	f.Enum = l.strs(enum, "enum")
	f.Titles = map[string]flow.Text{}
	titles := n.get("x-enum")
	for i, v := range f.Enum {
		if titles.get(v) == nil {
			l.add(enum.item(i), "FORM_TITLE", "选项“"+v+"”缺少中英文名（x-enum）", "the choice "+v+" has no title in x-enum")
			continue
		}
		f.Titles[v] = l.title(titles, v, "x-enum")
	}
}

// fieldLimits demands an upper bound, so that every form has a bounded size
// and every guard a bounded cost.
func (l *loader) fieldLimits(n, key *node, f *Field) {
	limit := map[string]string{"string": "maxLength", "array": "maxItems"}[f.Type]
	if limit == "" {
		return
	}
	if f.Type == "string" && (n.get("enum") != nil || slices.Contains([]string{"date", "date-time", "time", "uuid"}, f.Format)) {
		f.Max = 64 // the set or the format bounds it
		return
	}
	m := n.get(limit)
	if m == nil {
		l.add(key, "FORM_LIMIT", f.Pointer+" 缺少 "+limit, f.Pointer+" lacks "+limit)
		return
	}
	f.Max = l.integer(m, limit)
	if most := map[string]int{"maxLength": 20000, "maxItems": 500}[limit]; f.Max < 1 || f.Max > most {
		l.add(m, "FORM_LIMIT", limit+" 超出范围", limit+" is out of range")
	}
}

func (l *loader) fieldPersonal(n, key *node, f *Field) {
	if slices.Contains(forbidden, f.Name) {
		l.add(key, "FORM_FORBIDDEN", "不收集身份证号、银行账号和生物特征", "identity card numbers, bank accounts and biometrics are not asked")
	}
	p := n.get("x-personal")
	if p == nil {
		if slices.Contains(personalNames, f.Name) || slices.Contains(personalKinds, f.Kind) || f.Format == "email" {
			l.add(key, "FORM_PERSONAL", f.Pointer+" 是个人信息，要写明 x-personal: {purpose, retention}",
				f.Pointer+" is personal and must say x-personal: {purpose, retention}")
		}
		return
	}
	if !l.only(p, "x-personal", []string{"purpose", "retention"}) || p.get("purpose") == nil || p.get("retention") == nil {
		return
	}
	f.Personal = &Personal{Purpose: l.title(p, "purpose", "x-personal"), Retention: l.str(p.get("retention"), "retention")}
	if !retention.MatchString(f.Personal.Retention) {
		l.add(p.get("retention"), "FORM_RETENTION", "保存期限要写成 30d、24m 或 term", "retention is written 30d, 24m or term")
	}
}

// title reads {zh, en} under a key; both are required.
func (l *loader) title(n *node, key, what string) flow.Text {
	t := n.get(key)
	if t == nil {
		l.add(n, "FORM_TITLE", what+" 缺少中英文名（"+key+"）", what+" has no "+key+" in both languages")
		return flow.Text{}
	}
	return l.bilingual(t, key)
}

func (l *loader) bilingual(n *node, what string) flow.Text {
	if n == nil || !l.only(n, what, []string{"zh", "en"}) {
		return flow.Text{}
	}
	return flow.Text{Zh: l.str(n.get("zh"), what+".zh"), En: l.str(n.get("en"), what+".en")}
}
