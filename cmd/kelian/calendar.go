package main

import (
	"context"
	"os"

	"kelian/internal/app"
	"kelian/internal/config"
)

type calendarCmd struct {
	Import calendarImportCmd `cmd:"" help:"Take over the State Council's notice on the holidays of a year."`
}

type calendarImportCmd struct {
	File   string `arg:"" help:"The notice as JSON: {year, papers, days: [{name, date, isOffDay}]}." type:"existingfile"`
	DryRun bool   `help:"Only say which open due times would move."`
}

func (i calendarImportCmd) Run(ctx context.Context, f *config.Flags) error {
	v, err := values(f)
	if err != nil {
		return err
	}
	return app.ImportHolidays(ctx, v, i.File, i.DryRun, os.Stdout)
}
