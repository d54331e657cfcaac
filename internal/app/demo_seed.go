package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"kelian/auth"
	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/org"
)

// seeder fills a fresh database with a federation that has a past. Everything
// goes through the services, at the times it is to have happened.
type seeder struct {
	a        *App
	clk      *clock.Fake
	now      time.Time // the present of the demo
	who      map[string]org.Actor
	holder   map[string]string // seat → login
	accounts []demoAccount
	n        int
}

// demoAccount is a line of demo.json.
type demoAccount struct {
	Login    string   `json:"login"`
	Password string   `json:"password"`
	Token    string   `json:"token"`
	Name     string   `json:"name"`
	Seats    []string `json:"seats"`
}

func (s *seeder) key() string { s.n++; return fmt.Sprintf("demo-seed-%06d", s.n) }

// as is the holder of a seat.
func (s *seeder) as(seat string) org.Actor { return s.who[s.holder[seat]] }

// run seeds everything.
func (s *seeder) run(ctx context.Context) error {
	s.clk.Advance(s.now.AddDate(-1, 0, 0).Sub(s.clk.Now()))
	for _, step := range []func(context.Context) error{s.people, s.things, s.network, s.past, s.present, s.tokens} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) people(ctx context.Context) error {
	template := org.Template()
	if _, err := org.Seed(ctx, s.a.DB, s.clk, template); err != nil {
		return err
	}
	s.who, s.holder = map[string]org.Actor{}, map[string]string{}
	number := 2023010100
	for _, c := range append(append([]castMember{}, cast...), extras(template)...) {
		number++
		acc := demoAccount{Login: c.Login, Name: c.Name, Seats: c.Seats}
		p := org.NewPerson{Kind: org.Officer, Lang: "zh", Name: c.Name, Number: fmt.Sprint(number),
			Contacts: []org.Contact{{Kind: "email", Value: c.Login + "@kelian.example", Verified: true}}}
		if c.LinkOnly {
			p.Kind = org.Outsider
		} else {
			acc.Password = auth.GeneratePassword()
		}
		person, err := s.a.Auth.AddUser(ctx, auth.NewUser{Login: c.Login, Password: acc.Password, Person: p, Seats: c.Seats})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Login, err)
		}
		s.who[c.Login] = org.Actor{Person: person, Lang: "zh"}
		for _, seat := range c.Seats {
			s.holder[seat] = c.Login
		}
		s.accounts = append(s.accounts, acc)
	}
	return s.standing(ctx)
}

// tokens are for those who try the API.
func (s *seeder) tokens(ctx context.Context) error {
	s.clk.Advance(s.now.Sub(s.clk.Now()))
	for i, a := range s.accounts {
		if a.Password == "" {
			continue
		}
		var err error
		s.accounts[i].Token, _, err = s.a.Auth.MintToken(ctx, s.who[a.Login].Person, auth.NewToken{Name: "demo", Scopes: []string{"all"}, Expires: s.now.AddDate(0, 6, 0)})
		if err != nil {
			return err
		}
	}
	return nil
}

