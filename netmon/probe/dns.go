package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSTypes are the types of records that can be asked for.
var DNSTypes = map[string]dnsmessage.Type{"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX,
	"TXT": dnsmessage.TypeTXT, "NS": dnsmessage.TypeNS, "SRV": dnsmessage.TypeSRV}

// DNSSpec is one question to one server.
type DNSSpec struct {
	Server  string // host:port
	Name    string
	Type    string   // of DNSTypes
	Answers []string // each must be among the answers; empty = any answer
	Timeout time.Duration
}

// DNSResult is the outcome of one question. Answers are sorted and spelt as
// [DNSAnswer] spells them; Code is the server's, such as NXDOMAIN.
type DNSResult struct {
	State   State
	Addr    netip.AddrPort
	Answers []string
	Code    string
	Took    time.Duration
}

// DNS asks by UDP, and by TCP where the answer does not fit. Errors are as with
// TCP.
func (c *Checker) DNS(ctx context.Context, s DNSSpec) (DNSResult, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return DNSResult{}, err
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	name, err := dnsmessage.NewName(strings.TrimSuffix(s.Name, ".") + ".")
	kind, known := DNSTypes[s.Type]
	if err != nil || !known {
		return DNSResult{State: Denied}, fault.Input("target", "域名或记录类型不对", "the name or the type of record is not valid")
	}
	begun := time.Now()
	question := dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}
	h := hop{network: "udp"}
	m, err := c.ask(within, s.Server, question, &h)
	if err == nil && m.Truncated {
		h = hop{network: "tcp"}
		m, err = c.ask(within, s.Server, question, &h)
	}
	r := DNSResult{Addr: h.addr, Took: time.Since(begun)}
	if err != nil {
		r.State = Mismatch
		if !errors.Is(err, errDNS) {
			r.State = classify(err, h.addr.Addr())
		}
		return r, reportable(ctx, err)
	}
	r.State, r.Code = Reply, strings.ToUpper(strings.TrimPrefix(m.RCode.String(), "RCode"))
	if m.RCode == dnsmessage.RCodeNameError {
		r.Code = "NXDOMAIN"
	}
	for _, a := range m.Answers {
		if text := record(a.Body); a.Header.Type == kind && text != "" {
			r.Answers = append(r.Answers, text)
		}
	}
	slices.Sort(r.Answers)
	lacks := func(want string) bool { return !slices.Contains(r.Answers, DNSAnswer(want)) }
	if m.RCode != dnsmessage.RCodeSuccess || len(r.Answers) == 0 || slices.ContainsFunc(s.Answers, lacks) {
		r.State = Mismatch
	}
	return r, ctx.Err()
}

var errDNS = errors.New("probe: the answer is no DNS message")

// ask makes one exchange on a connection of its own; answers to other questions
// are not looked at.
func (c *Checker) ask(ctx context.Context, server string, q dnsmessage.Question, h *hop) (dnsmessage.Message, error) {
	var m dnsmessage.Message
	conn, err := c.dial(ctx, server, h)
	if err != nil {
		return m, err
	}
	defer func() { _ = conn.Close() }()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	id := uint16(rand.Uint32())
	query := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	raw, err := query.Pack()
	if err != nil {
		return m, fault.Input("target", "域名不对", "the name is not valid").Because(err)
	}
	stream := h.network == "tcp"
	if stream {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	if _, err := conn.Write(raw); err != nil {
		return m, err
	}
	for {
		answer, err := readDNS(conn, stream)
		if err != nil {
			return m, err
		}
		err = m.Unpack(answer)
		if err == nil && m.ID == id && m.Response && len(m.Questions) == 1 && m.Questions[0].Type == q.Type && strings.EqualFold(m.Questions[0].Name.String(), q.Name.String()) {
			return m, nil
		}
		if stream {
			return m, errDNS
		}
	}
}

func readDNS(conn net.Conn, stream bool) ([]byte, error) {
	if !stream {
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}

// record spells an answer: an address, a name without the final dot, "10 mail"
// for MX, "0 5 5060 sip" for SRV, the joined strings of TXT.
func record(b dnsmessage.ResourceBody) string {
	n := func(v uint16) string { return strconv.Itoa(int(v)) }
	switch b := b.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(b.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(b.AAAA).String()
	case *dnsmessage.CNAMEResource:
		return DNSAnswer(b.CNAME.String())
	case *dnsmessage.NSResource:
		return DNSAnswer(b.NS.String())
	case *dnsmessage.MXResource:
		return DNSAnswer(n(b.Pref) + " " + b.MX.String())
	case *dnsmessage.SRVResource:
		return DNSAnswer(n(b.Priority) + " " + n(b.Weight) + " " + n(b.Port) + " " + b.Target.String())
	case *dnsmessage.TXTResource:
		return DNSAnswer(strings.Join(b.TXT, ""))
	}
	return ""
}

// DNSAnswer is the one spelling in which answers are compared.
func DNSAnswer(s string) string {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
