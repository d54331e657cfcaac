package flow

import (
	"maps"
	"slices"
	"time"
)

// Status is how a request stands.
type Status string

// The statuses. Only OPEN has open tasks. What is APPROVED can still be
// stopped, superseded by an amendment and closed out.
const (
	New        Status = "" // before Submitted
	Open       Status = "OPEN"
	Returned   Status = "RETURNED" // the requester is to resubmit
	Approved   Status = "APPROVED"
	Rejected   Status = "REJECTED"
	Withdrawn  Status = "WITHDRAWN"
	Stopped    Status = "STOPPED"    // what had been approved is not to take place
	Superseded Status = "SUPERSEDED" // an approved amendment took its place
	Expired    Status = "EXPIRED"    // not decided by the day it was for
)

// Final says that nobody is asked any more.
func (s Status) Final() bool { return s != New && s != Open && s != Returned }

// State is a request: the fold of its events. Its slices are in the order of
// the events; nobody outside this package writes to it.
type State struct {
	Status    Status          `json:"status"`
	Key       string          `json:"key"`
	Hash      string          `json:"hash"`
	Requester string          `json:"requester"`
	Forms     []Form          `json:"forms"` // Forms[i].Rev == i+1; the last is current
	Steps     []StepState     `json:"steps"` // one per step, in the order of first opening
	Tasks     []Task          `json:"tasks"` // all that ever were
	Votes     []Vote          `json:"votes"` // all that ever were
	Choices   []ChoiceMade    `json:"choices"`
	Back      *SentBack       `json:"back,omitempty"` // the send-back that is being answered
	SendBacks int             `json:"send_backs"`
	Desk      map[string]JSON `json:"desk,omitempty"`
	Amends    *Base           `json:"amends,omitempty"`
	Groups    []SignerGroup   `json:"groups,omitempty"` // all that ever were
	Remarks   []Remark        `json:"remarks,omitempty"`
	Copied    []string        `json:"copied,omitempty"` // persons who may read
	Nudges    int             `json:"nudges,omitempty"`
	NudgedAt  time.Time       `json:"nudged_at,omitzero"`
	CloseOut  *CloseOutState  `json:"close_out,omitempty"` // what an approval owes
	By        string          `json:"by,omitempty"`        // of SUPERSEDED: the amendment
	Last      string          `json:"last,omitempty"`      // the step that passed last
	ExpiresAt time.Time       `json:"expires_at,omitzero"`
	OpenedAt  time.Time       `json:"opened_at,omitzero"`
	ClosedAt  time.Time       `json:"closed_at,omitzero"`
	ClosedBy  string          `json:"closed_by,omitempty"`
	Seq       int             `json:"seq"` // number of events folded
}

// StepState is the newest round of a step.
type StepState struct {
	Name      string      `json:"name"`
	Round     int         `json:"round"`
	Status    StepStatus  `json:"status"`
	Rule      Rule        `json:"rule"`
	Reads     []string    `json:"reads,omitempty"`
	OnDue     OnDue       `json:"on_due,omitzero"`
	Due       Due         `json:"due,omitzero"`
	Reminded  []int       `json:"reminded,omitempty"`
	Overdue   bool        `json:"overdue,omitempty"` // what happens when due has happened
	Excluded  []Exclusion `json:"excluded,omitempty"`
	OpenedAt  time.Time   `json:"opened_at"`
	SettledAt time.Time   `json:"settled_at,omitzero"`
	SettledBy string      `json:"settled_by,omitempty"`
	Why       Why         `json:"why,omitempty"`
	Tasks     int         `json:"tasks"` // numbers given out in this round
	Drawn     *Drawn      `json:"drawn,omitempty"`
}

// SignerGroup are the people whom an elector asked beside himself. They have
// a rule of their own; the step passes when its rule and every group pass.
type SignerGroup struct {
	ID      string  `json:"id"`
	Step    string  `json:"step"`
	Round   int     `json:"round"`
	Parent  string  `json:"parent"` // the task of the elector
	Place   Place   `json:"place"`
	Rule    Rule    `json:"rule"`
	Outcome Outcome `json:"outcome,omitempty"`
}

// Remark is a comment as far as the rules care.
type Remark struct {
	N        int    `json:"n"` // from 1
	By       string `json:"by"`
	Task     string `json:"task,omitempty"`
	Reply    int    `json:"reply,omitempty"`
	Blocking bool   `json:"blocking,omitempty"`
	Resolved bool   `json:"resolved,omitempty"`
}

// CloseOutState is what the requester of an approved thing owes.
type CloseOutState struct {
	Due      Due       `json:"due"`
	Reminded []int     `json:"reminded,omitempty"`
	Overdue  bool      `json:"overdue,omitempty"`
	DoneAt   time.Time `json:"done_at,omitzero"`
	Report   Form      `json:"report,omitzero"`
}

// Owes says that the report is late and missing.
func (s *State) Owes() bool {
	return s.Status == Approved && s.CloseOut != nil && s.CloseOut.Overdue && s.CloseOut.DoneAt.IsZero()
}

