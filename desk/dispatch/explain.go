package dispatch

import (
	"encoding/json"
	"fmt"
	"strings"

	"kelian/internal/id"
)

// Words is one text in both languages.
type Words = struct{ Zh, En string }

// skillWords names the skills that the desks ask for; a skill that is not here
// is shown as it is written.
var skillWords = map[string]Words{
	"network":   {"网络", "networks"},
	"computer":  {"电脑", "computers"},
	"appliance": {"电器", "appliances"},
	"electric":  {"用电", "electrical work"},
	"teach":     {"授课", "teaching"},
}

// SkillWords gives the name of a skill for people.
func SkillWords(skill string) Words {
	if w, ok := skillWords[skill]; ok {
		return w
	}
	return Words{skill, skill}
}

// Text says the reason about the person in both languages, without a name:
// "现在没空", "is busy".
func (r Reason) Text() Words {
	w := SkillWords(r.What)
	switch r.Code {
	case Chosen:
		return Words{fmt.Sprintf("现在有空，手上第 %d 件（最多 %d 件）", r.N, r.Of), fmt.Sprintf("free now, %d of %d", r.N, r.Of)}
	case Busy:
		return Words{"现在没空", "is busy"}
	case Full:
		return Words{fmt.Sprintf("手上已满（%d/%d）", r.N, r.Of), fmt.Sprintf("is busy (%d of %d)", r.N, r.Of)}
	case Away:
		return Words{"请假中", "is on leave"}
	case Declined:
		return Words{"已婉拒", "declined"}
	case Silent:
		return Words{"没有回应", "did not answer"}
	case GaveBack:
		return Words{"已退回这件任务", "gave it back"}
	case LacksSkill:
		return Words{"不会" + w.Zh, "does not know " + w.En}
	case LacksCertificate:
		return Words{"没有证书：" + w.Zh, "lacks the certificate: " + w.En}
	case Elsewhere:
		return Words{"不在这个部门", "is in another unit"}
	case MoreDone:
		return Words{fmt.Sprintf("本学期已做 %d 件", r.N), fmt.Sprintf("did %d this term", r.N)}
	case MoreRecent:
		return Words{"刚接过任务", "had a task more recently"}
	case Later:
		return Words{"条件相同，下一个轮到", "is next, equal in everything"}
	}
	return Words{string(r.Code), string(r.Code)}
}

// How an assignment came about.
type How string

// The ways.
const (
	Dispatched How = "DISPATCHED" // by Choose
	ByHand     How = "BY_HAND"    // somebody named the person
	Claimed    How = "CLAIMED"    // the person took it from the board
	TakenOver  How = "TAKEN_OVER" // the person took it from somebody
)

// Explanation is why this person has this task, as stored: references and
// codes only. Others are the nearest candidates that were not chosen.
type Explanation struct {
	How    How      `json:"how"`
	Need   Need     `json:"need"`
	Chosen Reason   `json:"chosen"`
	Others []Reason `json:"others,omitempty"`
	More   int      `json:"more,omitempty"` // candidates beyond Others
}

// othersKept bounds the stored reasons, othersSaid those in the sentence.
const (
	othersKept = 10
	othersSaid = 3
)

// Explanation keeps what is worth telling of the choice.
func (c Choice) Explanation(need Need) Explanation {
	e := Explanation{How: Dispatched, Need: need}
	for _, r := range c.Reasons {
		switch {
		case r.Code == Chosen:
			e.Chosen = r
		case len(e.Others) < othersKept:
			e.Others = append(e.Others, r)
		default:
			e.More++
		}
	}
	return e
}

// People lists those whom the sentence names.
func (e Explanation) People() []id.ID {
	out := []id.ID{}
	for _, r := range e.said() {
		out = append(out, r.Person)
	}
	return out
}

// said keeps those of the others that a reader asks about: who has the skills
// but not the turn; only when there is nobody like that, who lacks them.
func (e Explanation) said() []Reason {
	var near, far []Reason
	for _, r := range e.Others {
		if r.Code == LacksSkill || r.Code == LacksCertificate || r.Code == Elsewhere {
			far = append(far, r)
			continue
		}
		near = append(near, r)
	}
	if len(near) == 0 {
		near = far
	}
	return near[:min(len(near), othersSaid)]
}

// Sentence explains the assignment, e.g. "knows networks, free now, 1 of 3;
// 林小满 is busy" or 会网络，现在有空，手上第 1 件（最多 3 件）；林小满现在没空.
// names are those of People; a person without one is called somebody.
func (e Explanation) Sentence(names map[id.ID]string) Words {
	var zh, en []string
	for _, s := range e.Need.Skills {
		zh, en = append(zh, "会"+SkillWords(s).Zh), append(en, "knows "+SkillWords(s).En)
	}
	for _, s := range e.Need.Certificates {
		zh, en = append(zh, "有证书："+SkillWords(s).Zh), append(en, "holds the certificate: "+SkillWords(s).En)
	}
	switch e.How {
	case ByHand:
		zh, en = []string{"负责人指派"}, []string{"given by hand"}
	case Claimed:
		zh, en = []string{"自己接单"}, []string{"took it from the board"}
	case TakenOver:
		zh, en = []string{"接手同事的任务"}, []string{"took it over from a colleague"}
	default:
		t := e.Chosen.Text()
		zh, en = append(zh, t.Zh), append(en, t.En)
	}
	out := Words{strings.Join(zh, "，"), strings.Join(en, ", ")}
	for _, r := range e.said() {
		name, t := names[r.Person], r.Text()
		if name == "" {
			out.Zh += "；有人" + t.Zh
			out.En += "; somebody " + t.En
			continue
		}
		out.Zh += "；" + name + t.Zh
		out.En += "; " + name + " " + t.En
	}
	return out
}

func (e Explanation) encode() string {
	raw, _ := json.Marshal(e) // strings, numbers and ids always encode
	return string(raw)
}
