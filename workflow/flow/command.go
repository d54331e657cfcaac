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
	// Barred by step and person: why somebody must not decide there (SAME_UNIT
	// or CONFLICT_OF_INTEREST).
	Barred map[string]map[string]Code
	// Seed of lots: hex of the head of the request's chain.
	Seed string
	// CC and Stop are the holders of Policy.CC and Policy.Stop.
	CC, Stop []Elector
	// Expires is the date of Definition.Expires in the form that the command
	// leaves behind; zero: none.
	Expires time.Time
	// CloseOut is when the report would be due; zero: the form names no date.
	CloseOut Due
	// Held says of people who were asked by name (transfer, added signers)
	// whether they still hold the seat under which they were: key Elector.Key.
	Held map[string]bool
}

// Key names an elector in Facts.Held.
func (e Elector) Key() string { return e.Person + "@" + e.Seat }

// Command is something somebody wants to do to a request.
type Command interface{ actor() Actor }

type (
	// Submit opens the request; By is the requester.
	Submit struct {
		By   Actor
		Form Form // Rev 1
		Desk map[string]JSON
		Base *Base // the approved request that this one amends
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
		Score   *int // nil: none
		// Edit is a new revision by an elector who may edit fields; the vote
		// signs it. Desk are the desks' facts for it.
		Edit *Form
		Desk map[string]JSON
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
		By       Actor
		Task     string
		Reply    int  // number of the remark that it answers; 0: none
		Blocking bool // nobody approves before it is resolved; for electors
		Note     Note
	}
	// Resolve settles a blocking remark: by whom it was made, or by an elector
	// who is asked now.
	Resolve struct {
		By   Actor
		N    int
		Note *Note
	}
	// Transfer hands a task to somebody else, who decides in the same place.
	Transfer struct {
		By   Actor
		Task string
		To   Elector
		Note *Note
	}
	// AddSigners asks more people beside the elector of the task. Rule is Any
	// or All, with or without InTurn.
	AddSigners struct {
		By    Actor
		Task  string
		Place Place
		Rule  Rule
		Who   []Elector
		Note  *Note
	}
	// Undo takes one's own vote back, within UndoWithin and while nobody has
	// decided after it.
	Undo struct {
		By     Actor
		Task   string
		Proved bool // see Cast
	}
	// Disown says that a decision entered from paper was not one's own.
	Disown struct {
		By   Actor
		Task string
		Note *Note
	}
	// Nudge asks those with open tasks to hurry.
	Nudge struct{ By Actor }
	// Copy lets people know and read.
	Copy struct {
		By     Actor
		People []string
		Note   *Note
	}
	// Stop ends what was approved, or an open request, from above.
	Stop struct {
		By   Actor
		Note *Note
	}
	// Supersede ends an approved request whose amendment was approved.
	Supersede struct {
		By      Actor
		Request string
	}
	// CloseOut hands in the report on what was approved; a second one replaces
	// the first.
	CloseOut struct {
		By     Actor
		Report Form
		Note   *Note
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

func (c Resolve) actor() Actor    { return c.By }
func (c Transfer) actor() Actor   { return c.By }
func (c AddSigners) actor() Actor { return c.By }
func (c Undo) actor() Actor       { return c.By }
func (c Disown) actor() Actor     { return c.By }
func (c Nudge) actor() Actor      { return c.By }
func (c Copy) actor() Actor       { return c.By }
func (c Stop) actor() Actor       { return c.By }
func (c Supersede) actor() Actor  { return c.By }
func (c CloseOut) actor() Actor   { return c.By }
