package mail_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"kelian/notify"
	"kelian/notify/mail"
	"kelian/notify/mailsink"
)

func sink(t *testing.T, o mailsink.Options) *mailsink.Sink {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := mailsink.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sender(t *testing.T, host string, port int) *mail.Sender {
	t.Helper()
	s, err := mail.New(mail.Config{Host: host, Port: port, TLS: mail.Plain, From: "kelian@example.edu.cn"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func letter() notify.Letter {
	return notify.Letter{ID: "dlv_01@example.edu.cn", To: "a@example.com", Subject: "【科联】审批", Text: "第一行\n.以点开头\n", HTML: "<p>x</p>", Date: time.Unix(1_800_000_000, 0)}
}

func TestLetterArrivesWhole(t *testing.T) {
	k := sink(t, mailsink.Options{})
	s := sender(t, k.Host(), k.Port())
	if err := s.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Send(context.Background(), letter()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := k.Mails()
	if err != nil || len(got) != 1 || got[0].Copies != 2 || got[0].MessageID != "dlv_01@example.edu.cn" || got[0].Subject != "【科联】审批" {
		t.Fatalf("%+v %v", got, err)
	}
	for _, want := range []string{"From: <kelian@example.edu.cn>", "Auto-Submitted: auto-generated", "multipart/alternative", "text/plain", "text/html"} {
		if !strings.Contains(string(got[0].Text), want) {
			t.Errorf("the letter lacks %q:\n%s", want, got[0].Text)
		}
	}
	if strings.Contains(string(got[0].Text), "..=E4") {
		t.Error("a stuffed dot stayed in the letter")
	}
}

func TestNothingBreaksOutOfAHeader(t *testing.T) {
	k := sink(t, mailsink.Options{})
	s := sender(t, k.Host(), k.Port())
	for name, change := range map[string]func(*notify.Letter){
		"subject":      func(l *notify.Letter) { l.Subject = "x\r\nbcc: all@example.com" },
		"bare newline": func(l *notify.Letter) { l.Subject = "x\nbcc: all@example.com" },
		"recipient":    func(l *notify.Letter) { l.To = "a@example.com\r\nrcpt to:<b@example.com>" },
		"two":          func(l *notify.Letter) { l.To = "a@example.com, b@example.com" },
		"named":        func(l *notify.Letter) { l.To = "x <a@example.com>" },
		"no address":   func(l *notify.Letter) { l.To = "13800001111" },
		"id":           func(l *notify.Letter) { l.ID = "x>\r\nx-a: b" },
	} {
		l := letter()
		change(&l)
		var u *notify.Unsent
		if err := s.Send(context.Background(), l); !errors.As(err, &u) || !u.Permanent {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := k.Mails(); len(got) != 0 {
		t.Fatalf("%d letters went out", len(got))
	}
}

func TestWhatIsKnownAfterAFailure(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := dead.Addr().(*net.TCPAddr).Port
	_ = dead.Close()
	ok := sink(t, mailsink.Options{})
	later := sink(t, mailsink.Options{Rcpt: func(string) string { return "450 greylisted" }})
	never := sink(t, mailsink.Options{Data: func(string, int) (string, bool) { return "554 spam", false }})
	silent := sink(t, mailsink.Options{Data: func(string, int) (string, bool) { return "", true }})
	for _, c := range []struct {
		name      string
		s         *mail.Sender
		known     bool
		permanent bool
		reason    string
	}{
		{"nobody listens", sender(t, "127.0.0.1", port), true, false, "CONNECTION"},
		{"greylisted", sender(t, later.Host(), later.Port()), true, false, "SMTP_450"},
		{"refused after the letter", sender(t, never.Host(), never.Port()), true, true, "SMTP_554"},
		{"no answer after the letter", sender(t, silent.Host(), silent.Port()), false, false, ""},
	} {
		if c.reason == "CONNECTION" && c.s.Check(context.Background()) == nil {
			t.Errorf("%s: Check found a server", c.name)
		}
		err := c.s.Send(context.Background(), letter())
		var u *notify.Unsent
		known := errors.As(err, &u)
		if err == nil || known != c.known || known && (u.Permanent != c.permanent || u.Reason != c.reason) {
			t.Errorf("%s: %v %+v", c.name, err, u)
		}
	}
	// A server that demands a login we do not offer must not look like a lost letter.
	cfg := mail.Config{Host: ok.Host(), Port: ok.Port(), TLS: mail.Plain, From: "k@example.com", User: "k", Password: "p"}
	s, err := mail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var u *notify.Unsent
	if err := s.Send(context.Background(), letter()); !errors.As(err, &u) || u.Permanent || u.Reason != "LOGIN" {
		t.Errorf("login: %v", err)
	}
}

func TestConfigurationsThatCannotBeMeant(t *testing.T) {
	good := mail.Config{Host: "smtp.qq.com", User: "123456@qq.com", Password: "x"}
	if _, err := mail.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*mail.Config){
		"no host":                     func(c *mail.Config) { c.Host = "" },
		"no sender":                   func(c *mail.Config) { c.User = "" },
		"unknown mode":                func(c *mail.Config) { c.TLS = "maybe" },
		"password in the open":        func(c *mail.Config) { c.TLS = mail.Plain },
		"a sender that is no address": func(c *mail.Config) { c.From = "kelian" },
	} {
		c := good
		change(&c)
		if _, err := mail.New(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
