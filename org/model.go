package org

import (
	"time"

	"kelian/internal/id"

	"github.com/uptrace/bun"
)

// UnitKind says what a unit is in the university.
type UnitKind string

// The kinds of units.
const (
	LeagueCommittee   UnitKind = "LEAGUE_COMMITTEE"
	Federation        UnitKind = "FEDERATION"
	Department        UnitKind = "DEPARTMENT"
	Section           UnitKind = "SECTION"
	CollegeDepartment UnitKind = "COLLEGE_DEPARTMENT"
	Society           UnitKind = "SOCIETY"
	Outside           UnitKind = "OUTSIDE"
)

// Unit is a part of the federation or beside it. Code is its fixed name in
// definitions, policy and demo data, e.g. technical.maintenance,
// society.robotics, college.cs.
type Unit struct {
	bun.BaseModel `bun:"table:unit"`

	ID      id.ID `bun:",pk"`
	Code    string
	Kind    UnitKind
	Parent  id.ID `bun:",nullzero"`
	NameZh  string
	NameEn  string
	ShortZh string
	ShortEn string
	Campus  string
	// College is the college in charge of a society, by code; "" = none.
	College string
}

// Role of a seat within its unit.
type Role string

// The roles.
const (
	Head       Role = "head"
	Deputy     Role = "deputy"
	Member     Role = "member"
	Advisor    Role = "advisor"
	Chair      Role = "chair"
	Vice       Role = "vice"
	Secretary  Role = "secretary"
	Teacher    Role = "teacher"
	Finance    Role = "finance"
	Technician Role = "technician"
	Trainer    Role = "trainer"
	Keeper     Role = "keeper"
)

// Seat is a place of authority. Name is unit code and role, e.g.
// technical.head; several people hold it when Capacity is above 1.
type Seat struct {
	bun.BaseModel `bun:"table:seat"`

	ID       id.ID `bun:",pk"`
	UnitID   id.ID
	Role     Role
	Name     string
	TitleZh  string
	TitleEn  string
	Capacity int
}

// TenureKind says in what way a person holds a seat.
type TenureKind string

// The kinds of tenures.
const (
	Full      TenureKind = "FULL"
	Acting    TenureKind = "ACTING"
	Probation TenureKind = "PROBATION"
)

// Tenure is one person on one seat for a time: From inclusive, Until
// exclusive, zero = open.
type Tenure struct {
	bun.BaseModel `bun:"table:tenure"`

	ID       id.ID `bun:",pk"`
	SeatID   id.ID
	PersonID id.ID
	Kind     TenureKind
	From     time.Time `bun:"from_at"`
	Until    time.Time `bun:"until_at,nullzero"`
}

// Portfolio 分管: the vice-chair or teacher on the seat answers for the unit.
type Portfolio struct {
	bun.BaseModel `bun:"table:portfolio"`

	UnitID   id.ID `bun:",pk"`
	SeatID   id.ID `bun:",pk"`
	PersonID id.ID
	From     time.Time `bun:"from_at"`
	Until    time.Time `bun:"until_at,nullzero"`
}

// Liaison 联络员: the supervision officer who looks after a society or college.
type Liaison struct {
	bun.BaseModel `bun:"table:liaison"`

	UnitID   id.ID     `bun:",pk"`
	PersonID id.ID     `bun:",pk"`
	From     time.Time `bun:"from_at"`
	Until    time.Time `bun:"until_at,nullzero"`
}

// Person is somebody who can be named in history. The name and every other
// personal value stand in Personal rows and can be erased.
type Person struct {
	bun.BaseModel `bun:"table:person"`

	ID        id.ID `bun:",pk"`
	Kind      PersonKind
	Lang      string // zh or en
	Search    string // erased with the name
	CreatedAt time.Time
	ErasedAt  time.Time `bun:",nullzero"`
}

// PersonKind says which of the three kinds of people somebody is.
type PersonKind string

// The kinds of people.
const (
	Officer     PersonKind = "OFFICER"
	Participant PersonKind = "PARTICIPANT"
	Outsider    PersonKind = "OUTSIDER"
)

// Personal is one erasable value of a subject: a person, or an object that
// holds a stranger's free text. Hash is HMAC-SHA-256 of the canonical value
// under a key of its own (see SetPersonal), what history carries in its place.
type Personal struct {
	bun.BaseModel `bun:"table:personal"`

	Subject id.ID  `bun:",pk"`
	Field   string `bun:",pk"` // see Register
	Value   string
	Salt    string // goes with the value
	Hash    string
	At      time.Time
	Until   time.Time `bun:",nullzero"` // erased by the retention job after it
}
