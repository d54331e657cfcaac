// Package mail carries letters by SMTP (RFC 5321) with go-mail: plain text and
// minimal HTML, one recipient, a Message-ID that is the same for all attempts.
// A campus mail server, a QQ or 163 mailbox (implicit TLS on port 465) and a
// sink on loopback are all set by the same few values.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"

	"kelian/notify"

	gomail "github.com/wneessen/go-mail"
)

// TLS says how the connection is secured.
type TLS string

// The modes. Plain is for a server on loopback.
const (
	Implicit TLS = "implicit" // TLS from the first byte, port 465
	StartTLS TLS = "starttls" // must be offered, port 587
	Plain    TLS = "plain"
)

// Config says which server carries the mail.
type Config struct {
	Host     string
	Port     int // 0 = 465, 587 or 25, by the mode
	User     string
	Password string
	TLS      TLS         // "" = implicit
	From     string      // address, or "name <address>"; "" = User
	Verify   *tls.Config // nil = the system's roots and the host's name
}

// phase is the longest time for one of connecting, greeting and the letter.
const phase = 5 * time.Second

// Sender is a mail server's door. It holds no connection between letters.
type Sender struct {
	cfg  Config
	from *netmail.Address
}

// New checks the configuration; it does not connect.
func New(c Config) (*Sender, error) {
	if c.From == "" {
		c.From = c.User
	}
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("mail: the sender's address %q is not valid", c.From)
	}
	if c.Host == "" {
		return nil, errors.New("mail: the server's host is missing")
	}
	switch c.TLS {
	case "":
		c.TLS = Implicit
	case Implicit, StartTLS, Plain:
	default:
		return nil, fmt.Errorf("mail: TLS mode %q is none of implicit, starttls, plain", c.TLS)
	}
	if c.TLS == Plain && c.Password != "" && !loopback(c.Host) {
		return nil, errors.New("mail: a password is not sent without TLS; set the mode implicit or starttls")
	}
	if c.Port == 0 {
		c.Port = map[TLS]int{Implicit: 465, StartTLS: 587, Plain: 25}[c.TLS]
	}
	return &Sender{c, from}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, l notify.Letter) error {
	msg, err := s.message(l)
	if err != nil {
		return err
	}
	client, err := s.client(ctx)
	if err != nil {
		return &notify.Unsent{Permanent: true, Reason: "CONNECTION", Cause: err}
	}
	if err := client.DialWithContext(ctx); err != nil {
		return dialFailure(err)
	}
	err = client.Send(msg)
	if err == nil || msg.IsDelivered() {
		// A server that took the letter and then fumbled QUIT has it.
		_ = client.Close()
		return nil
	}
	_ = client.Close()
	return sendFailure(err)
}

// Check connects and signs in without sending, for doctor.
func (s *Sender) Check(ctx context.Context) error {
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return dialFailure(err)
	}
	return client.Close()
}

// message builds the letter. What could break out of a header is refused, not
// mended: no honest template makes it.
func (s *Sender) message(l notify.Letter) (*gomail.Msg, error) {
	for _, h := range []string{l.Subject, l.To, l.ID} {
		if strings.ContainsFunc(h, unicode.IsControl) {
			return nil, &notify.Unsent{Permanent: true, Reason: "REFUSED_HEADER"}
		}
	}
	to, err := netmail.ParseAddress(l.To)
	if err != nil || to.Name != "" || to.Address != l.To {
		return nil, &notify.Unsent{Permanent: true, Reason: "REFUSED_ADDRESS", Cause: err}
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	m.ToMailAddress(to)
	m.Subject(l.Subject)
	m.SetMessageIDWithValue(l.ID)
	m.SetDateWithValue(l.Date)
	// RFC 3834: no holiday replies to a machine.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(gomail.TypeTextPlain, l.Text)
	if l.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	}
	return m, nil
}

func (s *Sender) client(ctx context.Context) (*gomail.Client, error) {
	// go-mail starts its clock anew for connecting, for the greeting and for
	// the letter, so a third of what is left keeps the whole within ctx.
	timeout := phase
	if until, ok := ctx.Deadline(); ok {
		timeout = max(time.Millisecond, min(phase, time.Until(until)/3))
	}
	opts := []gomail.Option{gomail.WithPort(s.cfg.Port), gomail.WithTimeout(timeout), gomail.WithoutNoop()}
	switch s.cfg.TLS {
	case Implicit:
		opts = append(opts, gomail.WithSSL())
	case StartTLS:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Plain:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.cfg.Verify != nil {
		opts = append(opts, gomail.WithTLSConfig(s.cfg.Verify))
	}
	if s.cfg.User != "" && s.cfg.Password != "" {
		auth := gomail.SMTPAuthAutoDiscover
		if s.cfg.TLS == Plain {
			auth = gomail.SMTPAuthPlainNoEnc
		}
		opts = append(opts, gomail.WithSMTPAuth(auth), gomail.WithUsername(s.cfg.User), gomail.WithPassword(s.cfg.Password))
	}
	return gomail.NewClient(s.cfg.Host, opts...)
}

// dialFailure: nothing of the letter left this machine.
func dialFailure(err error) error {
	if strings.Contains(err.Error(), "AUTH") || strings.Contains(err.Error(), "auth") {
		return &notify.Unsent{Reason: "LOGIN", Cause: err}
	}
	return &notify.Unsent{Reason: "CONNECTION", Cause: err}
}

// sendFailure tells what is known of a letter that met an error on the way:
// with a reply code of the server, or before the end of the data, it was not
// taken; otherwise nobody knows.
func sendFailure(err error) error {
	var se *gomail.SendError
	if !errors.As(err, &se) {
		return err
	}
	if code := se.ErrorCode(); code >= 400 {
		return &notify.Unsent{Permanent: code >= 500 && code != 530 && code != 535, Reason: fmt.Sprintf("SMTP_%d", code), Cause: err}
	}
	switch se.Reason {
	case gomail.ErrGetSender, gomail.ErrGetRcpts, gomail.ErrSMTPMailFrom, gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrConnCheck:
		return &notify.Unsent{Reason: "CONNECTION", Cause: err}
	}
	return err
}
