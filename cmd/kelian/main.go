// Command kelian runs the federation's service and its tools.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"kelian/internal/app"
	"kelian/internal/config"

	"github.com/alecthomas/kong"
)

type cli struct {
	config.Flags

	Serve   serveCmd    `cmd:"" help:"Run the service."`
	Demo    demoCmd     `cmd:"" help:"Run a federation with life in it, to try Kelian out."`
	Init    initCmd     `cmd:"" help:"Set up a new federation without a browser."`
	Migrate migrateCmd  `cmd:"" help:"Bring the database's schema up to this version."`
	User    userCmd     `cmd:"" help:"Accounts, from the console of the machine."`
	Flow    workflowCmd `cmd:"" name:"workflow" help:"Definitions of approvals: check, draw, export, import."`
	Days    calendarCmd `cmd:"" name:"calendar" help:"Holidays and working days."`
	Hosts   hostsCmd    `cmd:"" help:"The hosts of the network: import, export."`
	Sweep   sweepCmd    `cmd:"" help:"Probe a list of addresses once, by ICMP."`
	Audit   auditCmd    `cmd:"" help:"The audit log."`
	Backup  backupCmd   `cmd:"" help:"Write an archive of the database."`
	Restore restoreCmd  `cmd:"" help:"Fill a fresh database from an archive."`
	Doctor  doctorCmd   `cmd:"" help:"Say what works, what does not and what mends it."`
	Schema  schemaCmd   `cmd:"" help:"Print the GraphQL schema."`
	Conf    configCmd   `cmd:"" name:"config" help:"Print every setting and where it comes from, secrets masked."`
	Version versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("kelian"), kong.UsageOnError(),
		kong.Description("科联 Kelian: approvals, network operations and service desks of a student science and technology federation."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&c.Flags))
	if err := k.Run(); err != nil {
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "kelian:", err)
		}
		os.Exit(1)
	}
}

// settings reads and checks the settings, without those that stand in the
// database; serve, init and doctor read these themselves.
func settings(f *config.Flags, makeKey bool) (config.Config, error) {
	v, err := values(f)
	if err != nil {
		return config.Config{}, err
	}
	return v.Parse(makeKey)
}

func values(f *config.Flags) (config.Values, error) {
	for _, name := range config.UnknownEnv(os.Environ()) {
		fmt.Fprintf(os.Stderr, "kelian: the environment variable %s means nothing to this version\n", name)
	}
	return config.Read(*f, os.LookupEnv, nil)
}

type serveCmd struct {
	Roles []string `help:"What this process does: api, worker, monitor." default:"api,worker,monitor" enum:"api,worker,monitor"`
}

func (s serveCmd) Run(ctx context.Context, f *config.Flags) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // a request allocates much and keeps nothing; measured in docs/performance.md
	}
	return app.Serve(ctx, *f, s.Roles, os.Stdout)
}

type demoCmd struct {
	Open bool `help:"Listen on the given address even if it is not loopback."`
}

func (d demoCmd) Run(ctx context.Context, f *config.Flags) error {
	return app.RunDemo(ctx, *f, d.Open, os.Stdout)
}

type initCmd struct {
	Login string `help:"Sign-in name of the first account." required:""`
	Name  string `help:"Full name of the first account's owner." required:""`
	Seat  string `help:"Seat of the first account." default:"office.head"`
}

func (i initCmd) Run(ctx context.Context, f *config.Flags) error {
	password, err := secretLine("Password of the first account: ")
	if err != nil {
		return err
	}
	return app.Init(ctx, *f, app.FirstAccount{Login: i.Login, Name: i.Name, Seat: i.Seat, Password: password}, os.Stdout)
}

type migrateCmd struct{}

func (migrateCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, true)
	if err != nil {
		return err
	}
	return app.Migrate(ctx, c, os.Stdout)
}

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Check the whole chain in the database, or an exported request by itself; needs no running server."`
	Key    auditKeyCmd    `cmd:"" help:"Print the public key of checkpoints and exported requests, and in whose name they are signed."`
}

type auditVerifyCmd struct {
	Bundle string `arg:"" optional:"" help:"An exported request (….kelian.jsonl); none = the database." type:"existingfile"`
	Key    string `help:"The signer's public key as kelian audit key prints it; none = the one in the bundle."`
}

func (a auditVerifyCmd) Run(ctx context.Context, f *config.Flags) error {
	if a.Bundle != "" {
		return app.VerifyBundle(a.Bundle, a.Key, os.Stdout)
	}
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.VerifyAudit(ctx, c, os.Stdout)
}

type auditKeyCmd struct{}

func (auditKeyCmd) Run(ctx context.Context, f *config.Flags) error {
	v, err := values(f)
	if err != nil {
		return err
	}
	return app.PrintAuditKey(ctx, v, os.Stdout)
}

type backupCmd struct {
	File string `arg:"" help:"The archive to write, - for standard output."`
}

func (b backupCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.Backup(ctx, c, b.File, os.Stdout)
}

type restoreCmd struct {
	File string `arg:"" help:"The archive to read, - for standard input."`
}

func (r restoreCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, true)
	if err != nil {
		return err
	}
	return app.Restore(ctx, c, r.File, os.Stdout)
}

type doctorCmd struct{}

func (doctorCmd) Run(ctx context.Context, f *config.Flags) error {
	v, err := values(f)
	if err != nil {
		return err
	}
	return app.Doctor(ctx, v, os.Stdout)
}

type schemaCmd struct{}

func (schemaCmd) Run() error {
	_, err := io.WriteString(os.Stdout, app.Schema())
	return err
}

type configCmd struct{}

func (configCmd) Run(f *config.Flags) error {
	v, err := config.Read(*f, os.LookupEnv, nil)
	if err != nil {
		return err
	}
	v.Print(os.Stdout)
	return nil
}

type versionCmd struct{}

func (versionCmd) Run() error {
	fmt.Println("kelian", app.Version)
	return nil
}

type sweepCmd struct {
	Targets        string        `help:"File with one address per line, - for standard input." required:""`
	Timeout        time.Duration `help:"How long an answer may take." default:"1s"`
	Pace           int           `help:"Packets a second, 0 = unpaced." default:"50000"`
	NoTxTimestamps bool          `help:"Do not ask the kernel when a packet left."`
	JSON           bool          `name:"json" help:"One JSON object per line."`
}

func (s sweepCmd) Run(ctx context.Context) error {
	in := io.Reader(os.Stdin)
	if s.Targets != "-" {
		f, err := os.Open(s.Targets)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	return app.Sweep(ctx, app.SweepOptions{Timeout: s.Timeout, Pace: s.Pace, NoTXStamps: s.NoTxTimestamps, JSON: s.JSON}, in, os.Stdout)
}