// StepStatus is how a step's newest round stands.
type StepStatus string

// The statuses of a step. A dropped or lapsed one is asked again when the
// request comes to it.
const (
	StepOpen    StepStatus = "open"
	StepPassed  StepStatus = "passed"
	StepFailed  StepStatus = "failed"
	StepDropped StepStatus = "dropped"
	StepLapsed  StepStatus = "lapsed" // had passed; a vote it rested on lapsed
)

// TaskState is how a task stands.
type TaskState string

// The states of a task. Waiting is for signers who come after another.
const (
	TaskWaiting TaskState = "waiting"
	TaskOpen    TaskState = "open"
	TaskDone    TaskState = "done"
	TaskVoid    TaskState = "void"
)

// Task is one elector's share of a step's round.
type Task struct {
	ID       string    `json:"id"`
	Step     string    `json:"step"`
	Round    int       `json:"round"`
	Elector  Elector   `json:"elector"`
	State    TaskState `json:"state"`
	Verdict  Verdict   `json:"verdict,omitempty"` // of a done task
	Origin   Origin    `json:"origin"`
	Group    string    `json:"group,omitempty"`
	Within   string    `json:"within,omitempty"` // the group of added signers
	Parent   string    `json:"parent,omitempty"`
	OpenedAt time.Time `json:"opened_at"`
	DueAt    time.Time `json:"due_at,omitzero"`
	ClosedAt time.Time `json:"closed_at,omitzero"`
	ClosedBy string    `json:"closed_by,omitempty"` // person; empty: a timer
	Why      Why       `json:"why,omitempty"`       // of a void task
}

// Vote is an answer that was given. It counts while Live.
type Vote struct {
	Task    string    `json:"task"` // unique among votes
	Step    string    `json:"step"`
	Round   int       `json:"round"`
	Elector Elector   `json:"elector"`
	By      Actor     `json:"by"`
	Verdict Verdict   `json:"verdict"`
	Silent  bool      `json:"silent,omitempty"`
	At      time.Time `json:"at"`
	// CastRev is the revision that was voted on, Rev the newest it holds for.
	CastRev int `json:"cast_rev"`
	Rev     int `json:"rev"`
	// CarriedFrom is the task whose vote this one repeats.
	CarriedFrom string   `json:"carried_from,omitempty"`
	Score       int      `json:"score,omitempty"`
	Live        bool     `json:"live"`
	Why         Why      `json:"why,omitempty"`     // why it lapsed
	Changed     []string `json:"changed,omitempty"` // what it had read and changed
	Read        string   `json:"read"`
	Note        *Note    `json:"note,omitempty"`
	Within      string   `json:"within,omitempty"` // see Task
	Seq         int      `json:"seq"`              // of the event that cast it
}

// Carried says that the vote was not given for this round and revision.
func (v Vote) Carried() bool { return v.CarriedFrom != "" || v.Rev != v.CastRev }

// Rev is the current form revision, 0 before submission.
func (s *State) Rev() int { return len(s.Forms) }

// Form is the current revision.
func (s *State) Form() Form {
	if len(s.Forms) == 0 {
		return Form{}
	}
	return s.Forms[len(s.Forms)-1]
}

// Step is the newest round of the named step, or nil.
func (s *State) Step(name string) *StepState {
	for i := range s.Steps {
		if s.Steps[i].Name == name {
			return &s.Steps[i]
		}
	}
	return nil
}

// Task finds a task, or nil.
func (s *State) Task(id string) *Task {
	for i := range s.Tasks {
		if s.Tasks[i].ID == id {
			return &s.Tasks[i]
		}
	}
	return nil
}

// Points is the most that an answer to the task gives; 0: none are asked for.
func (s *State) Points(t Task) int { return s.Step(t.Step).Rule.Points(t.Within) }

// Points is the most that an answer gives, of a group of added signers within:
// they only advise, so it is 0.
func (r Rule) Points(within string) int {
	if within != "" {
		return 0
	}
	return r.Score
}

// Vote finds the vote that answered a task, or nil.
func (s *State) Vote(task string) *Vote {
	for i := range s.Votes {
		if s.Votes[i].Task == task {
			return &s.Votes[i]
		}
	}
	return nil
}

// OpenTasks are the tasks that somebody can decide now.
func (s *State) OpenTasks() []Task {
	var out []Task
	for _, t := range s.Tasks {
		if t.State == TaskOpen {
			out = append(out, t)
		}
	}
	return out
}

// Tally counts the newest round of a step, without added signers.
func (s *State) Tally(step string) Tally {
	ss := s.Step(step)
	if ss == nil {
		return Tally{}
	}
	return s.tally(step, ss.Round, "")
}

// GroupTally counts a group of added signers.
func (s *State) GroupTally(group string) Tally {
	g := s.group(group)
	if g == nil {
		return Tally{}
	}
	return s.tally(g.Step, g.Round, group)
}

func (s *State) group(id string) *SignerGroup {
	for i := range s.Groups {
		if s.Groups[i].ID == id {
			return &s.Groups[i]
		}
	}
	return nil
}

