// Package place makes the federation that the benchmarks of approvals and of
// the API measure: a database of its own, four people on their seats, a
// workflow of three steps, and history by set-based SQL.
package place

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"kelian/auth"
	"kelian/file"
	"kelian/graph"
	"kelian/internal/clock"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/migrations"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/org"
	"kelian/workflow"
)

const definition = `key: office.measured
unit: office
title: {zh: 测量, en: Measured}
about: {zh: 测量用。, en: For measurements.}
form:
  required: [what]
  properties:
    what: {type: string, minLength: 1, maxLength: 200, x-title: {zh: 事项, en: What}}
flow:
  - {step: keep, title: {zh: 保管, en: Keeper}, ask: seat(office.keeper), due: 2bd}
  - {step: head, title: {zh: 部长, en: Head}, ask: seat(office.head), due: 2bd}
  - {step: chair, title: {zh: 主席, en: Chair}, ask: seat(fed.chair), due: 2bd}
policy: {empty: fed.vice}
`

// Definition is the key of the workflow.
const Definition = "office.measured"

// Seats are asked in this order; the requester holds the first one.
var Seats = []string{"technical.head", "office.keeper", "office.head", "fed.chair"}

// Place is the open federation.
type Place struct {
	DB       *store.DB
	Auth     *auth.Service
	Workflow *workflow.Service
	Netmon   *netmon.Service
	People   []id.ID // in the order of Seats
	rules    *org.Table
}

// Fresh makes an empty database beside the one at the address (PostgreSQL), or
// in the directory (for ""), and gives its address and what removes it.
func Fresh(ctx context.Context, server, dir string) (address string, drop func(), err error) {
	if server == "" {
		return "sqlite://" + dir + "/bench.db", func() {}, nil
	}
	db, err := store.Open(ctx, store.Options{URL: server})
	if err != nil {
		return "", nil, err
	}
	name := fmt.Sprintf("kelian_bench_%d", os.Getpid())
	if _, err := db.Bun().ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	base, query, _ := strings.Cut(server, "?")
	at := base[:strings.LastIndex(base, "/")+1] + name
	if query != "" {
		at += "?" + query
	}
	return at, func() {
		_, _ = db.Bun().ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		_ = db.Close()
	}, nil
}

// Open opens the database, and fills it when it is empty.
func Open(ctx context.Context, address string) (*Place, error) {
	db, err := store.Open(ctx, store.Options{URL: address, Key: make([]byte, 32), Statement: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	c := clock.System{}
	rules := org.NewTable(org.Rules(), auth.Rules(), workflow.Rules(), netmon.Rules(), file.Rules())
	p := &Place{DB: db, rules: rules, Workflow: workflow.New(db, c, rules, workflow.Options{}),
		Auth: auth.New(db, c, rules, auth.Options{Params: auth.Params{Memory: 64, Time: 1, Threads: 1}}), Netmon: netmon.New(db, c, rules, netmon.Options{Policy: probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true})})}
	done, err := migrations.Up(ctx, db.Bun())
	if err != nil || done == nil {
		return p, err
	}
	for i := range Seats {
		var who []id.ID
		if err := db.R.NewRaw(`SELECT person_id FROM account WHERE login = ?`, login(i)).Scan(ctx, &who); err == nil && len(who) > 0 {
			p.People = append(p.People, who[0])
		}
	}
	if len(p.People) == len(Seats) {
		return p, nil
	}
	return p, p.fill(ctx, c)
}

const password = "correct horse battery"

func login(i int) string { return fmt.Sprintf("bench%d", i) }

func (p *Place) fill(ctx context.Context, c clock.Clock) error {
	if _, err := org.Seed(ctx, p.DB, c, org.Template()); err != nil {
		return err
	}
	for i, seat := range Seats {
		who, err := p.Auth.AddUser(ctx, auth.NewUser{Login: login(i), Password: password, Person: org.NewPerson{Kind: org.Officer, Name: "甲乙丙丁"[3*i : 3*i+3]}, Seats: []string{seat}})
		if err != nil {
			return err
		}
		p.People = append(p.People, who)
	}
	_, err := p.Workflow.Publish(ctx, org.Actor{Person: p.People[2], Lang: "en"}, workflow.PublishInput{Source: definition, Understaffed: true, IdempotencyKey: "publish"})
	return err
}

// Actor is the person on the seat of that number.
func (p *Place) Actor(i int) org.Actor { return org.Actor{Person: p.People[i], Lang: "en"} }

// Token signs the person in.
func (p *Place) Token(ctx context.Context, i int) (string, error) {
	token, _, err := p.Auth.SignIn(ctx, login(i), password, auth.Device{}, netip.MustParseAddr("127.0.0.1"), "en")
	return token, err
}

// Submit opens n requests by the service, eight at a time.
func (p *Place) Submit(ctx context.Context, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for k := range errs {
		wg.Go(func() {
			for i := k; i < n && errs[k] == nil; i += len(errs) {
				_, errs[k] = p.Create(ctx)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Create opens one request.
func (p *Place) Create(ctx context.Context) (workflow.Outcome, error) {
	return p.Workflow.Submit(ctx, p.Actor(0), workflow.SubmitInput{Definition: Definition, Form: map[string]any{"what": "网线"}, IdempotencyKey: id.New().String()})
}

// Open task of a request.
type Task struct {
	ID, RequestID, Person id.ID
}

// Tasks lists at most n open tasks that Submit's requests wait for.
func (p *Place) Tasks(ctx context.Context, n int) (out []Task, err error) {
	err = p.DB.R.NewRaw(`SELECT t.id, t.request_id, t.person FROM task AS t JOIN request AS r ON r.id = t.request_id
		WHERE t.state = 'open' AND r.series <> 'H' LIMIT ?`, n).Scan(ctx, &out)
	return out, err
}

// Decide approves an open task by the service.
func (p *Place) Decide(ctx context.Context, t Task) error {
	_, err := p.Workflow.Decide(ctx, org.Actor{Person: t.Person, Lang: "en"},
		workflow.DecideInput{Task: t.ID, Verdict: workflow.Approve, FormRev: 1, IdempotencyKey: id.New().String()})
	return err
}

// API is the handler of /graphql.
func (p *Place) API() (http.Handler, error) {
	c := clock.System{}
	h, err := graph.New(graph.Deps{Org: org.New(p.DB, c, p.rules, time.UTC), Auth: p.Auth, Workflow: p.Workflow, Netmon: p.Netmon,
		File: file.New(p.DB, c, p.rules, file.Options{Dir: os.TempDir()}), Clock: c, Log: slog.New(slog.DiscardHandler), Cookie: httpd.Cookie{AllowHTTP: true}})
	return h, err
}
