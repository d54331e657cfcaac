// Package mailsink is a real SMTP server on loopback that delivers nowhere: it
// keeps one file per Message-ID in a directory, written whole and synced
// before the server says 250. A second copy of a Message-ID is counted and not
// stored again, which is what a mailbox with de-duplication would show. The
// demo sends its mail here, and tests make it answer as broken servers do.
package mailsink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// Options of a sink.
type Options struct {
	Dir  string // made if it is missing
	Addr string // "" = 127.0.0.1 and a free port
	// Rcpt answers RCPT TO; "" accepts.
	Rcpt func(address string) string
	// Data answers the end of a letter, which is stored already unless the
	// answer begins with 4 or 5; "" accepts. drop closes the connection
	// without an answer, after storing.
	Data func(messageID string, copies int) (answer string, drop bool)
}

// Mail is a stored letter.
type Mail struct {
	MessageID string
	To        string
	Subject   string
	Text      []byte // the letter as it came, headers and body
	At        time.Time
	Copies    int // how often it came while this sink ran
	File      string
}

// Sink is a running server.
type Sink struct {
	o      Options
	ln     net.Listener
	mu     sync.Mutex
	copies map[string]int
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
	closed bool
}

// Limits of one letter and of one connection.
const (
	maxLetter = 10 << 20
	maxLine   = 4096
	idle      = 60 * time.Second
)

// Start listens.
func Start(o Options) (*Sink, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("mailsink: %w", err)
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("mailsink: %w", err)
	}
	if a, ok := ln.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = ln.Close()
		return nil, errors.New("mailsink: it listens on loopback only, for it asks nobody who he is")
	}
	s := &Sink{o: o, ln: ln, copies: map[string]int{}, conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	return s, nil
}

// Host and Port say where it listens.
func (s *Sink) Host() string { return s.ln.Addr().(*net.TCPAddr).IP.String() }

// Port is the TCP port.
func (s *Sink) Port() int { return s.ln.Addr().(*net.TCPAddr).Port }

// Close stops the server and ends its connections.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	err := s.ln.Close()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// Copies tells how often a letter came while this sink ran.
func (s *Sink) Copies(messageID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies[messageID]
}

// Mails lists the stored letters, newest first.
func (s *Sink) Mails() ([]Mail, error) {
	names, err := filepath.Glob(filepath.Join(s.o.Dir, "*.eml"))
	if err != nil {
		return nil, err
	}
	var out []Mail
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m := Mail{Text: raw, File: name}
		if info, err := os.Stat(name); err == nil {
			m.At = info.ModTime()
		}
		if msg, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil {
			m.MessageID = strings.Trim(msg.Header.Get("Message-ID"), "<> ")
			m.To = msg.Header.Get("To")
			m.Subject, _ = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
		}
		m.Copies = max(1, s.Copies(m.MessageID))
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].At.Equal(out[j].At) {
			return out[i].At.After(out[j].At)
		}
		return out[i].MessageID > out[j].MessageID
	})
	return out, nil
}

func (s *Sink) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// session is one connection's state (RFC 5321 section 4.1.4).
type session struct {
	c    net.Conn
	r    *bufio.Reader
	from bool
	to   int
}

func (x *session) say(line string) bool {
	_, err := io.WriteString(x.c, line+"\r\n")
	return err == nil
}

func (s *Sink) serve(c net.Conn) {
	x := &session{c: c, r: bufio.NewReaderSize(c, maxLine)}
	if !x.say("220 kelian mail sink") {
		return
	}
	for {
		_ = c.SetDeadline(time.Now().Add(idle))
		raw, err := x.r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				x.say("500 line too long")
			}
			return
		}
		if !s.command(x, strings.TrimRight(string(raw), "\r\n")) {
			return
		}
	}
}

// command answers one line; false ends the connection.
func (s *Sink) command(x *session, line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		return x.say("250-kelian\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 SIZE " + fmt.Sprint(maxLetter))
	case "HELO", "NOOP":
		return x.say("250 ok")
	case "RSET":
		x.from, x.to = false, 0
		return x.say("250 ok")
	case "MAIL":
		x.from, x.to = true, 0
		return x.say("250 ok")
	case "RCPT":
		return s.rcpt(x, rest)
	case "DATA":
		return s.data(x)
	case "QUIT":
		x.say("221 bye")
		return false
	}
	return x.say("502 this sink takes letters and nothing else")
}

func (s *Sink) rcpt(x *session, rest string) bool {
	if !x.from {
		return x.say("503 MAIL first")
	}
	if s.o.Rcpt != nil {
		at, end := strings.IndexByte(rest, '<'), strings.IndexByte(rest, '>')
		if at >= 0 && end > at {
			if answer := s.o.Rcpt(rest[at+1 : end]); answer != "" {
				return x.say(answer)
			}
		}
	}
	x.to++
	return x.say("250 ok")
}

func (s *Sink) data(x *session) bool {
	if x.to == 0 {
		return x.say("503 RCPT first")
	}
	if !x.say("354 go on") {
		return false
	}
	letter, err := readLetter(x.r)
	if err != nil {
		x.say("552 too long")
		return false
	}
	x.from, x.to = false, 0
	id := messageID(letter)
	s.mu.Lock()
	copies := s.copies[id] + 1
	s.mu.Unlock()
	answer, drop := "", false
	if s.o.Data != nil {
		answer, drop = s.o.Data(id, copies)
	}
	if strings.HasPrefix(answer, "4") || strings.HasPrefix(answer, "5") {
		return x.say(answer)
	}
	if err := s.keep(id, letter); err != nil {
		return x.say("452 cannot store: " + err.Error())
	}
	if drop {
		return false
	}
	if answer == "" {
		answer = "250 kept"
	}
	return x.say(answer)
}

// readLetter reads up to the line with a single dot and takes the stuffed dots
// away (RFC 5321 section 4.5.2).
func readLetter(r *bufio.Reader) ([]byte, error) {
	var out bytes.Buffer
	start := true
	for {
		part, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if start {
			if string(part) == ".\r\n" || string(part) == ".\n" {
				return out.Bytes(), nil
			}
			part = bytes.TrimPrefix(part, []byte("."))
		}
		start = err == nil
		if out.Len()+len(part) > maxLetter {
			return nil, errors.New("mailsink: letter too long")
		}
		out.Write(part)
	}
}

// messageID of the letter; one without gets its digest.
func messageID(letter []byte) string {
	if m, err := mail.ReadMessage(bytes.NewReader(letter)); err == nil {
		if id := strings.Trim(m.Header.Get("Message-ID"), "<> "); id != "" {
			return id
		}
	}
	sum := sha256.Sum256(letter)
	return hex.EncodeToString(sum[:])
}

// keep stores the letter whole: a temporary file, synced and renamed.
func (s *Sink) keep(id string, letter []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := filepath.Join(s.o.Dir, fileName(id))
	if _, err := os.Stat(name); err == nil {
		s.copies[id] = max(2, s.copies[id]+1) // it may have come to an earlier sink
		return nil
	}
	f, err := os.CreateTemp(s.o.Dir, ".letter-*")
	if err != nil {
		return err
	}
	_, err = f.Write(letter)
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	s.copies[id]++
	return nil
}

// fileName spells an id as a name: anything unusual becomes its digest.
func fileName(id string) string {
	safe := len(id) > 0 && len(id) <= 120 && id[0] != '.'
	for _, r := range id {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@+-", r) {
			safe = false
		}
	}
	if !safe {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return id + ".eml"
}
