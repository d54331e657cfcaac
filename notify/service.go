package notify

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"kelian/internal/clock"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// Options says how the service reaches people.
type Options struct {
	PublicURL string         // where links begin, without a slash at the end
	Zone      *time.Location // for quiet hours; nil = Asia/Shanghai
	Mail      Sender         // nil = no mail is configured
	Readers   Readers        // who may see an object; nil = nobody beyond the rules
	// Resolve turns a path that names what its secret is made of into the path
	// with the secret, when the message is rendered: no secret is stored. nil =
	// paths are what they are.
	Resolve func(path string) string
	// Secret gives the value of {code} for a notification that has one; it is
	// asked when the message is rendered. nil = none has.
	Secret    func(n *Notification) string
	QuietFrom int // hour of the local day; both zero = 23 to 7
	QuietTo   int
}

// Readers says whether somebody may see an object of any domain.
type Readers interface {
	MayRead(ctx context.Context, actor org.Actor, ref outbox.Ref) (bool, error)
}

// Letter is a mail to one mailbox. ID is stable over all attempts.
type Letter struct {
	ID      string // the Message-ID without angle brackets
	To      string
	Subject string
	Text    string
	HTML    string
	Date    time.Time
}

// Sender carries letters. A nil error means that the other side took the
// letter; an *Unsent says what is known when it did not; any other error means
// that the outcome is unknown.
type Sender interface {
	Send(ctx context.Context, l Letter) error
}

// Unsent is a letter that was certainly not taken.
type Unsent struct {
	Permanent bool   // no repetition can mend it
	Reason    string // a code without personal data, e.g. SMTP_550
	Cause     error
}

// Error implements error.
func (u *Unsent) Error() string { return "not sent: " + u.Reason }

// Unwrap gives the cause.
func (u *Unsent) Unwrap() error { return u.Cause }

// Service tells people what concerns them.
type Service struct {
	db     *store.DB
	clock  clock.Clock
	rules  *org.Table
	public string
	host   string
	zone   *time.Location
	quiet  [2]int
	mail   Sender
	reader Readers
	// resolve is Options.Resolve.
	resolve func(string) string
	secret  func(*Notification) string
}

// New makes the service.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	s := &Service{db: db, clock: c, rules: rules, public: strings.TrimRight(o.PublicURL, "/"), zone: o.Zone,
		quiet: [2]int{o.QuietFrom, o.QuietTo}, mail: o.Mail, reader: o.Readers, resolve: o.Resolve, host: "kelian.invalid"}
	if s.secret = o.Secret; s.secret == nil {
		s.secret = func(*Notification) string { return "" }
	}
	if s.resolve == nil {
		s.resolve = func(path string) string { return path }
	}
	if u, err := url.Parse(s.public); err == nil && u.Hostname() != "" {
		s.host = u.Hostname()
	}
	if s.zone == nil {
		s.zone = time.FixedZone("Asia/Shanghai", 8*3600)
	}
	if s.quiet == [2]int{} {
		s.quiet = [2]int{23, 7}
	}
	return s
}

// unsent reads what is known about a failed send.
func unsent(err error) (u *Unsent, known bool) {
	known = errors.As(err, &u)
	return u, known
}
