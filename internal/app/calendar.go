package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/outbox"
	"kelian/migrations"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow"
)

// calendarConsumer handles calendar.TopicChanged.
const calendarConsumer = "workflow"

// ImportHolidays reads the State Council's notice on a year from a JSON file and
// says which open due times it moves; unless dry, it stores the notice, and a
// running service moves them.
func ImportHolidays(ctx context.Context, v config.Values, file string, dry bool, out io.Writer) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	notice, err := calendar.ParseNotice(raw)
	if err != nil {
		return err
	}
	c, err := v.Parse(false)
	if err != nil {
		return err
	}
	db, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrations.Check(ctx, db.Bun()); err != nil {
		return err
	}
	stored, err := storedSettings(ctx, db)
	if err != nil {
		return err
	}
	if c, err = v.WithStored(stored).Parse(false); err != nil {
		return err
	}
	rules := Rules()
	people := org.New(db, clock.System{}, rules, c.Timezone)
	requests := workflow.New(db, clock.System{}, rules, workflow.Options{Location: c.Timezone, Effects: effects()})
	cal, err := people.CalendarWith(ctx, notice)
	if err != nil {
		return err
	}
	moves, err := requests.DueMoves(ctx, cal)
	if err != nil {
		return err
	}
	printMoves(out, notice, moves, c.Timezone)
	if dry {
		fmt.Fprintln(out, "只是预览，没有导入 · dry run, nothing was imported")
		return nil
	}
	outbox.Route(calendar.TopicChanged, calendarConsumer)
	if err := people.ImportHolidaysHere(ctx, notice); err != nil {
		return err
	}
	fmt.Fprintln(out, "已导入 · imported")
	return nil
}

func printMoves(out io.Writer, n calendar.Notice, moves []workflow.DueMove, loc *time.Location) {
	off := 0
	for _, d := range n.Days {
		if d.Off {
			off++
		}
	}
	fmt.Fprintf(out, "%d：放假 %d 天，补班 %d 天 · %d days off, %d make-up working days\n", n.Year, off, len(n.Days)-off, off, len(n.Days)-off)
	const layout = "2006-01-02 15:04"
	moved := 0
	for _, m := range moves {
		if m.From.Equal(m.To) {
			continue
		}
		moved++
		fmt.Fprintf(out, "%s %s  %s → %s（%s）\n", m.Number, m.Title.Zh, m.From.In(loc).Format(layout), m.To.In(loc).Format(layout), m.Rule.Text.Zh)
	}
	fmt.Fprintf(out, "改期 %d 项，确认不变 %d 项 · %d due times move, %d are confirmed\n", moved, len(moves)-moved, moved, len(moves)-moved)
}