func (s *State) tally(step string, round int, within string) Tally {
	var t Tally
	points := within == "" && s.Step(step).Rule.Score > 0
	counted := map[string]bool{} // alternatives
	for i := range s.Tasks {
		task := &s.Tasks[i]
		if task.Step != step || task.Round != round || task.Within != within {
			continue
		}
		w := task.Elector.weight()
		switch task.State {
		case TaskOpen, TaskWaiting:
			if task.Group == "" || !counted[task.Group] {
				t.Open += w
			}
			counted[task.Group] = true
		case TaskDone:
			v := s.Vote(task.ID)
			if t.count(v, w); points && v != nil && v.Live && !v.Silent && v.Verdict != Abstain {
				t.Score, t.Scored = t.Score+w*v.Score, t.Scored+w
			}
		}
	}
	return t
}

func (t *Tally) count(v *Vote, w int) {
	switch {
	case v == nil || !v.Live:
	case v.Silent && v.Verdict == Abstain:
		t.Silent += w
	case v.Verdict == Approve:
		t.Approve += w
	case v.Verdict == Reject:
		t.Reject += w
	case v.Verdict == Abstain:
		t.Abstain += w
	}
}

// Changes lists the leaves in which two revisions differ, sorted. Revision 0
// is the empty form.
func (s *State) Changes(from, to int) []string {
	digests := func(rev int) map[string]string {
		if rev < 1 || rev > len(s.Forms) {
			return nil
		}
		return s.Forms[rev-1].Digests
	}
	return diff(digests(from), digests(to))
}

func diff(a, b map[string]string) []string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(a)) {
		if d, ok := b[p]; !ok || d != a[p] {
			out = append(out, p)
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// Timer is one moment at which the shell sends Fire. Owner is the request;
// Step, Round and N are unique in it and stay the same for the same moment's
// meaning. The close-out's Step is CloseOutTimer.
type Timer struct {
	Step  string    `json:"step"`
	Round int       `json:"round"`
	N     int       `json:"n"` // reminder number from 1; 0: due
	At    time.Time `json:"at"`
}

// What stands for a step's name in the Timer of the close-out and of the
// expiry; no step is called so.
const (
	CloseOutTimer = "~close_out"
	ExpiryTimer   = "~expiry"
)

// Timers lists the timers that must be armed now; any other is void.
func (s *State) Timers() []Timer {
	var out []Timer
	arm := func(step string, round int, due Due, reminded []int, acts bool) {
		for i, at := range due.Remind {
			if !slices.Contains(reminded, i+1) {
				out = append(out, Timer{Step: step, Round: round, N: i + 1, At: at})
			}
		}
		if acts {
			out = append(out, Timer{Step: step, Round: round, At: due.At})
		}
	}
	if c := s.CloseOut; s.Status == Approved && c != nil && c.DoneAt.IsZero() && !c.Due.At.IsZero() {
		arm(CloseOutTimer, 0, c.Due, c.Reminded, !c.Overdue)
	}
	if (s.Status == Open || s.Status == Returned) && !s.ExpiresAt.IsZero() {
		out = append(out, Timer{Step: ExpiryTimer, At: s.ExpiresAt})
	}
	if s.Status != Open {
		return out
	}
	for _, ss := range s.Steps {
		if ss.Status == StepOpen && !ss.Due.At.IsZero() {
			arm(ss.Name, ss.Round, ss.Due, ss.Reminded, !ss.Overdue && ss.OnDue.Then != ThenNothing)
		}
	}
	return out
}

// Moves says that firing the timer may change more than that people are told;
// for one that does not, Decide needs no facts but the time.
func (s *State) Moves(t Timer) bool {
	if t.N > 0 || t.Step == CloseOutTimer {
		return false
	}
	ss := s.Step(t.Step)
	return ss != nil && ss.OnDue.Then != ThenRemind
}

// ChangedTasks lists the tasks of after that are new or differ from before,
// in order: what a projection has to write.
func ChangedTasks(before, after State) []Task {
	var out []Task
	for i, t := range after.Tasks {
		if i >= len(before.Tasks) || before.Tasks[i] != t {
			out = append(out, t)
		}
	}
	return out
}

func (s State) clone() State {
	s.Forms = slices.Clone(s.Forms)
	s.Steps = slices.Clone(s.Steps)
	for i := range s.Steps {
		s.Steps[i].Reminded = slices.Clone(s.Steps[i].Reminded)
		s.Steps[i].Excluded = slices.Clone(s.Steps[i].Excluded)
	}
	s.Tasks = slices.Clone(s.Tasks)
	s.Votes = slices.Clone(s.Votes)
	s.Choices = slices.Clone(s.Choices)
	s.Groups = slices.Clone(s.Groups)
	s.Remarks = slices.Clone(s.Remarks)
	s.Copied = slices.Clone(s.Copied)
	if s.CloseOut != nil {
		c := *s.CloseOut
		c.Reminded = slices.Clone(c.Reminded)
		s.CloseOut = &c
	}
	return s
}
