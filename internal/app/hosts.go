package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/migrations"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/org"
)

// ImportHosts reads a file of hosts, kuma.db among them, and says what becomes
// of each row; unless dry, it writes them.
func ImportHosts(ctx context.Context, c config.Config, format, file string, dry bool, out io.Writer) error {
	list, err := readHosts(ctx, format, file)
	if err != nil {
		return err
	}
	return withNetwork(ctx, c, func(s *netmon.Service) error {
		rows, err := s.UpsertHosts(ctx, org.System(), netmon.UpsertInput{Hosts: list.Hosts, DryRun: dry})
		for _, n := range list.Notes {
			_, _ = fmt.Fprintln(out, "note:", n.En)
		}
		for _, r := range rows {
			_, _ = fmt.Fprintln(out, strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s", r.Row+1, r.Result, r.Name.Zh, strings.Join(r.Path, "."), r.Why.En)))
		}
		return err
	})
}

func readHosts(ctx context.Context, format, file string) (netmon.Listing, error) {
	if format == "kuma" && strings.HasSuffix(file, ".db") {
		return netmon.ReadKumaDB(ctx, file)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return netmon.Listing{}, err
	}
	return netmon.ReadList(netmon.Format(strings.ToUpper(format)), raw)
}

// ExportHosts writes the network as a list that makes it again.
func ExportHosts(ctx context.Context, c config.Config, out io.Writer) error {
	return withNetwork(ctx, c, func(s *netmon.Service) error {
		text, err := s.HostsYAML(ctx, org.System())
		if err == nil {
			_, err = io.WriteString(out, text)
		}
		return err
	})
}

func withNetwork(ctx context.Context, c config.Config, f func(*netmon.Service) error) error {
	db, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrations.Check(ctx, db.Bun()); err != nil {
		return err
	}
	own, err := ownServices(c)
	if err != nil {
		return err
	}
	return f(netmon.New(db, clock.System{}, Rules(), netmon.Options{Policy: probe.NewPolicy(probe.PolicyOptions{Allow: c.ProbeNets, Own: own}), Location: c.Timezone}))
}
