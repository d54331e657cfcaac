package graph

import (
	"context"
	"sync/atomic"

	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/sponsor"
	"kelian/desk/training"
	"kelian/file"
	"kelian/graph/loader"
	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/netmon"
	"kelian/org"
	"kelian/workflow"
)

// loaders read for one operation, as one caller.
type loaders struct {
	names         *loader.Loader[id.ID, string]
	federation    *loader.Loader[struct{}, *federation]
	profiles      *loader.Loader[id.ID, org.Profile]
	skills        *loader.Loader[id.ID, []org.Skill]
	holders       *loader.Loader[string, []id.ID]
	tenures       *loader.Loader[string, []org.TenureView] // by unit
	portfolios    *loader.Loader[string, []org.Charge]     // by unit
	liaisons      *loader.Loader[string, []org.Charge]     // by unit
	summaries     *loader.Loader[id.ID, workflow.Summary]
	views         *loader.Loader[id.ID, workflow.View]
	hosts         *loader.Loader[id.ID, netmon.HostView]
	proven        *loader.Loader[id.ID, netmon.IncidentView]
	asked         *loader.Loader[id.ID, []repair.Asked]
	lines         *loader.Loader[id.ID, []property.Line]
	organisations *loader.Loader[id.ID, *sponsor.Organisation]
	thanks        *loader.Loader[id.ID, int]
	sessions      *loader.Loader[id.ID, training.Session]
	files         *loader.Loader[id.ID, []file.File] // by request
}

// federation is all units and seats; they are few and public.
type federation struct {
	units  []org.Unit
	byID   map[id.ID]org.Unit
	byCode map[string]org.Unit
	seats  map[id.ID][]org.Seat
	named  map[string]org.Seat
}

// scope keeps the loaders of an operation. A mutation begins with new ones, for
// what was read before it may be old.
type scope struct{ now atomic.Pointer[loaders] }

type scopeKey struct{}

func (d *door) prepare(ctx context.Context) context.Context {
	s := &scope{}
	s.now.Store(d.loaders(ctx))
	return context.WithValue(ctx, scopeKey{}, s)
}

// load gives the operation's loaders.
func (r *Resolver) load(ctx context.Context) *loaders {
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		return s.now.Load()
	}
	return (&door{r.Deps}).loaders(ctx)
}

// renew forgets what was read.
func (r *Resolver) renew(ctx context.Context) {
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		s.now.Store((&door{r.Deps}).loaders(ctx))
	}
}

func (d *door) loaders(ctx context.Context) *loaders {
	who := actorOf(ctx)
	l := &loaders{}
	d.orgLoaders(l, who)
	l.summaries = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]workflow.Summary, error) {
		out, err := d.Workflow.Summaries(ctx, who, ids...)
		for _, s := range out {
			l.wantPeople(s.Requester)
		}
		return out, err
	})
	l.views = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]workflow.View, error) {
		return d.Workflow.Views(ctx, who, ids...)
	})
	l.files = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID][]file.File, error) {
		return d.File.Of(ctx, who, workflow.RefRequest, ids...)
	})
	d.netmonLoaders(l, who)
	d.deskLoaders(l, who)
	return l
}

// wantPeople says that the fields of people may be asked for.
func (l *loaders) wantPeople(people ...id.ID) {
	l.names.Want(people...)
	l.profiles.Want(people...)
	l.skills.Want(people...)
}

func (d *door) orgLoaders(l *loaders, who org.Actor) {
	l.names = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]string, error) {
		return d.Org.NamesFor(ctx, who, ids...)
	})
	l.federation = loader.New(func(ctx context.Context, _ []struct{}) (map[struct{}]*federation, error) {
		f, err := d.federation(ctx, anybody(ctx))
		if err == nil {
			// A unit's seats are made while other units' are asked for their
			// holders already; and units are made in many places.
			for name := range f.named {
				l.holders.Want(name)
			}
			for code := range f.byCode {
				l.tenures.Want(code)
				l.portfolios.Want(code)
				l.liaisons.Want(code)
			}
		}
		return map[struct{}]*federation{{}: f}, err
	})
	l.holders = loader.New(func(ctx context.Context, seats []string) (map[string][]id.ID, error) {
		out, err := d.Org.SeatHolders(ctx, who, seats...)
		for _, people := range out {
			l.wantPeople(people...)
		}
		return out, err
	})
	l.profiles = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]org.Profile, error) {
		list, err := d.Org.People(ctx, who, ids...)
		return byKey(list, func(p org.Profile) id.ID { return p.ID }), err
	})
	l.skills = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID][]org.Skill, error) {
		return d.Org.SkillsOf(ctx, who, ids...)
	})
	l.tenures = loader.New(func(ctx context.Context, units []string) (map[string][]org.TenureView, error) {
		out, err := d.Org.Tenures(ctx, who, units...)
		for _, list := range out {
			for _, t := range list {
				l.wantPeople(t.Person)
			}
		}
		return out, err
	})
	l.portfolios = loader.New(func(ctx context.Context, units []string) (map[string][]org.Charge, error) {
		return l.charged(d.Org.Portfolios(ctx, who, units...))
	})
	l.liaisons = loader.New(func(ctx context.Context, units []string) (map[string][]org.Charge, error) {
		return l.charged(d.Org.Liaisons(ctx, who, units...))
	})
}

