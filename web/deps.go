package web

import (
	"context"
	"log/slog"
	"time"

	"kelian/auth"
	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/sponsor"
	"kelian/file"
	"kelian/internal/clock"
	"kelian/internal/trace"
	"kelian/netmon"
	"kelian/notify"
	"kelian/org"
	"kelian/workflow"
)

// Deps is what the pages are made of. Every service is needed; what is marked
// optional may be nil and its page is then absent.
type Deps struct {
	PublicURL  string // where people open the pages, without a slash at the end; every link and QR begins with it
	Federation string // the federation's name; "" = 科技联合会
	Location   *time.Location
	Secure     bool // people come by https
	AllowHTTP  bool // sign-in over plain http is allowed
	Clock      clock.Clock
	Log        *slog.Logger

	Rules    *org.Table
	Org      *org.Service
	Auth     *auth.Service
	Workflow *workflow.Service
	Netmon   *netmon.Service
	Repair   *repair.Service
	Property *property.Service
	Sponsor  *sponsor.Service
	Notify   *notify.Service
	File     *file.Service

	Trace *trace.Tracer

	// PartForm is the request that a ticket's part becomes, so that people see
	// whom it will ask before they send it. amount is in fen.
	PartForm func(text string, amount int64, ticket string) (definition, unit string, form map[string]any)

	Installer Installer // optional: without it /setup asks for the first account only
	Demo      Demo      // optional: the tour
}

// Install is what the first person enters beside the account.
type Install struct {
	Federation string
	PublicURL  string
	Timezone   string
	MailHost   string // "" = no mail
	MailPort   string
	MailUser   string
	MailFrom   string
	MailTLS    string // tls, starttls or none
}

// Installer keeps the settings of a new installation. It refuses with
// fault.Input about one of federation-name, public-url, timezone, mail-host,
// mail-port, mail-from, mail-tls. The password of the mailbox is not among
// them: it comes from the environment.
type Installer interface {
	// Present gives what is set by now, to begin the form with.
	Present(ctx context.Context) (Install, error)
	Save(ctx context.Context, in Install) error
}

// Demo is the tour that `kelian demo` serves.
type Demo interface {
	Accounts() []DemoAccount
	// SignIn makes a session for one of the accounts, without a password.
	SignIn(ctx context.Context, login string) (sessionToken string, err error)
	Outage(ctx context.Context) error
	Recover(ctx context.Context) error
	Picture(ctx context.Context) (DemoNetwork, error)
	Mails(ctx context.Context) ([]DemoMail, error) // newest first
	Steps(lang string) []DemoStep
	// Touch says that somebody is on the page: the schedule of outages pauses.
	Touch()
}

// DemoAccount is somebody whom a visitor may be.
type DemoAccount struct {
	Login, Name      string
	TitleZh, TitleEn string // of the seats
	AboutZh, AboutEn string // what the person does in the tour
}

// DemoNetwork is the network as it is now.
type DemoNetwork struct {
	Hosts    []DemoHost
	Round    int64
	Answered int           // hosts that answered in the latest round
	Asked    int           // hosts in all
	Age      time.Duration // since the latest round; negative before the first
	Mode     string        // how they are asked: raw, ping, pro-bing, tcp
	Incident string        // TypeID of the open incident, "" = none
	Title    struct{ Zh, En string }
	Cut      bool // the access switch is switched off by the demo
}

// DemoHost is one device. Needs are the IDs it hangs from, in the same picture.
type DemoHost struct {
	ID             string
	NameZh, NameEn string
	State          string // UNKNOWN, UP, SUSPECT, DOWN, RECOVERING
	Suppressed     bool   // 受牵连
	Needs          []string
}

// DemoMail is a captured mail.
type DemoMail struct {
	ID, To, Subject, Text string
	At                    time.Time
}

// DemoStep is one step of the tour. Login is the account to be for it ("" =
// nobody), Path the page to open, Action a button beside it: outage, recovery
// or "".
type DemoStep struct {
	N           int
	Title, Text string
	Login, Name string
	Path        string
	Action      string
}
