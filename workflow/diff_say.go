package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"kelian/workflow/flow"
)

// areaWords name what has a name.
var areaWords = map[Area]flow.Text{
	AreaParam: {Zh: "参数", En: "parameter"}, AreaForm: {Zh: "表单字段", En: "field"}, AreaRule: {Zh: "字段间的条件", En: "rule"},
	AreaStep: {Zh: "步骤", En: "step"}, AreaCloseOut: {Zh: "结项表单字段", En: "field of the report"},
}

// ownWords name what a definition has one of.
var ownWords = map[Area]flow.Text{
	AreaDefinition: {Zh: "流程", En: "the workflow"}, AreaForm: {Zh: "表单", En: "the form"},
	AreaPolicy: {Zh: "整个申请的规则", En: "the policy"}, AreaCloseOut: {Zh: "结项", En: "the report"},
}

// partWords name the parts; one that is not here is called by its keyword.
var partWords = map[string]flow.Text{
	"title": {Zh: "名称", En: "title"}, "about": {Zh: "说明", En: "about"}, "unit": {Zh: "归口部门", En: "unit"}, "facts": {Zh: "记录的事实", En: "facts"},
	"on_approved": {Zh: "通过后的效果", En: "effects"}, "value": {Zh: "值", En: "value"}, "holds": {Zh: "条件", En: "condition"}, "at": {Zh: "指向的字段", En: "field"},
	"text": {Zh: "提示", En: "text"}, "when": {Zh: "进入条件", En: "conditions"}, "place": {Zh: "先于它的步骤", En: "steps before it"},
	"ask": {Zh: "问谁", En: "seats asked"}, "weights": {Zh: "权重", En: "weights"}, "draw": {Zh: "抽签人数", En: "lot"}, "rule": {Zh: "怎样算通过", En: "threshold"},
	"reads": {Zh: "票所签的字段", En: "fields signed"}, "fields": {Zh: "字段权限", En: "rights on fields"}, "due": {Zh: "期限", En: "due"}, "on_due": {Zh: "到期处理", En: "on due"},
	"distinct_from": {Zh: "须由不同的人审批的步骤", En: "steps for other people"}, "send_back": {Zh: "可退回到", En: "send-back targets"},
	"link": {Zh: "可用链接办理", En: "by link"}, "strong": {Zh: "链接须验证码", En: "link needs a code"}, "paper": {Zh: "可录入纸质意见", En: "on paper"},
	"always_ask": {Zh: "不去重", En: "always asked"}, "not_same_unit": {Zh: "回避申请单位", En: "not the requesting unit"}, "fixed": {Zh: "不能转交和加签", En: "no transfer, no signers"},
	"not_requester": {Zh: "申请人回避", En: "not the requester"}, "dedupe": {Zh: "去重", En: "de-duplication"}, "empty": {Zh: "找不到人时", En: "asked when nobody is found"},
	"mode": {Zh: "退回后重审", En: "asked again after a send-back"}, "max_send_back": {Zh: "最多退回次数", En: "most send-backs"},
	"withdraw_days": {Zh: "通过后可撤回天数", En: "days to withdraw after approval"}, "interest": {Zh: "利益冲突", En: "conflicts of interest"},
	"cc": {Zh: "抄送", En: "copies"}, "stop": {Zh: "可叫停的岗位", En: "who may stop it"}, "after": {Zh: "起算日期", En: "counted from"},
	"x-title": {Zh: "名称", En: "title"}, "x-ui": {Zh: "控件", En: "control"}, "x-enum": {Zh: "选项名称", En: "names of the choices"}, "x-personal": {Zh: "个人信息", En: "personal"},
	"type": {Zh: "类型", En: "type"}, "format": {Zh: "格式", En: "format"}, "enum": {Zh: "选项", En: "choices"}, "default": {Zh: "默认值", En: "default"},
	"required": {Zh: "必填", En: "required"}, "pattern": {Zh: "写法", En: "pattern"},
	"minimum": {Zh: "最小值", En: "minimum"}, "maximum": {Zh: "最大值", En: "maximum"}, "minLength": {Zh: "最少字数", En: "shortest"}, "maxLength": {Zh: "最多字数", En: "longest"},
	"minItems": {Zh: "最少项数", En: "fewest entries"}, "maxItems": {Zh: "最多项数", En: "most entries"}, "uniqueItems": {Zh: "各项不同", En: "entries differ"},
}

