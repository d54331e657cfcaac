package app_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kelian/auth"
	"kelian/internal/app"
	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/make"
	"kelian/org"
	"kelian/workflow"
)

// opened is the program on a database of its own, with the accounts of three
// people.
func opened(t *testing.T) (*app.App, *clock.Fake, config.Config, map[string]id.ID) {
	t.Helper()
	v, err := config.Read(config.Flags{DataDir: t.TempDir(), SecretKey: hex.EncodeToString(testkit.Key), AllowHTTP: "true"}, func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Parse(false)
	if err != nil {
		t.Fatal(err)
	}
	now := testkit.Clock()
	a, err := app.Open(t.Context(), c, testkit.Quiet(), app.Options{Clock: now, Migrate: true, AuthParams: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	make.Federation(t, a.DB)
	people := map[string]id.ID{}
	for login, seat := range map[string]string{"hejing": "office.head", "zhouhang": "technical.information.member", "techhead": "technical.head", "songlan": "office.keeper"} {
		people[login], err = a.Auth.AddUser(t.Context(), auth.NewUser{Login: login, Password: "correct horse battery", Person: org.NewPerson{Name: login, Number: "2023" + login}, Seats: []string{seat}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return a, now, c, people
}

const noticeText = `key: office.notice
unit: office
title: {zh: 通知, en: A notice}
about: {zh: 通知, en: A notice.}
form:
  required: [title]
  properties:
    title: {type: string, maxLength: 80, x-title: {zh: 名称, en: Title}}
flow:
  - {step: keeper, title: {zh: 管理员, en: Keeper}, ask: seat(office.keeper)}
send_back: {targets: [start], max: 3}
policy: {empty: league.deputy}
`

func written(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What kelian workflow diff and replay print: two files need no database, a key
// is what is published, and a replay is under an account's authority.
func TestDiffAndReplayFromTheCommandLine(t *testing.T) {
	headed := strings.Replace(noticeText, "send_back:", "  - {step: head, title: {zh: 主任, en: Head}, ask: seat(office.head)}\nsend_back:", 1)
	older, newer := written(t, "older.yaml", noticeText), written(t, "newer.yaml", headed)
	var out bytes.Buffer
	none := func() (config.Config, error) { return config.Config{}, errors.New("the settings were asked for") }
	if err := app.DiffWorkflows(t.Context(), none, older, newer, false, false, &out); err != nil || !strings.Contains(out.String(), "head") {
		t.Fatalf("%v %s", err, out.String())
	}
	out.Reset()
	var list []map[string]any
	if err := app.DiffWorkflows(t.Context(), none, newer, older, true, true, &out); err != nil || json.Unmarshal(out.Bytes(), &list) != nil || len(list) == 0 {
		t.Fatalf("%v %s", err, out.String())
	}
	if err := app.DiffWorkflows(t.Context(), none, older, "", true, false, &out); err == nil {
		t.Error("what is published was compared with without a database")
	}

	a, _, c, people := opened(t)
	if _, err := a.Workflow.Publish(t.Context(), org.Actor{Person: people["hejing"]}, workflow.PublishInput{Source: noticeText, Understaffed: true, IdempotencyKey: "p"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Workflow.Submit(t.Context(), org.Actor{Person: people["zhouhang"]}, workflow.SubmitInput{Definition: "office.notice", Unit: "technical.information",
		Form: map[string]any{"title": "停电"}, IdempotencyKey: "s"}); err != nil {
		t.Fatal(err)
	}
	settings := func() (config.Config, error) { return c, nil }
	for _, names := range [][2]string{{newer, ""}, {"office.notice", newer}, {"office.notice@1", newer}} {
		out.Reset()
		if err := app.DiffWorkflows(t.Context(), settings, names[0], names[1], true, false, &out); err != nil || !strings.Contains(out.String(), "主任") {
			t.Errorf("%v: %v %s", names, err, out.String())
		}
	}
	out.Reset()
	if err := app.ReplayWorkflow(t.Context(), c, "hejing", newer, 10, true, &out); err != nil || !strings.Contains(out.String(), "回放 1 份，1 份有变化") {
		t.Errorf("%v %s", err, out.String())
	}
	if err := app.ReplayWorkflow(t.Context(), c, "zhouhang", newer, 10, true, &out); err == nil {
		t.Error("somebody who may not publish replays")
	}
}

// One process at a time looks at requests; what it finds reaches the technical
// head once.
func TestTheLookInTheBackgroundTellsTheTechnicalHead(t *testing.T) {
	a, now, _, people := opened(t)
	ctx := context.Background()
	if _, err := a.Workflow.Publish(ctx, org.Actor{Person: people["hejing"]}, workflow.PublishInput{Source: noticeText, Understaffed: true, IdempotencyKey: "p"}); err != nil {
		t.Fatal(err)
	}
	out, err := a.Workflow.Submit(ctx, org.Actor{Person: people["zhouhang"]}, workflow.SubmitInput{Definition: "office.notice", Unit: "technical.information",
		Form: map[string]any{"title": "停电"}, IdempotencyKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	make.InTx(t, a.DB, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`UPDATE task SET seat = 'fed.chair' WHERE request_id = ?`, out.Request)
		return nil
	})
	told := func() (n int) {
		for {
			rows, err := outbox.Claim(ctx, a.DB, outbox.QueueDefault, now.Now())
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			for _, r := range rows {
				d, err := outbox.Load(ctx, a.DB, r.ID, r.Attempt)
				if err == nil {
					err = a.Registry.Run(ctx, d)
				}
				if err != nil && !errors.Is(err, store.ErrStale) {
					t.Fatal(d.Topic, err)
				}
			}
		}
		if err := a.DB.R.NewRaw(`SELECT count(*) FROM notification WHERE topic = ? AND person = ?`, workflow.TopicMismatch, people["techhead"]).Scan(ctx, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if holds, err := a.DB.Lease(ctx, "workflow.refold", "another", 1e12); err != nil || !holds {
		t.Fatal(holds, err)
	}
	since := workflow.ClosedAt{}
	if next := a.RefoldOnce(ctx, "this", since); !next.At.Equal(now.Now()) || told() != 0 {
		t.Fatalf("it looked without the lease, and goes on at %v", next)
	}
	if err := a.DB.Unlease(ctx, "workflow.refold", "another"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		since = a.RefoldOnce(ctx, "this", since)
	}
	if n := told(); n != 1 {
		t.Errorf("the technical head was told %d times", n)
	}
}
