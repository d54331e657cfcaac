package flow

import "fmt"

// Say is the rule as everybody understands it: what passes, in which order
// people are asked, and what else it takes.
func (r Rule) Say() Text {
	zh, en := r.sayKind()
	add := func(z, e string) { zh, en = zh+"，"+z, en+", "+e }
	if r.InTurn {
		add("依次办理", "one after the other")
	}
	if r.Turnout.Num > 0 {
		add("投票的要达到全体的 "+r.Turnout.say(), r.Turnout.say()+" of all have to vote")
	}
	if r.Score > 0 {
		add(fmt.Sprintf("每人打 0–%d 分", r.Score), fmt.Sprintf("each gives 0–%d points", r.Score))
		if r.Mean > 0 {
			add(fmt.Sprintf("平均至少 %d 分", r.Mean), fmt.Sprintf("%d at least on average", r.Mean))
		}
	}
	if r.Veto {
		add("一人不同意即不通过", "a single no ends it")
	}
	if r.Abstain {
		add("可以弃权", "abstaining is possible")
	}
	return Text{Zh: zh, En: en}
}

func (r Rule) sayKind() (zh, en string) {
	switch r.Kind {
	case All:
		return "要全部同意", "everybody has to approve"
	case KOfN:
		return fmt.Sprintf("要 %d 票同意", r.K), fmt.Sprintf("%d approvals are needed", r.K)
	case Percent:
		return "要全体的 " + r.Percent.say() + " 同意", r.Percent.say() + " of all have to approve"
	case OfCast:
		return "赞成与反对票中要有 " + r.Percent.say() + " 赞成", r.Percent.say() + " of the votes cast have to be approvals"
	case Objection:
		return "公示：到期无人异议即通过", "passes when nobody objects in time"
	}
	return "一人同意即可", "one approval is enough"
}

// say is the share as people write it: 60% or 2/3.
func (q Ratio) say() string {
	if q.Den == 100 {
		return fmt.Sprintf("%d%%", q.Num)
	}
	return fmt.Sprintf("%d/%d", q.Num, q.Den)
}

// Say is the span in words.
func (s Span) Say() Text {
	n, zh, one := s.N, "分钟", "minute"
	switch {
	case s.Unit == WorkingDays:
		zh, one = "个工作日", "working day"
	case s.Unit == BusinessHours:
		zh, one = "个办公小时", "business hour"
	case n > 0 && n%60 == 0:
		n, zh, one = n/60, "小时", "hour"
	}
	if n != 1 {
		one += "s"
	}
	return Text{Zh: fmt.Sprintf("%d %s", n, zh), En: fmt.Sprintf("%d %s", n, one)}
}
