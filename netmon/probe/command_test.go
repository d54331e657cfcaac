package probe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/netmon/probe"
)

func TestCommandRefusesByLine(t *testing.T) {
	for in, line := range map[string]string{
		"127.0.0.1\n\n# printers\n224.0.0.251\n": "line 4",
		"255.255.255.255":                        "line 1",
		"127.0.0.1\n127.255.255.255":             "line 2",
		"::1\nff02::1\n":                         "line 2",
		"127.0.0.1\r\nprinter.campus\r\n":        "line 2",
		"127.0.0.1 127.0.0.2\n":                  "line 1",
		"\ufeff127.0.0.1\n0.0.0.0\n":             "line 2",
	} {
		var out bytes.Buffer
		err := probe.Command(context.Background(), probe.CommandOptions{}, strings.NewReader(in), &out)
		if f, ok := fault.As(err); !ok || f.Code != fault.BadUserInput || !strings.Contains(f.En, line) ||
			!strings.Contains(f.Zh, "第 "+line[len("line "):]+" 行") || out.Len() > 0 {
			t.Errorf("%q: %v, want %s and nothing sent", in, err, line)
		}
	}
	err := probe.Command(context.Background(), probe.CommandOptions{}, failing{}, &bytes.Buffer{})
	if !fault.Is(err, fault.BadUserInput) {
		t.Errorf("an unreadable list: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestCommandPrintsRTTsAndASummary(t *testing.T) {
	if !canPing(t) {
		return
	}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		in := strings.NewReader("127.0.0.1\n# a comment\n\n  127.0.0.2\r\n::ffff:127.0.0.3\n")
		if err := probe.Command(context.Background(), probe.CommandOptions{JSON: asJSON, Pace: 50_000}, in, &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 4 {
			t.Fatalf("%d lines:\n%s", len(lines), &out)
		}
		text := regexp.MustCompile(`^127\.0\.0\.1 \d+\.\d{4} ms$`)
		var one struct {
			Addr, State string
			RTT         float64 `json:"rtt_ms"`
		}
		if asJSON {
			if err := json.Unmarshal([]byte(lines[0]), &one); err != nil || one.Addr != "127.0.0.1" || one.State != "reply" || one.RTT <= 0 {
				t.Errorf("%s: %+v, %v", lines[0], one, err)
			}
		} else if !text.MatchString(lines[0]) {
			t.Errorf("first line %q", lines[0])
		}
		var sum map[string]any
		if err := json.Unmarshal([]byte(lines[3]), &sum); err != nil {
			t.Fatalf("%s: %v", lines[3], err)
		}
		if sum["sent"] != 3.0 || sum["received"] != 3.0 || sum["lost"] != 0.0 || sum["mode"] == "" || sum["wall_ms"].(float64) <= 0 || sum["cpu_ms"] == nil || len(sum) != 6 {
			t.Errorf("summary %s", lines[3])
		}
	}
}
