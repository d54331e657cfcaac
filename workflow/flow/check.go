package flow

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Problem is a mistake in a definition's structure. Step and Field say where;
// Step is empty for the definition itself.
type Problem struct {
	Code   string
	Step   string
	Field  string
	Zh, En string
}

var stepName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Check finds what is wrong with a definition's structure, in the order of
// the text. Decide relies on it: a definition with problems is not published.
func Check(d *Definition) []Problem {
	c := &checker{def: d, guards: map[string]bool{}}
	if len(d.Blocks) == 0 {
		c.add("FLOW_EMPTY", "", "flow", "流程里没有步骤", "the flow has no steps")
	} else if !asksAlways(d.Blocks) {
		c.add("FLOW_ASKS_NOBODY", "", "flow", "无论条件怎样，都要有人审批：至少一步不带条件，或每个分支（含 else）都有步骤", "somebody must be asked whatever the conditions say: a step outside of them, or one in each branch and an else")
	}
	c.blocks(d.Blocks)
	seen := map[string]bool{}
	for _, s := range d.Steps() {
		if seen[s.Name] {
			c.add("STEP_TWICE", s.Name, "step", "步骤名“"+s.Name+"”重复", "the step name "+s.Name+" is used twice")
		}
		seen[s.Name] = true
		c.step(s)
	}
	c.policy(d.Policy)
	return c.out
}

type checker struct {
	def    *Definition
	guards map[string]bool // names of guards and choices seen
	out    []Problem
}

func (c *checker) add(code, step, field, zh, en string) {
	c.out = append(c.out, Problem{Code: code, Step: step, Field: field, Zh: zh, En: en})
}

// asksAlways says that some step is reached whatever the guards are: one outside
// every condition, or one in each branch of a choice that has an else.
func asksAlways(blocks []Block) bool {
	return slices.ContainsFunc(blocks, func(b Block) bool {
		switch b.Kind {
		case KindStep:
			return true
		case KindChoice:
			return len(b.Branches) > 0 && b.Branches[len(b.Branches)-1].Guard == "" &&
				!slices.ContainsFunc(b.Branches, func(br Branch) bool { return !asksAlways(br.Blocks) })
		}
		return asksAlways(b.Blocks)
	})
}

func (c *checker) blocks(blocks []Block) {
	for i := range blocks {
		b := &blocks[i]
		switch b.Kind {
		case KindStep:
			if b.Step == nil {
				c.add("BLOCK_KIND", "", "flow", "步骤没有内容", "a step block holds no step")
			}
		case KindSeq, KindPar:
			if len(b.Blocks) == 0 {
				c.add("BLOCK_EMPTY", "", string(b.Kind), "“"+string(b.Kind)+"”里没有步骤", string(b.Kind)+" is empty")
			}
			c.blocks(b.Blocks)
		case KindChoice:
			c.choice(b)
		default:
			c.add("BLOCK_KIND", "", "flow", "不认识的块", fmt.Sprintf("unknown block kind %q", b.Kind))
		}
	}
}

func (c *checker) choice(b *Block) {
	name := func(s string) {
		if s == "" || c.guards[s] {
			c.add("CHOICE_NAME", "", "choice", "条件的名字缺失或重复", "a choice or guard lacks a name of its own")
		}
		c.guards[s] = true
	}
	name("choice " + b.Choice)
	if len(b.Branches) == 0 {
		c.add("BLOCK_EMPTY", "", "choice", "条件里没有分支", "a choice has no branch")
	}
	for i, br := range b.Branches {
		if br.Guard != "" {
			name(br.Guard)
		} else if i < len(b.Branches)-1 || i == 0 {
			c.add("CHOICE_ELSE", "", "else", "else 只能是最后一个分支，并且前面要有条件", "else comes last and after a condition")
		}
		if len(br.Blocks) == 0 {
			c.add("BLOCK_EMPTY", "", "do", "分支里没有步骤", "a branch is empty")
		}
		c.blocks(br.Blocks)
	}
}

func (c *checker) step(s *Step) {
	if !stepName.MatchString(s.Name) || s.Name == Start {
		c.add("STEP_NAME", s.Name, "step", "步骤名要用小写字母、数字和下划线，且不能叫 start", "a step's name is lower-case letters, digits and _, and not start")
	}
	if len(s.Ask) == 0 {
		c.add("STEP_ASKS_NOBODY", s.Name, "ask", "步骤没有写明问谁", "the step does not say whom it asks")
	}
	for _, r := range s.Reads {
		if !strings.HasPrefix(r, "/") {
			c.add("POINTER", s.Name, "reads", "字段要写成 /字段名", "a field is written /name")
		}
	}
	c.rule(s)
	c.objection(s)
	c.due(s)
	for src, w := range s.Weights {
		if w < 1 || w > 100 || !slices.Contains(s.Ask, src) {
			c.add("WEIGHT", s.Name, "ask", "权重是 1–100 的整数", "a weight is a whole number from 1 to 100")
			break
		}
	}
	if s.Draw < 0 || s.Draw > 0 && s.Rule.Kind == KOfN && s.Rule.K > s.Draw {
		c.add("DRAW", s.Name, "draw", "抽取人数不能少于需要的票数", "the lot draws fewer people than must approve")
	}
	for _, name := range s.DistinctFrom {
		if name == s.Name || c.def.Step(name) == nil {
			c.add("DISTINCT_UNKNOWN", s.Name, "distinct_from", "没有步骤“"+name+"”可以区分", "there is no other step "+name+" to be distinct from")
		}
	}
	for _, to := range s.SendBack {
		if to != Start && !c.def.Precedes(to, s.Name) {
			c.add("TARGET", s.Name, "send_back", "“"+to+"”不在这一步之前，不能退回到那里", to+" is not before this step, so nothing can be sent back to it")
		}
	}
	if (s.Strong) && !s.Link {
		c.add("STRONG_WITHOUT_LINK", s.Name, "strong", "strong 只对链接办理有意义", "strong has a meaning only where a link may decide")
	}
}

