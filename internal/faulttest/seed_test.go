//go:build fault && linux

package faulttest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"kelian/auth"
	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/internal/app"
	"kelian/internal/config"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/org"
	"kelian/workflow"
)

// The people of both threads, by the seat they hold; the technician is 周航.
var people = map[string]string{
	"technical.information.member": "周航", "technical.head": "秦越", "office.head": "何静", "office.keeper": "宋岚", "fed.vice": "顾晨",
	"liaison.head": "沈悦", "liaison.member": "唐宁", "league.finance": "方芳", "society.robotics.chair": "阿依努尔", "society.robotics.advisor": "韩老师",
	"college.mech.head": "许诺", "supervision.member": "陆远", "supervision.head": "蒋蔚", "league.teacher": "刘老师",
}

const technician = "technical.information.member"

// The network: two access switches behind a core switch. The second serves
// 实验楼 and is what gets cut.
const probeNets = "127.78.0.0/16"

var (
	coreSwitch = netip.MustParseAddr("127.78.0.1")
	quietSide  = addresses(1, 4)
	cutSide    = addresses(2, 3) // the switch first
	building   = "实验楼"
	room       = "A101"
)

func addresses(side, n int) (out []netip.Addr) {
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{127, 78, byte(side), byte(i + 1)}))
	}
	return out
}

// federation is what every scenario starts from.
type federation struct {
	sqlite   string // the directory with a database file
	postgres string // the template's name on the test server
	archive  string // for a server of a test's own
	tokens   map[string]string
	persons  map[string]string // TypeIDs by seat
	password string            // of liaison.head, whose allocation asks for it
	pledge   string
	pings    bool // the machine may send ICMP
	mu       sync.Mutex
	copies   int
}

var seeded federation

// zone is a time zone in which it is about noon: messages are not held back by
// the quiet hours, and technicians are awake.
func zone() *time.Location {
	loc, err := time.LoadLocation(zoneName())
	if err != nil {
		panic(err)
	}
	return loc
}

var zoneName = sync.OnceValue(func() string {
	east := 12 - time.Now().UTC().Hour() // from -11 to 12, and Etc counts westwards
	return fmt.Sprintf("Etc/GMT%+d", -east)
})

// seed makes the federation in an SQLite file and takes it to PostgreSQL by
// backup and restore.
func seed() error {
	seeded.sqlite = filepath.Join(temp, "seed")
	env := map[string]string{"KELIAN_DATA_DIR": seeded.sqlite}
	if err := os.MkdirAll(seeded.sqlite, 0o700); err != nil {
		return err
	}
	if err := populate(env); err != nil {
		return err
	}
	seeded.archive = filepath.Join(temp, "seed.kelian")
	if _, err := command(env, "backup", seeded.archive); err != nil {
		return err
	}
	seeded.postgres = fmt.Sprintf("kelian_fault_%d", os.Getpid())
	if err := admin("CREATE DATABASE " + seeded.postgres); err != nil {
		return err
	}
	_, err := command(map[string]string{"KELIAN_DATA_DIR": filepath.Join(temp, "restore"), "KELIAN_DATABASE_URL": database(seeded.postgres)}, "restore", seeded.archive)
	return err
}

// settings of one process.
func settings(extra map[string]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + temp, "KELIAN_SECRET_KEY=" + hex.EncodeToString(testkit.Key), "KELIAN_TIMEZONE=" + zoneName(),
		"KELIAN_PROBE_NETS=" + probeNets, "KELIAN_ALLOW_HTTP=true", "KELIAN_MAIL_FROM=kelian@kelian.example", "KELIAN_MAIL_TLS=none"}
	if under.timing != "" {
		env = append(env, "KELIAN_FAULT_TIMING="+under.timing)
	}
	for k, v := range extra {
		env = append(env, k+"="+v)
	}
	return env
}

// command runs kelian to its end.
func command(env map[string]string, args ...string) (string, error) {
	c := exec.Command(binary, args...)
	c.Env = settings(env)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("kelian %v: %w\n%s", args, err, out.String())
	}
	return out.String(), nil
}

func populate(env map[string]string) error {
	ctx := context.Background()
	v, err := config.Read(config.Flags{DataDir: env["KELIAN_DATA_DIR"], SecretKey: hex.EncodeToString(testkit.Key), Timezone: zoneName(), ProbeNets: probeNets},
		func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		return err
	}
	c, err := v.Parse(false)
	if err != nil {
		return err
	}
	a, err := app.Open(ctx, c, testkit.Quiet(), app.Options{Migrate: true, Loopback: true, AuthParams: auth.Params{Memory: 1024, Time: 1, Threads: 1}})
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := org.Seed(ctx, a.DB, a.Clock, org.Template()); err != nil {
		return err
	}
	s := &seeder{a: a, who: map[string]org.Actor{}}
	return errors.Join(s.accounts(ctx), s.standing(ctx), s.money(ctx), s.network(ctx), s.drain(ctx))
}

