package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"kelian/internal/config"
	"kelian/org"
	"kelian/workflow"
)

// DiffWorkflows says what changes between two definitions, as lines or as JSON.
// Each is a file, or key or key@version of the database, which alone needs the
// settings; an empty to stands for what is published under from's key, as the
// older of the two.
func DiffWorkflows(ctx context.Context, settings func() (config.Config, error), from, to string, zh, asJSON bool, out io.Writer) error {
	var older, newer *workflow.Definition
	err := withDefinitions(ctx, settings, func(read func(name string) (*workflow.Definition, error)) error {
		var err error
		if older, err = read(from); err != nil {
			return err
		}
		if to != "" {
			newer, err = read(to)
			return err
		}
		newer = older
		older, err = read(newer.Flow.Key)
		return err
	})
	if err != nil {
		return err
	}
	list := workflow.Diff(older, newer)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	_, err = io.WriteString(out, workflow.DiffText(list, zh))
	return err
}

// ReplayWorkflow runs the newest requests of a definition through a text of it,
// under the authority of the account, and says what they would have met.
func ReplayWorkflow(ctx context.Context, c config.Config, login, file string, last int, zh bool, out io.Writer) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return withWorkflows(ctx, c, func(a *App) error {
		person, err := a.Auth.PersonOf(ctx, login)
		if err != nil {
			return err
		}
		report, err := a.Workflow.Replay(ctx, org.Actor{Person: person, Lang: "zh"}, workflow.ReplayInput{Source: string(src), Last: last})
		if err != nil {
			return placed(file, err)
		}
		_, err = io.WriteString(out, report.Text(zh))
		return err
	})
}

// withDefinitions gives fn a reader of definitions by file or by key; the
// database is open until fn returns, once it was needed.
func withDefinitions(ctx context.Context, settings func() (config.Config, error), fn func(read func(name string) (*workflow.Definition, error)) error) error {
	var opened *App
	defer func() {
		if opened != nil {
			opened.Close()
		}
	}()
	return fn(func(name string) (*workflow.Definition, error) {
		if src, err := os.ReadFile(name); err == nil {
			d, err := workflow.Load(src, known())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return d, nil
		}
		key, n, err := versionName(name)
		if err != nil {
			return nil, err
		}
		if opened == nil {
			c, err := settings()
			if err != nil {
				return nil, err
			}
			if opened, err = Open(ctx, c, NewLog("error", os.Stderr), Options{}); err != nil {
				return nil, err
			}
		}
		d, err := opened.Workflow.Stored(ctx, key, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return d, nil
	})
}

// versionName reads key or key@version.
func versionName(name string) (key string, n int, err error) {
	key, number, given := strings.Cut(name, "@")
	if given {
		if n, err = strconv.Atoi(number); err != nil || n < 1 {
			return "", 0, fmt.Errorf("%s is no file and no key@version", name)
		}
	}
	return key, n, nil
}
