package flow

import (
	"errors"
	"time"
)

// Code names a refusal; the set is stable.
type Code string

// The refusals.
const (
	NotYourTask    Code = "NOT_YOUR_TASK"        // Detail: Who
	NoSuchTask     Code = "NO_SUCH_TASK"         //
	AlreadySettled Code = "ALREADY_SETTLED"      // Detail: Settled
	StaleForm      Code = "STALE_FORM"           // Detail: Stale
	SelfApproval   Code = "SELF_APPROVAL"        // Detail: Who
	NotDistinct    Code = "NOT_DISTINCT"         // Detail: Conflict
	WrongState     Code = "WRONG_STATE"          // Detail: Status
	NotRequester   Code = "NOT_REQUESTER"        //
	BadTarget      Code = "BAD_TARGET"           // Detail: Targets
	TooManyReturns Code = "TOO_MANY_RETURNS"     //
	NoAbstain      Code = "NO_ABSTAIN"           //
	LastVote       Code = "LAST_VOTE"            //
	DoorClosed     Code = "DOOR_CLOSED"          //
	NeedsProof     Code = "NEEDS_PROOF"          //
	NobodyToAsk    Code = "NOBODY_TO_ASK"        // Detail: Vacant
	SameUnit       Code = "SAME_UNIT"            // Detail: Who
	Interested     Code = "CONFLICT_OF_INTEREST" // Detail: Who
	StepFixed      Code = "STEP_FIXED"           //
	AlreadyAsked   Code = "ALREADY_ASKED"        // Detail: Who, those who cannot be asked
	TooManySigners Code = "TOO_MANY_SIGNERS"     //
	UndoTooLate    Code = "UNDO_TOO_LATE"        //
	TooSoon        Code = "TOO_SOON"             // Detail: Again
	Unresolved     Code = "UNRESOLVED"           // Detail: Remarks
	NotYours       Code = "NOT_YOURS"            //
	NoCloseOut     Code = "NO_CLOSE_OUT"         //
	ObjectionOnly  Code = "OBJECTION_ONLY"       //
	FieldFixed     Code = "FIELD_FIXED"          // Detail: Fields
	FieldRequired  Code = "FIELD_REQUIRED"       // Detail: Fields
	ScoreNeeded    Code = "SCORE_NEEDED"         //
	NotStoppable   Code = "NOT_STOPPABLE"        // Detail: Who, those who can
	StepUnmapped   Code = "STEP_UNMAPPED"        // Detail: Unmapped
	StepTwice      Code = "STEP_TWICE"           // Detail: Unmapped
)

// Refusal is a rule's no. Zh and En say what happened and what to do; Detail
// is the type named beside the code.
type Refusal struct {
	Code   Code
	Zh, En string
	Detail any
}

// Error implements error in English.
func (r *Refusal) Error() string { return string(r.Code) + ": " + r.En }

// AsRefusal finds a Refusal in err's chain.
func AsRefusal(err error) (*Refusal, bool) {
	var r *Refusal
	ok := errors.As(err, &r)
	return r, ok
}

type (
	// Who are the people and seats that can decide instead, if any.
	Who struct{ Electors []Elector }
	// Settled says who closed the task or request and when; By is empty for
	// a timer.
	Settled struct {
		By string
		At time.Time
	}
	// Stale says what changed between the revision read and the current one.
	Stale struct {
		Read, Current int
		Changes       []string // JSON pointers of leaves, sorted
	}
	// Conflict is the earlier step that the same person decided.
	Conflict struct {
		Step string
		Who  []Elector // who can decide instead
	}
	// Targets are the legal targets of a send-back from this task.
	Targets struct{ Steps []string }
	// Fields are JSON pointers.
	Fields struct{ Pointers []string }
	// Again says when it can be done.
	Again struct{ At time.Time }
	// Remarks are the numbers of the remarks that are to be resolved.
	Remarks struct{ Open []int }
	// Vacant names the step that finds nobody, and its seat expressions.
	Vacant struct {
		Step string
		Ask  []string
	}
)

func refuse(code Code, zh, en string, detail any) *Refusal {
	return &Refusal{Code: code, Zh: zh, En: en, Detail: detail}
}
