package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"kelian/desk/property"
	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/proof"
	"kelian/workflow/render"
)

// errNotSound says that a checked workflow has mistakes; they are printed.
var errNotSound = errors.New("not every workflow is sound")

func known() workflow.Known { return workflow.Known{Facts: property.Facts(), Effects: effects()} }

// CheckWorkflows proves definitions without a database: each mistake with its
// place, in both languages, or the reports as JSON. The people are looked at
// when a definition is published.
func CheckWorkflows(files []string, asJSON bool, out io.Writer) error {
	sound := true
	var reports []*proof.Report
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		r := workflow.ProveSource(src, known(), time.Now())
		sound, reports = sound && r.OK(), append(reports, r)
		if asJSON {
			continue
		}
		for _, f := range r.Findings {
			fmt.Fprintf(out, "%s:%d:%d: %s %s\n  %s\n  %s\n", name, f.Line, f.Col, f.Severity, f.Code, f.Zh, f.En)
		}
		if r.OK() {
			fmt.Fprintf(out, "%s: OK (control %s, data %s)\n", name, r.Control.Verdict, r.Data.Verdict)
		}
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(reports); err != nil {
			return err
		}
	}
	if !sound {
		return errNotSound
	}
	return nil
}

// RenderWorkflow draws a definition; format is mermaid, bpmn or svg, lang zh or
// en.
func RenderWorkflow(file, format, lang string, out io.Writer) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d, err := workflow.Load(src, known())
	if err != nil {
		return err
	}
	text, err := render.Draw(d.Flow, render.Lang(lang), render.Format(format), render.Words{})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

func withWorkflows(ctx context.Context, c config.Config, fn func(*App) error) error {
	a, err := Open(ctx, c, NewLog("error", os.Stderr), Options{})
	if err != nil {
		return err
	}
	defer a.Close()
	return fn(a)
}

// ExportWorkflows writes the text of every published definition, as it was
// published, to <dir>/<key>.yaml.
func ExportWorkflows(ctx context.Context, c config.Config, dir string, out io.Writer) error {
	return withWorkflows(ctx, c, func(a *App) error {
		all, err := a.Workflow.Published(ctx)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, l := range all {
			name := filepath.Join(dir, l.Key+".yaml")
			if err := os.WriteFile(name, l.Definition.Source, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s  v%d  %.12s\n", name, l.N, l.Hash)
		}
		return nil
	})
}

// ImportWorkflows publishes definitions under the authority of the account; a
// text that is the published one already changes nothing.
func ImportWorkflows(ctx context.Context, c config.Config, login string, files []string, out io.Writer) error {
	return withWorkflows(ctx, c, func(a *App) error {
		person, err := a.Auth.PersonOf(ctx, login)
		if err != nil {
			return err
		}
		for _, name := range files {
			src, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			p, err := a.Workflow.Publish(ctx, org.Actor{Person: person, Lang: "zh"}, workflow.PublishInput{Source: string(src), IdempotencyKey: id.New().String()})
			if err != nil {
				return placed(name, err)
			}
			state := "published"
			if !p.Changed {
				state = "unchanged"
			}
			fmt.Fprintf(out, "%s  v%d  %s\n", p.Definition, p.N, state)
		}
		return nil
	})
}

// placed names the file and the lines of a definition's mistakes.
func placed(name string, err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	if list, ok := f.Detail.(error); ok {
		return fmt.Errorf("%s: %w\n%w", name, err, list)
	}
	return fmt.Errorf("%s: %w", name, err)
}
