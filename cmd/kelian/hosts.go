package main

import (
	"context"
	"os"

	"kelian/internal/app"
	"kelian/internal/config"
)

type hostsCmd struct {
	Import hostsImportCmd `cmd:"" help:"Bring hosts to what a file says; kuma.db of Uptime Kuma 2 too."`
	Export hostsExportCmd `cmd:"" help:"Write all hosts as YAML that makes the same network again, with the secrets of heartbeats."`
}

type hostsImportCmd struct {
	Format string `help:"How the file is written." enum:"yaml,kuma,gatus,prometheus,csv" default:"yaml"`
	File   string `arg:"" type:"existingfile"`
	DryRun bool   `help:"Only say what would become of each row."`
}

func (i hostsImportCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.ImportHosts(ctx, c, i.Format, i.File, i.DryRun, os.Stdout)
}

type hostsExportCmd struct{}

func (hostsExportCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.ExportHosts(ctx, c, os.Stdout)
}
