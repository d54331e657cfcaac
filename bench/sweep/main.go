// Command sweep measures what one ICMP probe of Kelian's sweep engine costs
// against fping, in one run on one machine: both ask the same loopback
// addresses, unpaced, in processes of their own, alternately.
//
// CPU per probe is (CPU at the large size − CPU at the small size) divided by
// the difference of the sizes, over medians of wait4's rusage, so that starting
// a process and its runtime does not count. On loopback the kernel's answering
// is charged to the sender, for both alike.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"kelian/netmon/probe"
)

const goal = 0.65 // CPU per probe, ours by fping's

func main() {
	runs := flag.Int("runs", 9, "runs of each program and size")
	small := flag.Int("small", 10_000, "addresses of the small list")
	large := flag.Int("large", 50_000, "addresses of the large list")
	noTX := flag.Bool("no-tx-timestamps", false, "our engine without kernel transmit stamps")
	one := flag.String("one", "", "internal: sweep this list once and print the result")
	mode := flag.String("mode", "", "our engine's mode: ping, raw, or the best")
	flag.Parse()
	err := func() error {
		if *one != "" {
			return sweepOnce(*one, probe.Mode(*mode), *noTX)
		}
		return compare(*runs, *small, *large, probe.Mode(*mode), *noTX)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// sweepOnce is the child process: what `kelian sweep --pace 0` does.
func sweepOnce(list string, mode probe.Mode, noTX bool) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var out tail
	err = probe.Command(context.Background(), probe.CommandOptions{NoTXStamps: noTX, Mode: mode}, f, &out)
	_, _ = os.Stderr.Write(out.last)
	return err
}

// tail passes everything on to standard output and keeps the last line.
type tail struct{ last []byte }

func (t *tail) Write(b []byte) (int, error) {
	lines := bytes.SplitAfter(append(t.last, b...), []byte("\n"))
	t.last = bytes.Clone(lines[len(lines)-1])
	if len(t.last) == 0 && len(lines) > 1 {
		t.last = bytes.Clone(lines[len(lines)-2])
	}
	return os.Stdout.Write(b)
}

// sample is one run of one program.
type sample struct {
	cpu, wall time.Duration
	lost      int
	mode      string
}

// contender is a program under measurement.
type contender struct {
	name    string
	args    func(list string) []string
	summary bool // prints ours on standard error
	all     map[int][]sample
}

func compare(runs, small, large int, mode probe.Mode, noTX bool) error {
	dir, err := os.MkdirTemp("", "kelian-bench-sweep")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ours := &contender{name: "kelian", all: map[int][]sample{}, summary: true, args: func(list string) []string {
		return []string{self, "-one", list, "-mode", string(mode), fmt.Sprintf("-no-tx-timestamps=%v", noTX)}
	}}
	both := []*contender{ours}
	peer, err := exec.LookPath("fping")
	if err == nil {
		both = append(both, &contender{name: "fping", all: map[int][]sample{}, args: func(list string) []string {
			return []string{peer, "-q", "-C1", "-i0", "-t1000", "-f", list}
		}})
	}
	for _, n := range []int{small, large} {
		if err := writeList(listOf(dir, n), n); err != nil {
			return err
		}
	}
	for range runs {
		for _, n := range []int{small, large} {
			for _, c := range both {
				if err := c.measure(listOf(dir, n), n); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
		}
	}
	return printAll(both, runs, small, large)
}

func listOf(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("%d.txt", n)) }

// writeList writes n addresses from 127.1.0.1 on, without .0 and .255.
func writeList(path string, n int) error {
	var b bytes.Buffer
	for a := netip.MustParseAddr("127.1.0.1"); n > 0; a = a.Next() {
		if last := a.As4()[3]; last != 0 && last != 255 {
			fmt.Fprintln(&b, a)
			n--
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// measure runs the program once. What it prints per address goes to /dev/null:
// fping writes each line in pieces, and a file would make that its main cost.
func (c *contender) measure(list string, n int) error {
	args := c.args(list)
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	var said bytes.Buffer
	if c.summary {
		cmd.Stderr = &said
	}
	begun := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(begun)}
	if cmd.ProcessState == nil {
		return err
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	switch {
	case c.summary && err == nil:
		var sum struct {
			Received int
			Mode     string
		}
		if err := json.Unmarshal(said.Bytes(), &sum); err != nil {
			return err
		}
		s.lost, s.mode = n-sum.Received, sum.Mode
	case !c.summary && cmd.ProcessState.ExitCode() == 1:
		s.lost = 1 // fping's way to say that at least one did not answer
	case err != nil:
		return fmt.Errorf("%w: %s", err, said.Bytes())
	}
	c.all[n] = append(c.all[n], s)
	return nil
}

// median, over one quantity of the samples.
func median(all []sample, of func(sample) time.Duration) time.Duration {
	var v []time.Duration
	for _, s := range all {
		v = append(v, of(s))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func printAll(both []*contender, runs, small, large int) error {
	fmt.Printf("sweep of loopback addresses, unpaced, kernel timestamps; medians of %d runs, lost of all\n", runs)
	fmt.Printf("%s; %s %s/%s, %d processors\n", kernel(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	fmt.Printf("%-8s %8s %10s %10s %6s\n", "", "targets", "cpu ms", "wall ms", "lost")
	cpu := func(s sample) time.Duration { return s.cpu }
	wall := func(s sample) time.Duration { return s.wall }
	perProbe := map[string]float64{}
	falseLoss := 0
	for _, c := range both {
		for _, n := range []int{small, large} {
			lost := 0
			for _, s := range c.all[n] {
				lost += s.lost
			}
			if c.name == "kelian" {
				falseLoss += lost
			}
			fmt.Printf("%-8s %8d %10.1f %10.1f %6d\n", c.name, n, ms(median(c.all[n], cpu)), ms(median(c.all[n], wall)), lost)
		}
		perProbe[c.name] = float64((median(c.all[large], cpu) - median(c.all[small], cpu)).Microseconds()) / float64(large-small)
	}
	fmt.Printf("kelian   %.2f µs CPU per probe, mode %s\n", perProbe["kelian"], both[0].all[large][0].mode)
	if theirs, ok := perProbe["fping"]; ok {
		ratio := perProbe["kelian"] / theirs
		verdict := "met"
		if ratio > goal {
			verdict = "missed"
		}
		fmt.Printf("fping    %.2f µs CPU per probe, %s\nratio    %.2f (goal ≤ %.2f: %s)\n", theirs, fpingVersion(), ratio, goal, verdict)
	} else {
		fmt.Println("fping    missing: install it to compare")
	}
	if falseLoss > 0 {
		return fmt.Errorf("kelian lost %d answers of addresses that are all alive", falseLoss)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "kernel unknown"
	}
	return "Linux " + strings.TrimSpace(string(b))
}

func fpingVersion() string {
	out, _ := exec.CommandContext(context.Background(), "fping", "-v").CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