// standing is who answers for what, who can do what, and who is in class now.
func (s *seeder) standing(ctx context.Context) error {
	head := s.as("office.head")
	from := s.clk.Now()
	errs := []error{}
	add := func(_ any, err error) { errs = append(errs, err) }
	for _, unit := range []string{"technical", "office", "supervision", "liaison", "publicity"} {
		add(s.a.Org.SetPortfolio(ctx, head, org.SetPortfolio{IdempotencyKey: s.key(), Unit: unit, Seat: "fed.vice", Person: s.who["guchen"].Person, From: from}))
	}
	add(s.a.Org.SetLiaison(ctx, s.as("supervision.head"), org.SetLiaison{IdempotencyKey: s.key(), Unit: "society.robotics", Person: s.who["luyuan"].Person, From: from}))
	chief := s.as("technical.head")
	for login, skills := range map[string][]string{"zhouhang": {"network", "computer"}, "linxiaoman": {"network", "appliance", "computer"},
		s.holder["technical.information.technician"]: {"computer"}, s.holder["technical.maintenance.technician"]: {"appliance"}, s.holder["technical.trainer"]: {"teaching"}} {
		for _, skill := range skills {
			add(s.a.Org.SetSkill(ctx, chief, org.SetSkill{IdempotencyKey: s.key(), Person: s.who[login].Person, Name: skill, From: from}))
		}
	}
	// 林小满 has no free hour today; 周航 has all of them.
	today := int(s.now.In(s.a.Config.Timezone).Weekday()+6)%7 + 1
	var hours []org.FreeHour
	for d := 1; d <= 7; d++ {
		if d != today && d != today%7+1 {
			hours = append(hours, org.FreeHour{Weekday: d, Parity: "all", FromMin: 0, ToMin: 1440})
		}
	}
	add(s.a.Org.SetFreeHours(ctx, s.who["linxiaoman"], org.SetFreeHours{IdempotencyKey: s.key(), Hours: hours}))
	return errors.Join(errs...)
}

// things are what the office and the sponsors have.
func (s *seeder) things(ctx context.Context) error {
	keeper := s.as("office.keeper")
	for _, i := range []property.ItemInput{
		{Code: "SFP-10G", Kind: property.Stock, NameZh: "光模块", NameEn: "Optical module", Quantity: 0, Unit: "office"},
		{Code: "PROJ", Kind: property.Equipment, NameZh: "投影仪", NameEn: "Projector", Quantity: 3, Unit: "office"},
		{Code: "TENT", Kind: property.Equipment, NameZh: "帐篷", NameEn: "Tent", Quantity: 6, Unit: "office"},
	} {
		i.IdempotencyKey = s.key()
		if _, err := s.a.Property.SaveItem(ctx, keeper, i); err != nil {
			return err
		}
	}
	for _, p := range []property.PlaceInput{
		{Code: "A101", Kind: property.Room, NameZh: "活动中心 A101", NameEn: "Activity centre A101", Seats: 120, Unit: "office"},
		{Code: "B203", Kind: property.Room, NameZh: "活动中心 B203", NameEn: "Activity centre B203", Seats: 40, Unit: "office"},
		{Code: "BOARD-1", Kind: property.Board, NameZh: "一食堂展板", NameEn: "Board at canteen 1", Unit: "publicity"},
	} {
		p.IdempotencyKey = s.key()
		if _, err := s.a.Property.SavePlace(ctx, s.as("office.head"), p); err != nil {
			return fmt.Errorf("place %s: %w", p.Code, err)
		}
	}
	yue := s.who["shenyue"]
	s.clk.Advance(s.now.AddDate(0, 0, -40).Sub(s.clk.Now()))
	firm, err := s.a.Sponsor.CreateOrganisation(ctx, yue, sponsor.OrganisationInput{Kind: sponsor.Company, Name: "星火电子", IdempotencyKey: s.key()})
	if err != nil {
		return err
	}
	pledge, err := s.a.Sponsor.CreatePledge(ctx, yue, sponsor.PledgeInput{Organisation: firm, Kind: sponsor.Cash, Amount: 200000, Returns: "开放日海报署名", IdempotencyKey: s.key()})
	if err != nil {
		return err
	}
	if _, err := s.a.Sponsor.Act(ctx, yue, sponsor.ActInput{Pledge: pledge.Pledge, Action: sponsor.ActAgree, Amount: 200000, Due: s.clk.Now().AddDate(0, 0, 30), IdempotencyKey: s.key()}); err != nil {
		return err
	}
	s.clk.Advance(10 * 24 * time.Hour)
	_, err = s.a.Sponsor.Act(ctx, s.as("league.finance"), sponsor.ActInput{Pledge: pledge.Pledge, Action: sponsor.ActReceive, Amount: 200000, Voucher: "银行回单 0918-03", IdempotencyKey: s.key()})
	return err
}