// drain does the background work of the seeds, so that scenarios begin with an
// empty outbox.
func (s *seeder) drain(ctx context.Context) error {
	for {
		var rows []outbox.Claimed
		for _, queue := range outbox.Queues {
			more, err := outbox.Claim(ctx, s.a.DB, queue, s.a.Clock.Now())
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
		for _, r := range rows {
			d, err := outbox.Load(ctx, s.a.DB, r.ID, r.Attempt)
			if err == nil {
				err = s.a.Registry.Run(ctx, d)
			}
			if err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			return nil
		}
	}
}

type seeder struct {
	a   *app.App
	who map[string]org.Actor
}

func key() string { return id.Secret(20) }

func (s *seeder) accounts(ctx context.Context) error {
	seeded.tokens, seeded.persons, seeded.password = map[string]string{}, map[string]string{}, auth.GeneratePassword()
	for seat, name := range people {
		u := auth.NewUser{Login: seat, Seats: []string{seat}, Person: org.NewPerson{Kind: org.Officer, Lang: "zh", Name: name,
			Contacts: []org.Contact{{Kind: "email", Value: seat + "@kelian.example", Verified: true}}}}
		if seat == "liaison.head" {
			u.Password = seeded.password
		}
		person, err := s.a.Auth.AddUser(ctx, u)
		if err != nil {
			return fmt.Errorf("%s: %w", seat, err)
		}
		s.who[seat], seeded.persons[seat] = org.Actor{Person: person, Lang: "zh"}, person.TypeID("per")
		seeded.tokens[seat], _, err = s.a.Auth.MintToken(ctx, person, auth.NewToken{Name: "fault", Scopes: []string{"all"}, Expires: time.Now().Add(24 * time.Hour)})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) standing(ctx context.Context) error {
	from := s.a.Clock.Now()
	_, err := s.a.Org.SetPortfolio(ctx, s.who["office.head"], org.SetPortfolio{IdempotencyKey: key(), Unit: "technical", Seat: "fed.vice", Person: s.who["fed.vice"].Person, From: from})
	if err != nil {
		return err
	}
	if _, err := s.a.Org.SetSkill(ctx, s.who["technical.head"], org.SetSkill{IdempotencyKey: key(), Person: s.who[technician].Person, Name: "network", From: from}); err != nil {
		return err
	}
	if _, err := s.a.Workflow.Publish(ctx, s.who["office.head"], workflow.PublishInput{Source: rallyYAML(), Understaffed: true, IdempotencyKey: key()}); err != nil {
		return err
	}
	_, err = s.a.Property.SavePlace(ctx, s.who["office.head"], property.PlaceInput{IdempotencyKey: key(), Code: room, Kind: property.Room, NameZh: "活动中心 A101",
		NameEn: "Activity centre A101", Seats: 120, Unit: "office"})
	return err
}

func (s *seeder) money(ctx context.Context) error {
	ning := s.who["liaison.member"] // not the head, who would be told twice
	firm, err := s.a.Sponsor.CreateOrganisation(ctx, ning, sponsor.OrganisationInput{Kind: sponsor.Company, Name: "星火电子", IdempotencyKey: key()})
	if err != nil {
		return err
	}
	p, err := s.a.Sponsor.CreatePledge(ctx, ning, sponsor.PledgeInput{Organisation: firm, Kind: sponsor.Cash, Amount: 200000, Returns: "海报署名", IdempotencyKey: key()})
	if err != nil {
		return err
	}
	seeded.pledge = p.Pledge.TypeID("plg")
	if _, err := s.a.Sponsor.Act(ctx, s.who["liaison.head"], sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActAgree, Amount: 200000, Due: s.a.Clock.Now().AddDate(0, 0, 30), IdempotencyKey: key()}); err != nil {
		return err
	}
	_, err = s.a.Sponsor.Act(ctx, s.who["league.finance"], sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActReceive, Amount: 200000, Voucher: "回单 1", IdempotencyKey: key()})
	return err
}

// devicePort is where the devices listen when they cannot be pinged.
const devicePort = 7708

func (s *seeder) network(ctx context.Context) error {
	mode, _ := s.a.Prober.Mode()
	seeded.pings = mode != probe.ModeNone
	host := func(addr netip.Addr, buildings []string, needs ...id.ID) (id.ID, error) {
		in := netmon.HostInput{NameZh: addr.String(), NameEn: addr.String(), Address: addr.String(), Buildings: buildings, IdempotencyKey: key()}
		in.Checks = []netmon.CheckInput{{Kind: netmon.ICMP, Seconds: 10}}
		if !seeded.pings {
			in.Checks = []netmon.CheckInput{{Kind: netmon.TCP, Target: netip.AddrPortFrom(addr, devicePort).String(), Seconds: 10}}
		}
		for _, n := range needs {
			in.Needs = append(in.Needs, []id.ID{n})
		}
		out, err := s.a.Netmon.CreateHost(ctx, s.who["technical.head"], in)
		return out.Host, err
	}
	core, err := host(coreSwitch, nil)
	if err != nil {
		return err
	}
	for i, side := range [][]netip.Addr{quietSide, cutSide} {
		at := []string{"图书馆", building}[i]
		access, err := host(side[0], []string{at}, core)
		for _, addr := range side[1:] {
			if err == nil {
				_, err = host(addr, []string{at}, access)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fresh makes a scenario's own copy on the test server.
func (f *federation) fresh() (address, name string, err error) {
	f.mu.Lock() // a template cannot be copied twice at once
	defer f.mu.Unlock()
	f.copies++
	name = fmt.Sprintf("%s_%d", f.postgres, f.copies)
	return database(name), name, admin("CREATE DATABASE " + name + " TEMPLATE " + f.postgres)
}

func (f *federation) drop() {
	if err := admin("DROP DATABASE IF EXISTS " + f.postgres + " WITH (FORCE)"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// admin runs one statement on the test server's maintenance database.
func admin(stmt string) error {
	db, err := store.Open(context.Background(), store.Options{URL: testkit.PostgresURL(), Key: testkit.Key, Pool: 1, Statement: time.Minute})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.Bun().Exec(stmt)
	return err
}

// database is the address of a database on the test server.
func database(name string) string {
	u, err := url.Parse(testkit.PostgresURL())
	if err != nil {
		panic(err)
	}
	u.Path = "/" + name
	return u.String()
}
