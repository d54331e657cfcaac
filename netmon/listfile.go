package netmon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/org"

	"github.com/goccy/go-yaml"
)

// Format of a list of hosts as text.
type Format string

// The formats. KUMA is the backup in JSON of Uptime Kuma 1, GATUS the
// configuration of Gatus, PROMETHEUS the file of file_sd_configs.
const (
	FormatYAML       Format = "YAML"
	FormatKuma       Format = "KUMA"
	FormatGatus      Format = "GATUS"
	FormatPrometheus Format = "PROMETHEUS"
	FormatCSV        Format = "CSV"
)

// Listing is what a file says, in our words. Notes name what has no counterpart
// here, or was read in another way than one may think.
type Listing struct {
	Hosts []HostRow
	Notes []Words
}

func (l *Listing) note(zh, en string, args ...any) {
	if len(l.Notes) < 500 {
		l.Notes = append(l.Notes, Words{fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...)})
	}
}

// ReadList reads a file of hosts; nothing is looked up and nothing written.
func ReadList(format Format, raw []byte) (Listing, error) {
	var l Listing
	if len(raw) > MaxList {
		return l, fault.Input("text", "文件最多 8 MB", "a file has at most 8 MB")
	}
	read := map[Format]func(*Listing, []byte) error{FormatYAML: readYAML, FormatKuma: readKuma, FormatGatus: readGatus, FormatPrometheus: readPrometheus, FormatCSV: readCSV}[format]
	if read == nil {
		return l, fault.Input("format", "格式应为 YAML、KUMA、GATUS、PROMETHEUS 或 CSV", "the format is YAML, KUMA, GATUS, PROMETHEUS or CSV")
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if err := read(&l, raw); err != nil {
		if _, ok := fault.As(err); ok {
			return l, err
		}
		return l, fault.Input("text", "文件读不懂："+err.Error(), "the file cannot be read: "+err.Error())
	}
	return l, nil
}

// ImportInput is a file of hosts.
type ImportInput struct {
	Format         Format
	Text           []byte
	DryRun         bool
	IdempotencyKey string
}

// ImportHosts reads a file and upserts its hosts.
func (s *Service) ImportHosts(ctx context.Context, actor org.Actor, in ImportInput) (Listing, []RowResult, error) {
	if _, err := s.may(ctx, actor, "netmon.manage"); err != nil {
		return Listing{}, nil, err
	}
	l, err := ReadList(in.Format, in.Text)
	if err != nil {
		return l, nil, err
	}
	rows, err := s.UpsertHosts(ctx, actor, UpsertInput{Hosts: l.Hosts, DryRun: in.DryRun, IdempotencyKey: in.IdempotencyKey})
	return l, rows, err
}

// hostFile is the form of the own format.
type hostFile struct {
	Hosts []fileHost `yaml:"hosts"`
}

type fileHost struct {
	Key       string      `yaml:"key"`
	NameZh    string      `yaml:"nameZh"`
	NameEn    string      `yaml:"nameEn"`
	Address   string      `yaml:"address"`
	Labels    []string    `yaml:"labels"`
	Buildings []string    `yaml:"buildings"`
	Needs     [][]string  `yaml:"needs"`
	Rule      fileRule    `yaml:"rule"`
	Checks    []fileCheck `yaml:"checks"`
}

type fileRule struct {
	Losses  int `yaml:"losses" json:"losses"`
	Within  int `yaml:"within" json:"within"`
	Replies int `yaml:"replies" json:"replies"`
}

type fileCheck struct {
	Kind    Kind   `yaml:"kind" json:"kind"`
	Target  string `yaml:"target" json:"target,omitempty"`
	Seconds int    `yaml:"seconds" json:"seconds"`
	Expect  Expect `yaml:"expect" json:"expect,omitzero"`
}

// unmarshal reads YAML, or JSON, which is YAML too. Anchors could unfold into
// much more than was sent.
func unmarshal(raw []byte, v any, o ...yaml.DecodeOption) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.Input("text", "文件不是有效的 YAML", "the file is no valid YAML")
		}
	}()
	for line := range bytes.Lines(raw) {
		if t := bytes.TrimSpace(line); bytes.Contains(t, []byte(": &")) || bytes.Contains(t, []byte(": *")) || bytes.HasPrefix(t, []byte("- &")) || bytes.HasPrefix(t, []byte("- *")) || bytes.HasPrefix(t, []byte("<<:")) {
			return fault.Input("text", "文件里有 YAML 锚点（& 或 *）：请展开后再导入", "the file has YAML anchors (& or *): write them out first")
		}
	}
	return yaml.UnmarshalWithOptions(raw, v, o...)
}

