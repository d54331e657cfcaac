package flow

import "time"

// Actor is who did something and through which door. Person is an opaque
// identifier, empty for a timer.
type Actor struct {
	Person string `json:"person,omitempty"`
	Seat   string `json:"seat,omitempty"`
	// For is the person on whose behalf Person acts by delegation; whatever
	// binds For (not the requester, distinct) binds Person and For.
	For      string `json:"for,omitempty"`
	Door     Door   `json:"door,omitempty"`
	Recorder string `json:"recorder,omitempty"` // who entered a paper decision
	Scan     string `json:"scan,omitempty"`     // SHA-256 of the signed paper's scan, hex
}

// Door is the way a command came in.
type Door string

// The doors; a timer and the system are nobody's act.
const (
	Console Door = "console"
	Link    Door = "link"
	Paper   Door = "paper"
	Timed   Door = "timer"
	System  Door = "system"
)

// Note names an erasable text; MAC is its keyed digest, so that the chain
// still proves the text until it is erased.
type Note struct {
	Ref string `json:"ref"`
	MAC string `json:"mac"`
}

// Form is one revision of a request's form as the engine sees it: a digest
// per leaf (see Leaves), keyed by JSON pointer. Digests of personal fields are
// keyed by the shell.
type Form struct {
	Rev     int               `json:"rev"`
	Digests map[string]string `json:"digests"`
}

// Elector is somebody who is asked.
type Elector struct {
	Person string `json:"person"`
	Seat   string `json:"seat"`
	For    string `json:"for,omitempty"`    // see Actor.For
	Weight int    `json:"weight,omitempty"` // 0 counts as 1
}

func (e Elector) weight() int { return max(e.Weight, 1) }

// Origin says why a task exists.
type Origin string

// The origins of tasks.
const (
	ByRule     Origin = "rule"
	ByDedupe   Origin = "dedupe"   // answered by an earlier approval of the same person
	ByCarry    Origin = "carry"    // answered by this person's vote of an earlier round
	ByEscalate Origin = "escalate" // the step was late
	ByRefresh  Origin = "refresh"  // the seat's holder changed
	ByWiden    Origin = "widen"    // the step was late and asks more people
	ByTransfer Origin = "transfer" // another elector handed it over
	BySigner   Origin = "signer"   // another elector wanted to hear him
	ByUndo     Origin = "undo"     // the vote before was taken back
	ByReplace  Origin = "replace"  // the one drawn before was silent
	ByAmend    Origin = "amend"    // answered in the request that this one amends
)

// Opening is a task as it is opened. Vote is the task whose vote answers it
// at once (Origin carry or dedupe).
type Opening struct {
	Task    string  `json:"task"` // "<step>#<round>.<n>"
	Elector Elector `json:"elector"`
	Origin  Origin  `json:"origin"`
	Vote    string  `json:"vote,omitempty"`
	// Group joins alternatives: the first of a group to decide decides for
	// it, with Weight counted once.
	Group string `json:"group,omitempty"`
	// Within is the group of added signers that the task belongs to.
	Within string `json:"within,omitempty"`
	Parent string `json:"parent,omitempty"` // task that this one takes over from or advises
	// Waits says that others come first.
	Waits bool `json:"waits,omitempty"`
}

// Exclusion is an elector who may not decide, with the rule that says so.
type Exclusion struct {
	Elector Elector `json:"elector"`
	Why     Code    `json:"why"` // SELF_APPROVAL, NOT_DISTINCT, SAME_UNIT or CONFLICT_OF_INTEREST
	Step    string  `json:"step,omitempty"`
}

// Event is one thing that happened to a request. It survives a round trip
// through JSON unchanged; At is UTC in microseconds.
type Event struct {
	At   time.Time
	By   Actor
	Body Body
}

// Body is what happened; its type names are stable.
type Body interface{ Type() string }

