package mailsink_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kelian/notify/mailsink"
)

// talk sends the lines and gives the answers.
func talk(t *testing.T, s *mailsink.Sink, lines ...string) []string {
	t.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort(s.Host(), fmt.Sprint(s.Port())))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	read := func() string {
		for {
			l, err := r.ReadString('\n')
			if err != nil || len(l) < 4 || l[3] != '-' {
				return strings.TrimSpace(l)
			}
		}
	}
	out := []string{read()}
	for _, l := range lines {
		if _, err := c.Write([]byte(l + "\r\n")); err != nil {
			t.Fatal(err)
		}
		out = append(out, read())
	}
	return out
}

func send(t *testing.T, s *mailsink.Sink, letter string) string {
	t.Helper()
	a := talk(t, s, "EHLO x", "MAIL FROM:<a@x>", "RCPT TO:<b@x>", "DATA", strings.ReplaceAll(letter, "\n", "\r\n")+"\r\n.", "QUIT")
	return a[5]
}

func start(t *testing.T, dir string) *mailsink.Sink {
	t.Helper()
	s, err := mailsink.Start(mailsink.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestOneFilePerMessageID(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if a := send(t, s, fmt.Sprintf("Message-ID: <m%d@x>\n\n..dots\nend", i%3)); !strings.HasPrefix(a, "250") {
				t.Error(a)
			}
		})
	}
	wg.Wait()
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 3 {
		t.Fatalf("%v", files)
	}
	if n := s.Copies("m1@x"); n != 4 {
		t.Fatalf("%d copies, want 4", n)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "m1@x.eml"))
	if err != nil || string(raw) != "Message-ID: <m1@x>\r\n\r\n.dots\r\nend\r\n" {
		t.Fatalf("%q %v", raw, err)
	}
	// A sink that starts again on the directory knows what came before it.
	_ = s.Close()
	again := start(t, dir)
	send(t, again, "Message-ID: <m1@x>\n\nx")
	if n := again.Copies("m1@x"); n != 2 {
		t.Fatalf("%d copies after the restart", n)
	}
}

func TestOddIDsStayInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "mail"))
	for _, id := range []string{"../../escape", ".hidden@x", "a/b", "", strings.Repeat("x", 300)} {
		if a := send(t, s, "Message-ID: <"+id+">\n\n"+id); !strings.HasPrefix(a, "250") {
			t.Fatal(a)
		}
	}
	inside, _ := filepath.Glob(filepath.Join(dir, "mail", "*.eml"))
	outside, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(inside) != 5 || len(outside) != 1 {
		t.Fatalf("%v %v", inside, outside)
	}
}

func TestOrderOfCommands(t *testing.T) {
	s := start(t, t.TempDir())
	a := talk(t, s, "RCPT TO:<b@x>", "DATA", "MAIL FROM:<a@x>", "DATA", "VRFY x", "RSET", "RCPT TO:<b@x>", "QUIT")
	for i, want := range []string{"220", "503", "503", "250", "503", "502", "250", "503", "221"} {
		if !strings.HasPrefix(a[i], want) {
			t.Errorf("answer %d is %q, want %s", i, a[i], want)
		}
	}
}

func TestItListensOnLoopbackOnly(t *testing.T) {
	if s, err := mailsink.Start(mailsink.Options{Dir: t.TempDir(), Addr: "0.0.0.0:0"}); err == nil {
		_ = s.Close()
		t.Fatal("it listened to everybody")
	}
}
