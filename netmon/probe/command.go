package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"
)

// CommandOptions are the flags of `kelian sweep`.
type CommandOptions struct {
	Timeout    time.Duration // 0 = DefaultTimeout
	Pace       int           // packets/s; 0 = unpaced, as on the command line
	NoTXStamps bool
	JSON       bool // one object per target instead of text
	Mode       Mode // "" = the best that works
}

// Command sweeps the addresses in in, one per line (blank lines and lines that
// begin with # are skipped), once. It writes to out one line per target and,
// last, {"sent","received","lost","wall_ms","cpu_ms","mode"}, where cpu_ms is
// the process's for the sweep alone. It is the operator's own tool: only
// multicast and broadcast addresses are refused. An unhealthy round is printed
// and then reported as the error.
func Command(ctx context.Context, o CommandOptions, in io.Reader, out io.Writer) error {
	targets, err := readTargets(in)
	if err != nil {
		return err
	}
	if o.Pace <= 0 {
		o.Pace = Unpaced
	}
	s, err := Open(Options{Timeout: o.Timeout, Pacer: NewPacer(o.Pace, 0), NoTXStamps: o.NoTXStamps, Mode: o.Mode})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if mode, d := s.Mode(); mode == ModeNone {
		fix, way := "", ""
		if d.Command != "" {
			fix, way = "。请运行："+d.Command, "; run: "+d.Command
		}
		return &fault.Error{Code: fault.Unavailable, Reason: "NO_ICMP", Zh: d.Zh + fix, En: d.En + way}
	}
	cpu := processCPU()
	round, err := s.Sweep(ctx, 1, targets)
	if err != nil {
		return err
	}
	cpu = processCPU() - cpu
	if err := report(out, targets, &round, cpu, o.JSON); err != nil {
		return err
	}
	if round.Fault != nil {
		return round.Fault
	}
	return nil
}

// readTargets reads one address per line and names the line of a wrong one.
func readTargets(in io.Reader) ([]Target, error) {
	var targets []Target
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if text == "" || text[0] == '#' {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fault.Input("targets", fmt.Sprintf("第 %d 行：%q 不是 IP 地址（不支持域名）", n, text),
				fmt.Sprintf("line %d: %q is not an IP address (names are not taken)", n, text)).Because(err)
		}
		if u := a.Unmap(); u.IsMulticast() || u == limitedBroadcast || u.IsUnspecified() || isLocalBroadcast(u) {
			return nil, fault.Input("targets", fmt.Sprintf("第 %d 行：%s 是广播、组播或空地址，不能探测", n, text),
				fmt.Sprintf("line %d: %s is a broadcast, multicast or empty address and is not probed", n, text))
		}
		targets = append(targets, Target{Addr: a})
	}
	if err := lines.Err(); err != nil {
		return nil, fault.Input("targets", "读取目标列表失败", "cannot read the list of targets").Because(err)
	}
	return targets, nil
}

func report(out io.Writer, targets []Target, r *Round, cpu time.Duration, asJSON bool) error {
	w := bufio.NewWriterSize(out, 64<<10)
	var line []byte
	for i, o := range r.Outcomes {
		if asJSON {
			line = appendJSON(line[:0], targets[i].Addr, o)
		} else {
			line = appendText(line[:0], targets[i].Addr, o)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	if _, err := fmt.Fprintf(w, `{"sent":%d,"received":%d,"lost":%d,"wall_ms":%.3f,"cpu_ms":%.3f,"mode":%q}`+"\n",
		r.Sent, r.Received, r.Lost, ms(r.Wall), ms(cpu), string(r.Mode)); err != nil {
		return err
	}
	return w.Flush()
}

func appendText(b []byte, a netip.Addr, o Outcome) []byte {
	b = append(a.AppendTo(b), ' ')
	switch {
	case o.State == Reply:
		b = append(appendMillis(b, o.RTT), " ms"...)
	case o.Router.IsValid():
		b = append(append(b, o.State.String()...), ' ')
		b = o.Router.AppendTo(b)
	default:
		b = append(b, o.State.String()...)
	}
	return append(b, '\n')
}

// appendJSON writes {"addr","state","rtt_ms","router"}; neither an address nor
// a state needs escaping, a zone is quoted as Go quotes it.
func appendJSON(b []byte, a netip.Addr, o Outcome) []byte {
	b = append(b, `{"addr":`...)
	b = strconv.AppendQuote(b, a.String())
	b = append(b, `,"state":"`...)
	b = append(append(b, o.State.String()...), '"')
	if o.State == Reply {
		b = appendMillis(append(b, `,"rtt_ms":`...), o.RTT)
	}
	if o.Router.IsValid() {
		b = append(b, `,"router":"`...)
		b = append(o.Router.AppendTo(b), '"')
	}
	return append(b, "}\n"...)
}

// appendMillis writes d in milliseconds with 0.1 µs resolution.
func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/1e6, 'f', 4, 64)
}
