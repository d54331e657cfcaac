package flow

// The events of the moves that people make beside voting.
type (
	// Transferred hands an open task to another person.
	Transferred struct {
		Step string  `json:"step"`
		Task string  `json:"task"`
		To   Opening `json:"to"`
		Note *Note   `json:"note,omitempty"`
	}
	// SignersAdded asks more people on behalf of an elector: before he
	// decides, after he approved, or beside him.
	SignersAdded struct {
		Step  string    `json:"step"`
		Task  string    `json:"task"`  // of the elector who added them
		Group string    `json:"group"` // "<task>+<n>"
		Place Place     `json:"place"`
		Rule  Rule      `json:"rule"`
		Tasks []Opening `json:"tasks"`
		Note  *Note     `json:"note,omitempty"`
	}
	// SignersDone ends a group of added signers; Dropped: nobody of it is left
	// to answer, or its time is over.
	SignersDone struct {
		Group   string   `json:"group"`
		Outcome Outcome  `json:"outcome"`
		Tally   Tally    `json:"tally"`
		Void    []string `json:"void,omitempty"`
	}
	// Widened asks more people in a late step, beside those it asked.
	Widened struct {
		Step     string      `json:"step"`
		Round    int         `json:"round"`
		To       string      `json:"to"` // seat expression
		Tasks    []Opening   `json:"tasks"`
		Excluded []Exclusion `json:"excluded,omitempty"`
	}
	// Reopened asks somebody again who took his vote back, with those whose
	// share he had answered.
	Reopened struct {
		Step  string    `json:"step"`
		Round int       `json:"round"`
		Tasks []Opening `json:"tasks"`
	}
	// StepCarried passes a step as it was passed in the request that this one
	// amends: nothing that it reads has changed.
	StepCarried struct {
		Step  string        `json:"step"`
		Rule  Rule          `json:"rule"`
		Reads []string      `json:"reads,omitempty"`
		Votes []CarriedVote `json:"votes"`
	}
	// Nudged says that the requester asks those with open tasks to hurry.
	Nudged struct {
		N     int      `json:"n"` // from 1
		Tasks []string `json:"tasks"`
	}
	// Copied lets people know and read; persons in order of naming.
	Copied struct {
		People []string `json:"people"`
		Note   *Note    `json:"note,omitempty"`
	}
	// Resolved settles a blocking remark.
	Resolved struct {
		N    int   `json:"n"`
		Note *Note `json:"note,omitempty"`
	}
	// ClosedOut hands in the report on what was approved.
	ClosedOut struct {
		Report Form  `json:"report"`
		Note   *Note `json:"note,omitempty"`
	}
)

// Place says when added signers are asked.
type Place string

// The places.
const (
	Before   Place = "before"
	After    Place = "after"
	Parallel Place = "parallel"
)

// Base is the approved request that an amendment starts from: what each of
// its passed steps had read, and who had approved it.
type Base struct {
	Request string     `json:"request"`
	Head    string     `json:"head"` // of its event chain when it was amended, hex
	Rev     int        `json:"rev"`  // the revision in force
	Steps   []BaseStep `json:"steps"`
}

// BaseStep is a step that the amended request has passed.
type BaseStep struct {
	Step  string        `json:"step"`
	Read  string        `json:"read"` // digest of what it reads, see ReadDigest
	Rule  Rule          `json:"rule"`
	Reads []string      `json:"reads,omitempty"`
	Votes []CarriedVote `json:"votes"`
}

// CarriedVote is a vote of the amended request.
type CarriedVote struct {
	Task    string  `json:"task"` // in the amended request
	Elector Elector `json:"elector"`
	By      Actor   `json:"by"`
	Verdict Verdict `json:"verdict"`
	Silent  bool    `json:"silent,omitempty"`
	Score   int     `json:"score,omitempty"` // where the rule asks for one
}

// Drawn proves a lot: anybody who ranks Of by Draw with the seed gets the
// first N as those who were asked.
type Drawn struct {
	Seed string   `json:"seed"` // hex: head of the request's chain before the draw
	Of   []string `json:"of"`   // persons, in order of the draw
	N    int      `json:"n"`
}