// charged says that those in charge may be asked for.
func (l *loaders) charged(out map[string][]org.Charge, err error) (map[string][]org.Charge, error) {
	for _, list := range out {
		for _, c := range list {
			l.wantPeople(c.Person)
		}
	}
	return out, err
}

func (d *door) netmonLoaders(l *loaders, who org.Actor) {
	l.hosts = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]netmon.HostView, error) {
		list, err := d.Netmon.HostsByID(ctx, who, ids...)
		return byKey(list, func(h netmon.HostView) id.ID { return h.ID }), err
	})
	l.proven = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]netmon.IncidentView, error) {
		list, err := d.Netmon.ProvenByID(ctx, who, ids...)
		return byKey(list, func(v netmon.IncidentView) id.ID { return v.ID }), err
	})
}

func (d *door) deskLoaders(l *loaders, who org.Actor) {
	l.asked = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID][]repair.Asked, error) {
		return d.Repair.AssignmentsOf(ctx, who, ids...)
	})
	l.lines = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID][]property.Line, error) {
		return d.Property.LinesOf(ctx, who, ids...)
	})
	l.organisations = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]*sponsor.Organisation, error) {
		return d.Sponsor.OrganisationsByID(ctx, who, ids...)
	})
	l.thanks = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]int, error) {
		list, err := d.Sponsor.ThanksOf(ctx, who, ids...)
		out := map[id.ID]int{}
		for _, t := range list {
			if t.DoneAt.IsZero() && t.VoidAt.IsZero() {
				out[t.Pledge]++
			}
		}
		return out, err
	})
	l.sessions = loader.New(func(ctx context.Context, ids []id.ID) (map[id.ID]training.Session, error) {
		return d.Training.SessionsByID(ctx, who, ids...)
	})
}

func (d *door) federation(ctx context.Context, who org.Actor) (*federation, error) {
	units, err := d.Org.Units(ctx, who)
	if err != nil {
		return nil, err
	}
	seats, err := d.Org.Seats(ctx, who, "")
	if err != nil {
		return nil, err
	}
	f := &federation{units: units, byID: map[id.ID]org.Unit{}, byCode: map[string]org.Unit{}, seats: map[id.ID][]org.Seat{}, named: map[string]org.Seat{}}
	for _, u := range units {
		f.byID[u.ID], f.byCode[u.Code] = u, u
	}
	for _, s := range seats {
		f.seats[s.UnitID] = append(f.seats[s.UnitID], s)
		f.named[s.Name] = s
	}
	return f, nil
}

func byKey[V any](list []V, key func(V) id.ID) map[id.ID]V {
	out := make(map[id.ID]V, len(list))
	for _, v := range list {
		out[key(v)] = v
	}
	return out
}

// person names somebody; known is the name where the domain told it.
func (r *Resolver) person(ctx context.Context, who id.ID, known string) model.Person {
	r.load(ctx).wantPeople(who)
	return model.Person{ID: who.TypeID("per"), Key: who, Known: known}
}

// profile is a person of whom the door was told more than the name.
func (r *Resolver) profile(ctx context.Context, p org.Profile) model.Person {
	r.load(ctx).profiles.Put(p.ID, p)
	return r.person(ctx, p.ID, p.Name)
}

func (r *Resolver) personOrNil(ctx context.Context, who id.ID, known string) *model.Person {
	if who.IsZero() {
		return nil
	}
	p := r.person(ctx, who, known)
	return &p
}