type (
	// Submitted opens the request.
	Submitted struct {
		Key       string          `json:"key"`
		Hash      string          `json:"hash"`
		Requester string          `json:"requester"`
		Form      Form            `json:"form"`
		Desk      map[string]JSON `json:"desk,omitempty"` // facts of the desks at that moment
		Amends    *Base           `json:"amends,omitempty"`
		Expires   time.Time       `json:"expires,omitzero"` // see Definition.Expires
	}
	// ChoiceMade records which branch of a choice the form took.
	ChoiceMade struct {
		Choice string          `json:"choice"`
		Branch int             `json:"branch"` // -1: none
		Guards map[string]bool `json:"guards"` // as far as they were read
	}
	// StepOpened asks a step; everything that decides its outcome is in it.
	StepOpened struct {
		Step     string      `json:"step"`
		Round    int         `json:"round"` // from 1
		Rule     Rule        `json:"rule"`
		Reads    []string    `json:"reads,omitempty"`
		OnDue    OnDue       `json:"on_due,omitzero"`
		Due      Due         `json:"due,omitzero"`
		Tasks    []Opening   `json:"tasks,omitempty"`
		Excluded []Exclusion `json:"excluded,omitempty"`
		Fallback bool        `json:"fallback,omitempty"` // asked Policy.Empty
		Drawn    *Drawn      `json:"drawn,omitempty"`    // how the lot fell
	}
	// VoteCast answers a task. Read is the digest of what the vote signs.
	VoteCast struct {
		Step    string  `json:"step"`
		Task    string  `json:"task"`
		Verdict Verdict `json:"verdict"`
		FormRev int     `json:"form_rev"`
		Read    string  `json:"read"`
		Silent  bool    `json:"silent,omitempty"` // cast by the deadline
		Score   int     `json:"score,omitempty"`  // where the rule asks for one
		Note    *Note   `json:"note,omitempty"`
	}
	// VoteCarried keeps a vote for a new revision: nothing it read changed.
	VoteCarried struct {
		Step string `json:"step"`
		Task string `json:"task"`
		From int    `json:"from"`
		To   int    `json:"to"`
	}
	// VoteLapsed takes a vote out. Changed are the leaves it had read; empty
	// when the vote fell for another reason.
	VoteLapsed struct {
		Step    string   `json:"step"`
		Task    string   `json:"task"`
		From    int      `json:"from"`
		To      int      `json:"to"`
		Changed []string `json:"changed,omitempty"`
		Why     Why      `json:"why"`
	}
	// StepSettled ends a round of a step; Void are its tasks that were open.
	StepSettled struct {
		Step    string   `json:"step"`
		Round   int      `json:"round"`
		Outcome Outcome  `json:"outcome"`
		Tally   Tally    `json:"tally"`
		Void    []string `json:"void,omitempty"`
		Why     Why      `json:"why,omitempty"`
	}
	// SentBack returns the request to its requester or to an earlier step.
	SentBack struct {
		Step    string `json:"step"`
		Task    string `json:"task"`
		To      string `json:"to"`
		Mode    Mode   `json:"mode"`
		FormRev int    `json:"form_rev"`
		Note    *Note  `json:"note,omitempty"`
	}
	// Resubmitted is a new revision of the form.
	Resubmitted struct {
		Form    Form            `json:"form"`
		Changed []string        `json:"changed,omitempty"` // leaves, against the revision before
		Desk    map[string]JSON `json:"desk,omitempty"`
		Note    *Note           `json:"note,omitempty"`
		Expires time.Time       `json:"expires,omitzero"`
	}
	// Reminded says that the electors with open tasks are to be told again.
	Reminded struct {
		Step  string   `json:"step"`
		Round int      `json:"round"`
		N     int      `json:"n"` // which reminder, from 1
		Tasks []string `json:"tasks,omitempty"`
	}
	// FellDue says that a step's time is over and what follows from it; for
	// ThenRemind this is the reminder itself.
	FellDue struct {
		Step  string   `json:"step"`
		Round int      `json:"round"`
		Then  Then     `json:"then"`
		Tasks []string `json:"tasks,omitempty"` // open when it happened
	}
	// Escalated hands what is still open in a late step to another seat.
	Escalated struct {
		Step     string      `json:"step"`
		Round    int         `json:"round"`
		To       string      `json:"to"` // seat expression
		Void     []string    `json:"void,omitempty"`
		Tasks    []Opening   `json:"tasks"`
		Excluded []Exclusion `json:"excluded,omitempty"`
	}
	// Reseated follows a change of the people behind an open step's seats.
	Reseated struct {
		Step     string      `json:"step"`
		Round    int         `json:"round"`
		Void     []string    `json:"void,omitempty"`
		Tasks    []Opening   `json:"tasks,omitempty"`
		Excluded []Exclusion `json:"excluded,omitempty"`
	}
	// Commented adds a remark, number N of the request from 1; Task is what it
	// is about, or empty. A blocking one has to be resolved before anybody
	// approves.
	Commented struct {
		N        int    `json:"n"`
		Task     string `json:"task,omitempty"`
		Reply    int    `json:"reply,omitempty"` // the remark that it answers
		Blocking bool   `json:"blocking,omitempty"`
		Note     Note   `json:"note"`
	}
	// Closed ends the request. Effects are to be carried out, in order.
	Closed struct {
		Status   Status   `json:"status"`
		Effects  []string `json:"effects,omitempty"`
		Note     *Note    `json:"note,omitempty"`
		CloseOut Due      `json:"close_out,omitzero"` // of an approval that owes a report
		By       string   `json:"by,omitempty"`       // of SUPERSEDED: the request that took its place
	}
)

// Why is the reason for which a vote lapsed or a step was dropped.
type Why string

// The reasons.
const (
	WhyChanged   Why = "form_changed"
	WhyRedo      Why = "redo"
	WhySentBack  Why = "sent_back"
	WhyUnreached Why = "not_reached" // an earlier step is asked again, or a branch is no longer taken
	WhyClosed    Why = "closed"
	WhyNotAsked  Why = "not_asked" // the voter is not among those asked this time
	WhyUndone    Why = "undone"    // the voter took it back
	WhyObjected  Why = "objected"  // the decision on paper was not his
	WhyMigrated  Why = "migrated"  // the new version has no such step
	WhyGone      Why = "gone"      // the person asked no longer holds a seat
)

// Verdict is an answer to a task.
type Verdict string

// The verdicts. Sending back is not a vote, it settles a task without one.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
	Abstain Verdict = "abstain"
	Return  Verdict = "send_back"
)

// Due is when a step is due and why then; the zero Due is never.
type Due struct {
	At     time.Time   `json:"at,omitzero"`
	Remind []time.Time `json:"remind,omitempty"` // one for each of OnDue.Remind
	By     string      `json:"by,omitempty"`     // the calendar and rule that gave it
}

func (d Due) clean() Due {
	out := Due{At: micro(d.At), By: d.By}
	for _, t := range d.Remind {
		out.Remind = append(out.Remind, micro(t))
	}
	return out
}

// micro is UTC in microseconds, what both databases and JSON keep.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
