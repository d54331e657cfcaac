package flow

import (
	"maps"
	"slices"
	"time"
)

// Status is how a request stands.
type Status string

// The statuses. Only OPEN has open tasks; the last three are final.
const (
	New       Status = "" // before Submitted
	Open      Status = "OPEN"
	Returned  Status = "RETURNED" // the requester is to resubmit
	Approved  Status = "APPROVED"
	Rejected  Status = "REJECTED"
	Withdrawn Status = "WITHDRAWN"
)

// Final says that nothing can happen any more.
func (s Status) Final() bool { return s == Approved || s == Rejected || s == Withdrawn }

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
	Comments  int             `json:"comments"`
	Last      string          `json:"last,omitempty"` // the step that passed last
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
	Live        bool     `json:"live"`
	Why         Why      `json:"why,omitempty"`     // why it lapsed
	Changed     []string `json:"changed,omitempty"` // what it had read and changed
	Read        string   `json:"read"`
	Note        *Note    `json:"note,omitempty"`
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

// Tally counts the newest round of a step.
func (s *State) Tally(step string) Tally {
	var t Tally
	ss := s.Step(step)
	if ss == nil {
		return t
	}
	counted := map[string]bool{} // groups
	for i := range s.Tasks {
		task := &s.Tasks[i]
		if task.Step != step || task.Round != ss.Round {
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
			t.count(s.Vote(task.ID), w)
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
// Name is unique in it and stays the same for the same moment's meaning.
type Timer struct {
	Step  string    `json:"step"`
	Round int       `json:"round"`
	N     int       `json:"n"` // reminder number from 1; 0: due
	At    time.Time `json:"at"`
}

// Timers lists the timers that must be armed now; any other is void.
func (s *State) Timers() []Timer {
	var out []Timer
	if s.Status != Open {
		return nil
	}
	for _, ss := range s.Steps {
		if ss.Status != StepOpen || ss.Due.At.IsZero() {
			continue
		}
		for i, at := range ss.Due.Remind {
			if !slices.Contains(ss.Reminded, i+1) {
				out = append(out, Timer{Step: ss.Name, Round: ss.Round, N: i + 1, At: at})
			}
		}
		if !ss.Overdue && ss.OnDue.Then != ThenNothing {
			out = append(out, Timer{Step: ss.Name, Round: ss.Round, At: ss.Due.At})
		}
	}
	return out
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
	return s
}
