package graph

import (
	"context"

	"kelian/graph/model"
	"kelian/org"
)

func unitOf(u org.Unit) model.Unit {
	return model.Unit{ID: u.ID.TypeID("unt"), Code: u.Code, Kind: model.UnitKind(u.Kind), Name: text(u.NameZh, u.NameEn),
		ShortName: text(u.ShortZh, u.ShortEn), Campus: u.Campus, ParentID: u.Parent, CollegeCode: u.College}
}

func seatOf(s org.Seat) model.Seat {
	return model.Seat{Name: s.Name, Title: text(s.TitleZh, s.TitleEn), Capacity: s.Capacity}
}

func (r *Resolver) fed(ctx context.Context) (*federation, error) {
	f, _, err := r.load(ctx).federation.Get(ctx, struct{}{})
	return f, err
}

// unitsOf lists units with their parents first.
func unitsOf(f *federation) []model.Unit {
	depth := func(u org.Unit) (n int) {
		for p, ok := f.byID[u.Parent]; ok && n < len(f.units); p, ok = f.byID[p.Parent] {
			n++
		}
		return n
	}
	var out []model.Unit
	for level := 0; len(out) < len(f.units); level++ {
		for _, u := range f.units {
			if depth(u) == level {
				out = append(out, unitOf(u))
			}
		}
	}
	return out
}

// viewer describes the caller; nil for a stranger.
func (r *Resolver) viewer(ctx context.Context) *model.Viewer {
	who := whoOf(ctx)
	if who.Anonymous() {
		return nil
	}
	return &model.Viewer{Person: r.person(ctx, who.Person, ""), Language: who.Lang}
}

// unitName is a unit's name by its code; the code where there is no such unit.
func (r *Resolver) unitName(ctx context.Context, code string) (model.Text, error) {
	f, err := r.fed(ctx)
	if err != nil {
		return model.Text{}, err
	}
	if u, ok := f.byCode[code]; ok {
		return text(u.NameZh, u.NameEn), nil
	}
	return text(code, code), nil
}