func sayWhole(p piece, e Edit) (zh, en string) {
	zh, en = p.call()
	zh, en = map[Edit]string{Added: "新增", Removed: "删去"}[e]+zh, en+" "+string(e)
	if p.area != AreaStep {
		return zh, en
	}
	for _, part := range []string{"ask", "rule", "due", "when"} {
		if v := p.parts[part]; v != "" {
			z, n := sayValue(part, v)
			zh, en = zh+"；"+partWords[part].Zh+"："+z, en+"; "+partWords[part].En+": "+n
		}
	}
	return zh, en
}

func sayChanged(p piece, part string, before, after flow.JSON) (zh, en string) {
	zh, en = p.call()
	word, ok := partWords[part]
	if !ok {
		word = flow.Text{Zh: part, En: part}
	}
	z1, e1 := sayValue(part, before)
	z2, e2 := sayValue(part, after)
	return fmt.Sprintf("%s的%s：%s → %s", zh, word.Zh, z1, z2), fmt.Sprintf("%s, %s: %s → %s", en, word.En, e1, e2)
}

// call names the piece.
func (p piece) call() (zh, en string) {
	if p.name == "" {
		return ownWords[p.area].Zh, ownWords[p.area].En
	}
	w := areaWords[p.area]
	if p.title.Zh == p.name || p.title.Zh == "" {
		return w.Zh + " " + p.name, w.En + " " + p.name
	}
	return fmt.Sprintf("%s“%s”（%s）", w.Zh, p.title.Zh, p.name), fmt.Sprintf("%s “%s” (%s)", w.En, p.title.En, p.name)
}

// longestValue bounds a value in a line, in characters.
const longestValue = 160

func sayValue(part string, v flow.JSON) (zh, en string) {
	if v == "" {
		return "无", "none"
	}
	zh, en = sayPlain(part, v)
	return cutText(zh), cutText(en)
}

func sayPlain(part string, v flow.JSON) (zh, en string) {
	var text flow.Text
	if json.Unmarshal([]byte(v), &text) == nil && text.Zh != "" && text.En != "" {
		return text.Zh + " / " + text.En, text.Zh + " / " + text.En
	}
	var rule flow.Rule
	if part == "rule" && json.Unmarshal([]byte(v), &rule) == nil {
		said := rule.Say()
		return said.Zh, said.En
	}
	var span flow.Span
	if part == "due" && json.Unmarshal([]byte(v), &span) == nil {
		said := span.Say()
		return said.Zh, said.En
	}
	var list []string
	if json.Unmarshal([]byte(v), &list) == nil {
		if len(list) == 0 {
			return "无", "none"
		}
		return strings.Join(list, "、"), strings.Join(list, ", ")
	}
	var word string
	if json.Unmarshal([]byte(v), &word) == nil {
		return word, word
	}
	switch v {
	case "true":
		return "是", "yes"
	case "false":
		return "否", "no"
	}
	return string(v), string(v)
}

func cutText(s string) string {
	if utf8.RuneCountInString(s) <= longestValue {
		return s
	}
	return string([]rune(s)[:longestValue]) + "…"
}

// DiffText is what a person reads of the differences, a line each, in Chinese
// or English.
func DiffText(list []Difference, zh bool) string {
	if len(list) == 0 && zh {
		return "没有实质改动。\n"
	} else if len(list) == 0 {
		return "Nothing that matters has changed.\n"
	}
	var b strings.Builder
	for _, d := range list {
		mark := map[Edit]string{Added: "+", Removed: "-", Changed: "~"}[d.Edit]
		line := d.En
		if zh {
			line = d.Zh
		}
		b.WriteString(mark + " " + line + "\n")
	}
	return b.String()
}
