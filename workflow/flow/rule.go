package flow

// RuleKind names a threshold.
type RuleKind string

// The thresholds. They are one algebra: a needed weight, computed from the
// votes, and the question whether it is certain to be reached or missed.
const (
	Any     RuleKind = "any"     // one approval
	All     RuleKind = "all"     // everybody who does not abstain
	KOfN    RuleKind = "k_of_n"  // K approvals
	Percent RuleKind = "percent" // Percent of all weight
	OfCast  RuleKind = "of_cast" // Percent of the weight cast for or against
	// Objection is a public notice: it passes by the deadline unless somebody
	// objects, which sends the request back.
	Objection RuleKind = "objection"
)

// Rule says when a step has passed. The zero Rule is invalid; see Check.
type Rule struct {
	Kind    RuleKind `json:"kind"`
	K       int      `json:"k,omitempty"`
	Percent Ratio    `json:"percent,omitzero"`
	// Turnout is the share of all weight that must be cast, abstentions
	// included, silence excluded, for a pass.
	Turnout Ratio `json:"turnout,omitzero"`
	// Veto makes one rejection final; such a step passes only when nobody is
	// left who could object.
	Veto bool `json:"veto,omitempty"`
	// Abstain allows people to abstain; silence at the deadline may always be
	// turned into an abstention by the definition.
	Abstain bool `json:"abstain,omitempty"`
	// Score has everybody who approves or rejects give up to so many points; a
	// pass needs a mean of at least Mean. 0: no points.
	Score int `json:"score,omitempty"`
	Mean  int `json:"mean,omitempty"`
	// InTurn asks one elector after the other.
	InTurn bool `json:"in_turn,omitempty"`
}

// Ratio is Num/Den, exact: two thirds are not 66 percent.
type Ratio struct {
	Num int `json:"num"`
	Den int `json:"den"`
}

// of is the smallest whole weight that is at least the ratio of total.
func (r Ratio) of(total int) int {
	if r.Den <= 0 {
		return 0
	}
	return (total*r.Num + r.Den - 1) / r.Den
}

// Tally is the weight behind each answer of one step.
type Tally struct {
	Approve int `json:"approve"`
	Reject  int `json:"reject"`
	Abstain int `json:"abstain"` // said so
	Silent  int `json:"silent"`  // abstained by the deadline
	Open    int `json:"open"`
	Score   int `json:"score,omitempty"`  // points, each times its weight
	Scored  int `json:"scored,omitempty"` // the weight behind them
}

func (t Tally) total() int { return t.Approve + t.Reject + t.Abstain + t.Silent + t.Open }

// Outcome is how a step stands or ended.
type Outcome string

// The outcomes of a step.
const (
	Undecided Outcome = ""
	Passed    Outcome = "passed"
	Failed    Outcome = "failed"
	Dropped   Outcome = "dropped" // closed without a result: sent back, form changed, request closed
)

// Settle says whether the step's outcome is certain whatever the open votes
// will be. Because it answers only when certain, the outcome does not depend
// on the order of the votes. A step without any weight, or with a quorum larger
// than its electorate, is undecided: a vacant seat is not a rejection.
func (r Rule) Settle(t Tally) Outcome {
	if r.Kind == Objection {
		return Undecided // time alone settles it
	}
	if r.Veto && t.Reject > 0 {
		return Failed
	}
	if r.Short(t) > 0 {
		return Undecided
	}
	best := Tally{Approve: t.Approve + t.Open, Reject: t.Reject, Abstain: t.Abstain, Silent: t.Silent, Score: t.Score + t.Open*r.Score, Scored: t.Scored + t.Open}
	if !r.passes(best) {
		return Failed
	}
	if t.Open == 0 {
		return Passed // the best case is the case
	}
	if r.Veto {
		return Undecided
	}
	// The worst case for each threshold: the open votes reject without a point,
	// or stay silent where that lowers the turnout.
	worst := Tally{Approve: t.Approve, Reject: t.Reject + t.Open, Abstain: t.Abstain, Silent: t.Silent, Score: t.Score, Scored: t.Scored + t.Open}
	silent := Tally{Approve: t.Approve, Reject: t.Reject, Abstain: t.Abstain, Silent: t.Silent + t.Open, Score: t.Score, Scored: t.Scored}
	if r.passes(worst) && r.passes(silent) {
		return Passed
	}
	return Undecided
}

// Short is the weight by which the electorate is too small for the rule ever
// to be met.
func (r Rule) Short(t Tally) int {
	need := 1
	switch r.Kind {
	case KOfN:
		need = r.K
	case Objection:
		need = 0
	}
	return max(0, need-t.total())
}

// passes judges a tally without open votes. Nothing passes without one
// approval.
func (r Rule) passes(t Tally) bool {
	if t.Approve == 0 || t.Approve+t.Reject+t.Abstain < r.Turnout.of(t.total()) {
		return false
	}
	return t.Approve >= r.need(t) && (r.Score == 0 || t.Scored > 0 && t.Score >= r.Mean*t.Scored)
}

// need is the approving weight that a finished tally must reach.
func (r Rule) need(t Tally) int {
	switch r.Kind {
	case Any:
		return 1
	case All:
		return t.Approve + t.Reject
	case KOfN:
		return r.K
	case Percent:
		return r.Percent.of(t.total())
	case OfCast:
		return r.Percent.of(t.Approve + t.Reject)
	}
	return t.total() + 1
}

// Lacking is the least approving weight still missing for a pass if nobody
// else answers otherwise; 0 when it has passed.
func (r Rule) Lacking(t Tally) int {
	if r.Kind == Objection {
		return 0
	}
	for n := 0; n <= t.Open; n++ {
		try := t
		try.Approve, try.Open = t.Approve+n, t.Open-n
		try.Score, try.Scored = t.Score+n*r.Score, t.Scored+n
		if r.Settle(try) == Passed {
			return n
		}
	}
	return t.Open
}