// The addresses of the demo's devices, all on loopback.
var (
	demoCore    = netip.MustParseAddr("127.77.0.1")
	demoSwitch1 = netip.MustParseAddr("127.77.0.2")
	demoSwitch2 = netip.MustParseAddr("127.77.0.3")
)

// demoBehind are the six hosts behind an access switch.
func demoBehind(n int) []netip.Addr {
	var out []netip.Addr
	for i := range 6 {
		out = append(out, netip.AddrFrom4([4]byte{127, 77, byte(n), byte(i + 1)}))
	}
	return out
}

// network is 17 devices: a core switch, two access switches with six hosts
// each, a web and a DNS server.
func (s *seeder) network(ctx context.Context) error {
	chief := s.as("technical.head")
	host := func(zh, en string, addr netip.Addr, buildings []string, needs ...id.ID) (id.ID, error) {
		in := netmon.HostInput{NameZh: zh, NameEn: en, Address: addr.String(), Buildings: buildings, IdempotencyKey: s.key(),
			Checks: []netmon.CheckInput{s.check(addr)}}
		for _, n := range needs {
			in.Needs = append(in.Needs, []id.ID{n})
		}
		out, err := s.a.Netmon.CreateHost(ctx, chief, in)
		if err != nil {
			return id.Nil, fmt.Errorf("host %s: %w", zh, err)
		}
		return out.Host, nil
	}
	core, err := host("核心交换机", "Core switch", demoCore, nil)
	if err != nil {
		return err
	}
	for n, sw := range []netip.Addr{demoSwitch1, demoSwitch2} {
		buildings := []string{[]string{"图书馆", "7号楼"}[n], []string{"实验楼", "8号楼"}[n]}
		access, err := host(fmt.Sprintf("接入交换机%d", n+1), fmt.Sprintf("Access switch %d", n+1), sw, buildings, core)
		if err != nil {
			return err
		}
		for i, addr := range demoBehind(n + 1) {
			if _, err := host(fmt.Sprintf("%s机柜%d", buildings[i%2], i/2+1), fmt.Sprintf("Cabinet %d-%d", n+1, i+1), addr, buildings[i%2:i%2+1], access); err != nil {
				return err
			}
		}
	}
	if _, err := host("网站服务器", "Web server", netip.MustParseAddr("127.77.0.10"), nil, core); err != nil {
		return err
	}
	_, err = host("域名服务器", "DNS server", netip.MustParseAddr("127.77.0.11"), nil, core)
	return err
}

// demoPort is where the devices listen when they cannot be pinged.
const demoPort = 7707

// check pings a device, or without the right to ping knocks at its port.
func (s *seeder) check(addr netip.Addr) netmon.CheckInput {
	if mode, _ := s.a.Prober.Mode(); mode == probe.ModeNone {
		return netmon.CheckInput{Kind: netmon.TCP, Target: netip.AddrPortFrom(addr, demoPort).String(), Seconds: 10}
	}
	return netmon.CheckInput{Kind: netmon.ICMP, Seconds: 10}
}

// drain does the background work that is due at the seeder's time.
func (s *seeder) drain(ctx context.Context) error {
	for {
		done := 0
		for _, queue := range outbox.Queues {
			rows, err := outbox.Claim(ctx, s.a.DB, queue, s.clk.Now())
			if err != nil {
				return err
			}
			for _, r := range rows {
				d, err := outbox.Load(ctx, s.a.DB, r.ID, r.Attempt)
				if errors.Is(err, store.ErrStale) {
					continue
				}
				if err == nil {
					err = s.a.Registry.Run(ctx, d)
				}
				if err != nil && !errors.Is(err, store.ErrStale) {
					return fmt.Errorf("%s: %w", d.Topic, err)
				}
				done++
			}
		}
		if done == 0 {
			return nil
		}
	}
}
