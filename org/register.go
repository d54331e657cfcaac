package org

import (
	"fmt"
	"slices"
	"strings"
)

// Text is in both languages.
type Text struct{ Zh, En string }

// Field is one line of the register of personal data, from which /privacy and
// its document are made.
type Field struct {
	Name      string // as in Personal, or contact.<kind>; a trailing * stands for any ending
	Label     Text
	Purpose   Text
	Basis     Basis
	Sees      Text // who sees it
	Retention Text
	Contact   Text // whom to ask; zero = the office
}

// Basis is the legal ground of the processing (PIPL article 13).
type Basis string

// The grounds that the federation relies on.
const (
	ByConsent  Basis = "CONSENT"  // article 13(1)
	ByContract Basis = "CONTRACT" // article 13(2): what somebody asked for cannot be done without it
	ByDuty     Basis = "DUTY"     // article 13(3): duties of the university
)

// Register lists every field of personal data, by name. Domains add theirs
// with RegisterFields while their packages load; afterwards it is only read.
var Register []Field

// RegisterFields adds fields. One that is already there with another text, or
// that lacks a text, panics.
func RegisterFields(fields ...Field) {
	for _, f := range fields {
		if f.Contact == (Text{}) {
			f.Contact = Text{"办公室主任", "the head of the office"}
		}
		for _, t := range []Text{{f.Name, f.Name}, {string(f.Basis), string(f.Basis)}, f.Label, f.Purpose, f.Sees, f.Retention} {
			if t.Zh == "" || t.En == "" {
				panic(fmt.Sprintf("org: the personal field %q needs a label, purpose, basis, who sees it and retention, in both languages", f.Name))
			}
		}
		at, found := slices.BinarySearchFunc(Register, f, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
		switch {
		case !found:
			Register = slices.Insert(Register, at, f)
		case Register[at] != f:
			panic(fmt.Sprintf("org: the personal field %s is in the register twice", f.Name))
		}
	}
}

// RegisteredField finds the line of the register that covers the field.
func RegisteredField(name string) (Field, bool) {
	for _, f := range Register {
		if prefix, ok := strings.CutSuffix(f.Name, "*"); f.Name == name || ok && strings.HasPrefix(name, prefix) {
			return f, true
		}
	}
	return Field{}, false
}

func init() {
	officers := Field{Basis: ByDuty,
		Sees:      Text{"任职期间全体干部；不公开", "all officers while in office; not public"},
		Retention: Text{"离任后由本人或办公室删除；历史记录只留编号", "until the person or the office erases it after leaving; history keeps a reference only"}}
	own := officers
	own.Sees = Text{"本人、办公室主任", "the person and the head of the office"}
	reach := own
	reach.Basis = ByConsent
	reach.Sees = Text{"本人、办公室主任；办理期间的经办人，每次查看留痕", "the person and the head of the office; whoever a case was given to while it is open, each look is recorded"}
	for _, l := range []struct {
		kind                    Field
		name, zh, en, why, whyE string
	}{
		{officers, FieldName, "姓名", "name", "在审批、派单和名单中指明一个人", "to name a person in approvals, tasks and lists"},
		{officers, FieldPinyin, "姓名拼音", "name in pinyin", "排序和检索", "sorting and searching"},
		{own, FieldNumber, "学号或工号", "student or staff number", "登录和识别同一个人", "signing in and recognising the same person"},
		{own, FieldCollege, "学院", "college", "分配任务、统计学时", "giving out tasks, counting hours"},
		{own, FieldClass, "班级", "class", "开具证明、统计学时", "certificates and counted hours"},
		{own, FieldGrade, "年级", "grade", "换届和招新", "handover and recruiting"},
		{officers, FieldCampus, "校区", "campus", "就近派单", "giving tasks to those nearby"},
		{reach, "contact.phone", "手机号", "phone", "任务紧急时联系", "reaching somebody when a task is urgent"},
		{reach, "contact.qq", "QQ 号", "QQ number", "发送通知邮件", "sending notices by mail"},
		{reach, "contact.wechat", "微信号", "WeChat name", "人工转告", "being told by a person"},
		{reach, "contact.email", "邮箱", "e-mail", "发送通知、重置密码", "sending notices, resetting a password"},
		{own, "free_hour", "无课表", "free hours", "派单和排班；他人只见有空或没空", "tasks and rotas; others see free or busy only"},
		{officers, "skill", "技能和证书", "skills and certificates", "派单", "giving out tasks"},
	} {
		l.kind.Name, l.kind.Label, l.kind.Purpose = l.name, Text{l.zh, l.en}, Text{l.why, l.whyE}
		RegisterFields(l.kind)
	}
}