func (c *checker) rule(s *Step) {
	bad := func(zh, en string) { c.add("RULE", s.Name, "rule", zh, en) }
	r := s.Rule
	switch r.Kind {
	case Any, All, Objection:
	case KOfN:
		if r.K < 1 {
			bad("票数至少为 1", "k is at least 1")
		}
	case Percent, OfCast:
		if !r.Percent.valid() {
			bad("比例要大于 0、不大于 1", "a share is more than 0 and at most 1")
		}
	default:
		bad("不认识的规则", fmt.Sprintf("unknown rule %q", r.Kind))
	}
	if r.Score < 0 || r.Score > 1000 || r.Mean < 0 || r.Mean > r.Score || r.Score > 0 && r.Kind == Objection {
		bad("分数在 1 到 1000 之间，平均分不超过满分；公示不打分", "points are 1 to 1000, the mean at most as many; an objection window has none")
	}
	if r.Turnout != (Ratio{}) && !r.Turnout.valid() {
		bad("投票率要大于 0、不大于 1", "a turnout is more than 0 and at most 1")
	}
}

// objection: a public notice ends by time alone, and an objection has somewhere
// to go.
func (c *checker) objection(s *Step) {
	window := s.Rule.Kind == Objection
	if window != (s.OnDue.Then == ThenPass) {
		c.add("OBJECTION", s.Name, "on_due", "公示（objection）到期通过（then: pass），两者要一起写", "an objection window passes when it is due (then: pass); the two go together")
	}
	if window && len(s.SendBack) == 0 {
		c.add("OBJECTION", s.Name, "send_back", "公示要写明有异议时退回到哪一步", "an objection window says which step an objection goes back to")
	}
}

func (r Ratio) valid() bool { return r.Num > 0 && r.Den > 0 && r.Num <= r.Den && r.Den <= 1000 }

func (c *checker) due(s *Step) {
	bad := func(field, zh, en string) { c.add("DUE", s.Name, field, zh, en) }
	none := s.Due == Span{}
	if !none && (s.Due.N < 1 || !slices.Contains([]Unit{WorkingDays, BusinessHours, Minutes}, s.Due.Unit)) {
		bad("due", "期限要写成 2bd、8bh、36h 或 30m", "a due time is written 2bd, 8bh, 36h or 30m")
	}
	if none && (len(s.OnDue.Remind) > 0 || s.OnDue.Then != ThenNothing) {
		bad("on_due", "没有期限就没有到期处理", "without a due time nothing can be on_due")
	}
	last := 0
	for _, p := range s.OnDue.Remind {
		if p <= last || p > 100 {
			bad("on_due", "提醒要按 1%–100% 递增", "reminders rise from 1% to 100%")
			break
		}
		last = p
	}
	switch s.OnDue.Then {
	case ThenNothing, ThenRemind, ThenAbstain, ThenReject, ThenPass:
	case ThenReplace:
		if s.Draw == 0 {
			bad("on_due", "只有抽签的步骤才能换人（replace）", "only a step that draws lots replaces the silent")
		}
	case ThenEscalate, ThenWiden:
		if s.OnDue.Escalate == "" {
			bad("on_due", "没有写明升级给谁", "escalate does not say to whom")
		}
	default:
		bad("on_due", "不认识的到期处理", fmt.Sprintf("unknown action %q", s.OnDue.Then))
	}
}

func (c *checker) policy(p Policy) {
	if !slices.Contains([]Dedupe{"", DedupeOff, DedupeConsecutive, DedupeAnywhere}, p.Dedupe) {
		c.add("POLICY", "", "dedupe", "去重方式只有 off、consecutive、anywhere", "dedupe is off, consecutive or anywhere")
	}
	if !slices.Contains([]Mode{"", Redo, ReturnToMe}, p.Mode) {
		c.add("POLICY", "", "mode", "退回方式只有 redo、return_to_me", "mode is redo or return_to_me")
	}
	if p.WithdrawDays < 0 {
		c.add("POLICY", "", "withdraw_days", "天数不能是负数", "a number of days is not negative")
	}
	if o := c.def.CloseOut; o != nil && (!strings.HasPrefix(o.After, "/") || o.Due.N < 1) {
		c.add("CLOSE_OUT", "", "close_out", "结项要写明从哪个日期字段起、多长时间", "a close-out names the date field it counts from and how long")
	}
	if e := c.def.Expires; e != "" && !strings.HasPrefix(e, "/") {
		c.add("POINTER", "", "expires", "字段要写成 /字段名", "a field is written /name")
	}
	if p.MaxSendBack < 0 {
		c.add("POLICY", "", "max", "退回次数不能是负数", "max is not negative")
	}
}
