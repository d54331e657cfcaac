package org

import (
	"slices"
	"strings"
	"sync"

	"kelian/internal/fault"
)

// deny names the rule and, in words, those whom the action's rows allow.
func (t *Table) deny(action string, o Object) error {
	var zh, en []string
	for _, r := range t.rules[action] {
		if r.Who == Machine {
			continue
		}
		w := whoWords(r.Who, o.Unit)
		if r.Zh != "" {
			w.Zh, w.En = w.Zh+"（"+r.Zh+"）", w.En+" ("+r.En+")"
		}
		if !slices.Contains(zh, w.Zh) {
			zh, en = append(zh, w.Zh), append(en, w.En)
		}
	}
	if len(zh) == 0 {
		zh, en = []string{"没有人，由系统完成"}, []string{"nobody, the system does it"}
	}
	return fault.Deny(action, strings.Join(zh, "、"), strings.Join(en, "; "))
}

// whoWords says a rule's Who for an object of the unit.
func whoWords(who, unit string) Text {
	switch who {
	case Anyone:
		return Text{"任何人", "anybody"}
	case Somebody:
		return Text{"有账号的人", "anybody with an account"}
	case Owner:
		return Text{"本人", "the person concerned"}
	case Assignee:
		return Text{"承办人", "whoever it was given to"}
	}
	if rest, ok := strings.CutPrefix(who, "unit."); ok && unit != "" {
		who = unit + "." + rest
	}
	return SeatTitle(who)
}

// SeatTitle says a seat by the template's titles, for a rule knows codes only:
// liaison.head is 外联部部长, liaison.* 外联部的岗位. Units that the template
// lacks are "the unit concerned".
func SeatTitle(seat string) Text {
	at := strings.LastIndexByte(seat, '.')
	if at < 0 {
		return Text{"这个岗位", "seat"}
	}
	code, role := seat[:at], Role(seat[at+1:])
	if u, ok := templateUnits()[code]; ok {
		if role == "*" {
			return Text{u.Short.Zh + "的岗位", "any seat of " + u.Short.En}
		}
		for _, s := range u.Seats {
			if s.Role == role {
				return titleIn(u.Short, s.Title)
			}
		}
	}
	title, ok := roleTitles[role]
	if !ok {
		title = Text{"岗位", "any seat"}
	}
	if code == "*" {
		return Text{"各单位的" + title.Zh, title.En + " of any unit"}
	}
	return Text{"所属单位的" + title.Zh, title.En + " of the unit concerned"}
}

// titleIn puts the unit's name to a title that does not say it already.
func titleIn(unit, title Text) Text {
	if !strings.HasPrefix(title.Zh, strings.TrimPrefix(unit.Zh, "校")) {
		title.Zh = unit.Zh + title.Zh
	}
	if !strings.HasSuffix(title.En, strings.ToLower(unit.En)) {
		title.En += " (" + unit.En + ")"
	}
	return title
}

var roleTitles = map[Role]Text{
	Head: {"部长", "head"}, Deputy: {"副部长", "deputy head"}, Member: {"干事或会员", "member"}, Chair: {"会长或主席", "chair or president"},
	Vice: {"副会长或副主席", "vice-chair or vice-president"}, Advisor: {"指导老师", "advisor"}, Secretary: {"书记", "secretary"},
	Teacher: {"老师", "teacher"}, Finance: {"财务", "finance officer"}, Technician: {"技术员", "technician"}, Trainer: {"讲师", "trainer"}, Keeper: {"物资管理员", "keeper of property"},
}

var templateUnits = sync.OnceValue(func() map[string]UnitSpec {
	out := map[string]UnitSpec{}
	for _, u := range Template() {
		out[u.Code] = u
	}
	return out
})
