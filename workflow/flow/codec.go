package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

type envelope struct {
	Type string          `json:"type"`
	At   time.Time       `json:"at"`
	By   Actor           `json:"by"`
	Body json.RawMessage `json:"body"`
}

// MarshalJSON writes {"type","at","by","body"}.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Body == nil {
		return nil, fmt.Errorf("flow: an event without a body")
	}
	body, err := json.Marshal(e.Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{Type: e.Body.Type(), At: e.At, By: e.By, Body: body})
}

// UnmarshalJSON reads what MarshalJSON wrote; an unknown type or field is an
// error, for a fold that skipped it would be wrong.
func (e *Event) UnmarshalJSON(b []byte) error {
	var env envelope
	if err := strict(b, &env); err != nil {
		return err
	}
	read, ok := bodies[env.Type]
	if !ok {
		return fmt.Errorf("flow: unknown event type %q", env.Type)
	}
	body, err := read(env.Body)
	if err != nil {
		return fmt.Errorf("flow: event %s: %w", env.Type, err)
	}
	*e = Event{At: micro(env.At), By: env.By, Body: body}
	return nil
}

var bodies = map[string]func([]byte) (Body, error){
	"submitted":    reader[Submitted],
	"choice_made":  reader[ChoiceMade],
	"step_opened":  reader[StepOpened],
	"vote_cast":    reader[VoteCast],
	"vote_carried": reader[VoteCarried],
	"vote_lapsed":  reader[VoteLapsed],
	"step_settled": reader[StepSettled],
	"sent_back":    reader[SentBack],
	"resubmitted":  reader[Resubmitted],
	"reminded":     reader[Reminded],
	"fell_due":     reader[FellDue],
	"escalated":    reader[Escalated],
	"reseated":     reader[Reseated],
	"commented":    reader[Commented],
	"closed":       reader[Closed],

	"transferred":   reader[Transferred],
	"signers_added": reader[SignersAdded],
	"signers_done":  reader[SignersDone],
	"widened":       reader[Widened],
	"reopened":      reader[Reopened],
	"step_carried":  reader[StepCarried],
	"nudged":        reader[Nudged],
	"copied":        reader[Copied],
	"resolved":      reader[Resolved],
	"closed_out":    reader[ClosedOut],
	"migrated":      reader[Migrated],
	"rescheduled":   reader[Rescheduled],
	"replaced":      reader[Replaced],
}

// EventTypes lists the types of all that can happen to a request.
func EventTypes() []string { return slices.Sorted(maps.Keys(bodies)) }

func reader[T Body](b []byte) (Body, error) {
	var v T
	err := strict(b, &v)
	return v, err
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Type implements Body.
func (Submitted) Type() string { return "submitted" }

// Type implements Body.
func (ChoiceMade) Type() string { return "choice_made" }

// Type implements Body.
func (StepOpened) Type() string { return "step_opened" }

// Type implements Body.
func (VoteCast) Type() string { return "vote_cast" }

// Type implements Body.
func (VoteCarried) Type() string { return "vote_carried" }

// Type implements Body.
func (VoteLapsed) Type() string { return "vote_lapsed" }

// Type implements Body.
func (StepSettled) Type() string { return "step_settled" }

// Type implements Body.
func (SentBack) Type() string { return "sent_back" }

// Type implements Body.
func (Resubmitted) Type() string { return "resubmitted" }

// Type implements Body.
func (Reminded) Type() string { return "reminded" }

// Type implements Body.
func (FellDue) Type() string { return "fell_due" }

// Type implements Body.
func (Escalated) Type() string { return "escalated" }

// Type implements Body.
func (Reseated) Type() string { return "reseated" }

// Type implements Body.
func (Commented) Type() string { return "commented" }

// Type implements Body.
func (Closed) Type() string { return "closed" }

// Type implements Body.
func (Transferred) Type() string { return "transferred" }

// Type implements Body.
func (SignersAdded) Type() string { return "signers_added" }

// Type implements Body.
func (SignersDone) Type() string { return "signers_done" }

// Type implements Body.
func (Widened) Type() string { return "widened" }

// Type implements Body.
func (Reopened) Type() string { return "reopened" }

// Type implements Body.
func (StepCarried) Type() string { return "step_carried" }

// Type implements Body.
func (Nudged) Type() string { return "nudged" }

// Type implements Body.
func (Copied) Type() string { return "copied" }

// Type implements Body.
func (Resolved) Type() string { return "resolved" }

// Type implements Body.
func (ClosedOut) Type() string { return "closed_out" }
