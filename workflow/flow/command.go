package flow

import "time"

// Facts is what the shell found out for one command. Decide writes what it
// uses into the events.
type Facts struct {
	Now time.Time
	// Electors by step name: every step that the command may open (in doubt
	// all of them). A step without an entry that must be opened is a fault of
	// the shell; an entry without electors is a vacant seat.
	Electors map[string][]Elector
	// Escalate by step name: the holders of OnDue.Escalate.
	Escalate map[string][]Elector
	// Empty are the holders of Policy.Empty.
	Empty []Elector
	// Guards by guard name, evaluated on the form the command leaves behind.
	Guards map[string]bool
	// Due by step name, as if the step opened now.
	Due map[string]Due
}

// Command is something somebody wants to do to a request.
type Command interface{ actor() Actor }

type (
	// Submit opens the request; By is the requester.
	Submit struct {
		By   Actor
		Form Form // Rev 1
		Desk map[string]JSON
	}
	// Cast approves, rejects or abstains. FormRev is the revision the voter
	// had before his eyes.
	Cast struct {
		By      Actor
		Task    string
		Verdict Verdict
		FormRev int
		Proved  bool // a second proof was given, for Strong steps by link
		Note    *Note
	}
	// SendBack returns the request to Start or to an earlier step; an empty
	// Mode is the definition's.
	SendBack struct {
		By      Actor
		Task    string
		To      string
		Mode    Mode
		FormRev int
		Proved  bool
		Note    *Note
	}
	// Resubmit brings a new revision; Form.Rev is the current one plus one,
	// so an edit of an older revision is refused.
	Resubmit struct {
		By   Actor
		Form Form
		Desk map[string]JSON
		Note *Note
	}
	// Withdraw ends the request by its requester.
	Withdraw struct {
		By   Actor
		Note *Note
	}
	// Fire says that a timer is over; a stale one does nothing.
	Fire struct {
		Timer Timer
	}
	// Comment adds a remark; whether By may is the shell's to judge.
	Comment struct {
		By   Actor
		Task string
		Note Note
	}
	// Refresh asks the open steps' seats again after a change of holders:
	// the tasks of those who left go to those who came.
	Refresh struct {
		By Actor
	}
)

func (c Submit) actor() Actor   { return c.By }
func (c Cast) actor() Actor     { return c.By }
func (c SendBack) actor() Actor { return c.By }
func (c Resubmit) actor() Actor { return c.By }
func (c Withdraw) actor() Actor { return c.By }
func (c Fire) actor() Actor     { return Actor{Door: Timed} }
func (c Comment) actor() Actor  { return c.By }
func (c Refresh) actor() Actor  { return c.By }
