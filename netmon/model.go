package netmon

import (
	"time"

	"kelian/internal/id"

	"github.com/uptrace/bun"
)

// Kinds of references (TypeID prefixes).
const (
	RefHost       = "hst"
	RefCheck      = "chk"
	RefTransition = "trn"
	RefIncident   = "inc"
)

// Topics of events; the payloads are {"incident"} and {"host", "state"}.
const (
	TopicOpened  = "netmon.incident.opened"
	TopicChanged = "netmon.incident.changed"
	TopicClosed  = "netmon.incident.closed"
	TopicHost    = "netmon.host.changed"
)

type incidentPayload struct {
	Incident id.ID `json:"incident"`
}

type hostPayload struct {
	Host  id.ID  `json:"host"`
	State string `json:"state"`
}

// Words is one text in both languages.
type Words = struct{ Zh, En string }

// Kind of a check.
type Kind string

// The kinds.
const (
	ICMP   Kind = "ICMP"
	TCP    Kind = "TCP"
	HTTP   Kind = "HTTP"
	TLS    Kind = "TLS"    // a certificate and its end
	DNS    Kind = "DNS"    // a name server's answer
	Domain Kind = "DOMAIN" // the end of a domain's registration
	Push   Kind = "PUSH"   // something reports by itself, and is missed when it does not
	Page   Kind = "PAGE"   // a page says what it said when somebody accepted it
)

// daily is the interval of checks of what changes slowly. While something is
// wrong they look every slowest seconds.
const (
	daily   = 86400
	slowest = 300
)

// baseTier is the shortest tier in seconds: its checks run in every epoch, the
// others in every third, sixth and thirtieth.
const baseTier = 10

// Rule is k of n for a host's checks; zero fields take the network's, 3 of 3
// and 2.
type Rule struct {
	Losses  int // of the last Within attempts make a check DOWN
	Within  int
	Replies int // in a row make it UP again
}

// Expect is what a check demands; the zero value demands any proper answer.
type Expect struct {
	Status     []int    `json:"status,omitempty" yaml:"status,omitempty"`         // HTTP: accepted codes; empty = any 2xx
	Contain    string   `json:"contain,omitempty" yaml:"contain,omitempty"`       // HTTP: text that must occur
	Lack       string   `json:"lack,omitempty" yaml:"lack,omitempty"`             // HTTP: text that must not
	Pattern    string   `json:"pattern,omitempty" yaml:"pattern,omitempty"`       // HTTP: RE2 that must match
	Head       bool     `json:"head,omitempty" yaml:"head,omitempty"`             // HTTP
	SkipVerify bool     `json:"skipVerify,omitempty" yaml:"skipVerify,omitempty"` // HTTP: accept any certificate
	Name       string   `json:"name,omitempty" yaml:"name,omitempty"`             // TLS: the name to be asked for; "" = the target's
	Answers    []string `json:"answers,omitempty" yaml:"answers,omitempty"`       // DNS: each must be among the answers
	Every      int      `json:"every,omitempty" yaml:"every,omitempty"`           // PUSH: seconds between two reports
	Grace      int      `json:"grace,omitempty" yaml:"grace,omitempty"`           // PUSH: seconds that one may be late
}

// hostRow is a host as stored.
type hostRow struct {
	bun.BaseModel `bun:"table:host"`

	ID        id.ID `bun:",pk"`
	NameZh    string
	NameEn    string
	Address   string // "" = none of its own: its checks say where they go
	OuterKey  string // its name in the list that it came from
	Labels    string // one a line
	Shard     int
	Losses    int
	Within    int
	Replies   int
	Version   int64
	CreatedAt time.Time
	RemovedAt time.Time `bun:",nullzero"`
}

type buildingRow struct {
	bun.BaseModel `bun:"table:host_building"`

	Host     id.ID
	Building string
	Key      string // the building's code as it is compared
}

type needRow struct {
	bun.BaseModel `bun:"table:host_need"`

	Host  id.ID
	Grp   int // any one of a group has to carry
	Needs id.ID
}

// checkRow is a check as stored. Number stands for it in rounds; neither is
// used again after the check is removed.
type checkRow struct {
	bun.BaseModel `bun:"table:host_check"`

	ID        id.ID `bun:",pk"`
	Number    int64
	Host      id.ID
	Kind      Kind
	Target    string // host:port, URL or domain; "" for ICMP; the token for PUSH
	Seconds   int    // the tier
	Expect    string // JSON, "" = the zero Expect
	CreatedAt time.Time
	RemovedAt time.Time `bun:",nullzero"`
}

// roundRow is what one sweep of one shard left.
type roundRow struct {
	bun.BaseModel `bun:"table:round"`

	Vantage  string
	Shard    int
	Epoch    int64
	Owner    string
	Healthy  bool
	Fault    string // why it is not healthy
	Mode     string
	Sent     int
	Received int
	Lost     int
	Drops    int // answers that this machine threw away
	Dropped  int // rounds that the sweeper forgot before this one, the database being away
	BeganMs  int // after the epoch
	TookMs   int
	Payload  []byte
	At       time.Time
}

type judgeRow struct {
	bun.BaseModel `bun:"table:judge_state"`

	Name   string
	Epoch  int64
	Rounds int64 // judged since the beginning
	Owner  string
	State  []byte
	At     time.Time
}

type vantageRow struct {
	bun.BaseModel `bun:"table:vantage"`

	Name    string
	Mode    string
	WhyZh   string
	WhyEn   string
	Command string
	At      time.Time
}

type transitionRow struct {
	bun.BaseModel `bun:"table:transition"`

	ID          id.ID `bun:",pk"`
	Kind        string
	Subject     string
	Host        id.ID `bun:",nullzero"`
	Epoch       int64
	FromState   string
	ToState     string
	FromOverlay int
	ToOverlay   int
	Roots       string
	Evidence    string
	WhyZh       string
	WhyEn       string
	At          time.Time
}

// incidentRow is an incident as stored. Outage is the judge's key; Key differs
// from it for flat incidents only, of which an outage has one per node.
type incidentRow struct {
	bun.BaseModel `bun:"table:incident"`

	ID               id.ID `bun:",pk"`
	Number           string
	Key              string
	Outage           string
	Flat             bool
	Certified        bool
	Flapping         bool
	Version          int64
	OpenedEpoch      int64
	OpenedAt         time.Time
	ClosedAt         time.Time `bun:",nullzero"`
	Reason           string
	MergedInto       id.ID `bun:",nullzero"`
	TitleZh          string
	TitleEn          string
	WhyZh            string
	WhyEn            string
	EndZh            string
	EndEn            string
	Evidence         string
	Certificate      string
	AcknowledgedBy   id.ID     `bun:",nullzero"`
	AcknowledgedAt   time.Time `bun:",nullzero"`
	AcknowledgedNote string
}

// Roles of a node in an incident.
const (
	roleRoot       = "ROOT"
	roleSuppressed = "SUPPRESSED"
)

type incidentNodeRow struct {
	bun.BaseModel `bun:"table:incident_node"`

	Incident    id.ID
	Node        id.ID // a host, or a check beyond reachability
	Host        id.ID
	Role        string
	JoinedEpoch int64
	LeftEpoch   int64 `bun:",nullzero"`
}