func readYAML(l *Listing, raw []byte) error {
	var f hostFile
	if err := unmarshal(raw, &f, yaml.Strict()); err != nil {
		return err
	}
	for _, h := range f.Hosts {
		row := HostRow{Key: h.Key, NameZh: h.NameZh, NameEn: h.NameEn, Address: h.Address, Labels: h.Labels, Buildings: h.Buildings, Needs: h.Needs, Rule: Rule(h.Rule)}
		for _, c := range h.Checks {
			row.Checks = append(row.Checks, CheckInput(c))
		}
		l.Hosts = append(l.Hosts, row)
	}
	return nil
}

// HostsYAML writes the network as a list that makes the same network again, in
// one order. It holds targets and the secrets of heartbeats: for those who
// manage the network.
func (s *Service) HostsYAML(ctx context.Context, actor org.Actor) (string, error) {
	if _, err := s.may(ctx, actor, "netmon.manage"); err != nil {
		return "", err
	}
	now, err := s.now(ctx)
	if err != nil {
		return "", err
	}
	return now.topo.yaml()
}

func (t *topology) yaml() (string, error) {
	called := map[string]int{}
	for _, h := range t.live {
		for _, n := range slices.Compact(slices.Sorted(slices.Values([]string{h.OuterKey, h.Address, h.NameZh, h.NameEn}))) {
			called[n]++
		}
	}
	keys := map[string]string{}
	name := func(h *node) string {
		for _, n := range []string{h.OuterKey, h.Address, h.NameZh, h.NameEn} {
			if n != "" && called[n] == 1 {
				return n
			}
		}
		return h.ID.TypeID(RefHost)
	}
	for _, h := range t.live {
		if keys[h.id] = h.OuterKey; h.OuterKey == "" && (h.Address == "" && called[h.NameZh] > 1 || name(h) == h.ID.TypeID(RefHost)) {
			keys[h.id] = h.ID.TypeID(RefHost) // nothing else tells it from others
		}
	}
	hosts := slices.Clone(t.live)
	slices.SortFunc(hosts, func(a, b *node) int {
		of := func(h *node) string {
			return strings.Join([]string{h.NameZh, h.NameEn, h.Address, keys[h.id]}, "\x00")
		}
		return strings.Compare(of(a), of(b))
	})
	var out strings.Builder
	out.WriteString("hosts:\n")
	for _, h := range hosts {
		w := lines{out: &out, head: "- "}
		w.line("key", keys[h.id], keys[h.id] != "")
		w.line("nameZh", h.NameZh, true)
		w.line("nameEn", h.NameEn, true)
		w.line("address", h.Address, h.Address != "")
		w.line("labels", h.labels, len(h.labels) > 0)
		w.line("buildings", h.buildings, len(h.buildings) > 0)
		needs := make([][]string, 0, len(h.needs))
		for _, g := range h.needs {
			var group []string
			for _, n := range g {
				x := t.hosts[n.String()]
				ref := keys[x.id]
				if ref == "" {
					ref = name(x)
				}
				group = append(group, ref)
			}
			slices.Sort(group)
			needs = append(needs, group)
		}
		w.line("needs", needs, len(needs) > 0)
		rule := Rule{h.Losses, h.Within, h.Replies}
		w.line("rule", fileRule(rule), rule != Rule{})
		checks := slices.Clone(h.checks)
		slices.SortFunc(checks, func(a, b *target) int {
			return strings.Compare(string(a.Kind)+" "+a.Target, string(b.Kind)+" "+b.Target)
		})
		w.line("checks", []int{}, len(checks) == 0)
		if len(checks) > 0 {
			out.WriteString("  checks:\n")
		}
		for _, c := range checks {
			raw, err := flow(fileCheck{c.Kind, c.Target, c.Seconds, c.expect})
			if err != nil {
				return "", err
			}
			out.WriteString("  - " + raw + "\n")
		}
		if w.err != nil {
			return "", w.err
		}
	}
	if len(hosts) == 0 {
		return "hosts: []\n", nil
	}
	return out.String(), nil
}

// lines writes the fields of one entry; values are JSON, which is YAML.
type lines struct {
	out  *strings.Builder
	head string
	err  error
}

func (w *lines) line(name string, v any, present bool) {
	if !present || w.err != nil {
		return
	}
	var raw string
	if raw, w.err = flow(v); w.err == nil {
		w.out.WriteString(w.head + name + ": " + raw + "\n")
		w.head = "  "
	}
}

func flow(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSpace(b.String()), err
}
