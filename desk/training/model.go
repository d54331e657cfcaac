package training

import (
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"

	"github.com/uptrace/bun"
)

// Course is something that is taught again and again.
type Course struct {
	bun.BaseModel `bun:"table:course"`

	ID        id.ID `bun:",pk"`
	Code      string
	TitleZh   string
	TitleEn   string
	Skill     string // that its teacher has; "" = teach
	CreatedAt time.Time
}

// SessionState says whether a session takes place.
type SessionState string

// The states.
const (
	Planned   SessionState = "PLANNED"
	Cancelled SessionState = "CANCELLED"
)

// Session is one date of a training.
type Session struct {
	bun.BaseModel `bun:"table:training_session"`

	ID        id.ID `bun:",pk"`
	Request   id.ID
	No        int   // of the request's dates, from 1
	Course    id.ID `bun:",nullzero"`
	Title     string
	Place     string
	StartsAt  time.Time
	EndsAt    time.Time
	Seats     int    // 0 = not limited
	Skill     string // that its teacher has
	Owner     id.ID  // the requester
	State     SessionState
	CreatedAt time.Time
}

// Ref is the session in links.
func (s *Session) Ref() outbox.Ref { return outbox.Ref{Kind: "trg", ID: s.ID} }

// Kind of a task.
type Kind string

// The kinds, in the order of a session's life.
const (
	Prepare Kind = "PREPARE"
	Teach   Kind = "TEACH"
	Assist  Kind = "ASSIST"
	CheckIn Kind = "CHECK_IN"
	WrapUp  Kind = "WRAP_UP"
)

// TaskState says who has a task.
type TaskState string

// The states of a task.
const (
	Open     TaskState = "OPEN" // nobody is asked now
	Offered  TaskState = "OFFERED"
	Accepted TaskState = "ACCEPTED"
	Done     TaskState = "DONE"
	Dropped  TaskState = "CANCELLED"
)

// Task is one thing to be done for a session.
type Task struct {
	bun.BaseModel `bun:"table:training_task"`

	ID         id.ID `bun:",pk"`
	Session    id.ID
	Kind       Kind
	State      TaskState
	DueAt      time.Time
	Person     id.ID     `bun:",nullzero"` // who is asked or has it
	Assignment id.ID     `bun:",nullzero"`
	SwapTo     id.ID     `bun:",nullzero"` // the colleague who is asked to take it over
	SwapUntil  time.Time `bun:",nullzero"`
	Version    int64
	CreatedAt  time.Time
	ChangedAt  time.Time
}

// Ref is the task in links.
func (t *Task) Ref() outbox.Ref { return outbox.Ref{Kind: "trt", ID: t.ID} }

// plan says of each kind when it is due, who can be asked first and who after a
// day, and whether the course's skill is needed.
type plan struct {
	kind   Kind
	zh, en string
	before time.Duration // the start; of WRAP_UP after the end
	first  []string
	wider  []string
	skill  bool
}

var (
	trainers = []string{"technical.trainer"}
	everyone = []string{"technical.trainer", "technical.deputy", "technical.member", "technical.maintenance.head", "technical.maintenance.deputy",
		"technical.maintenance.member", "technical.maintenance.technician", "technical.information.head", "technical.information.deputy",
		"technical.information.member", "technical.information.technician"}
)

var plans = []plan{
	{Prepare, "准备", "preparing", 48 * time.Hour, trainers, everyone, false},
	{Teach, "授课", "teaching", 0, trainers, everyone, true},
	{Assist, "助教", "assisting", 30 * time.Minute, everyone, everyone, false},
	{CheckIn, "签到", "check-in", 15 * time.Minute, everyone, everyone, false},
	{WrapUp, "收尾", "wrapping up", -48 * time.Hour, everyone, everyone, false},
}

func planOf(k Kind) plan {
	for _, p := range plans {
		if p.kind == k {
			return p
		}
	}
	panic("training: no plan for the kind " + string(k))
}

// due is when the task of a session is due.
func (p plan) due(s *Session) time.Time {
	if p.before < 0 {
		return s.EndsAt.Add(-p.before)
	}
	return s.StartsAt.Add(-p.before)
}

// Limits of the desk (docs/limits.md).
const (
	AnswerWithin = 24 * time.Hour // to an offer or a swap
	WidenAfter   = 24 * time.Hour // of a task nobody accepted
	WarnBefore   = 48 * time.Hour // the start of a session without a teacher
	AskAgain     = 6 * time.Hour  // when nobody fits
)
