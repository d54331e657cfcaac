package netmon

import (
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
)

// sort orders the rows so that hosts come before those that need them. Rows
// whose needs form a cycle are refused, naming it, and with them those that
// need a host which therefore does not come to be.
func (p *plan) sort() {
	for {
		w := &walk{p: p, at: map[id.ID]int{}, mark: map[id.ID]uint8{}, old: map[id.ID]*node{}}
		for i, n := range p.nodes {
			w.at[n.ID] = i
		}
		for _, h := range p.t.live {
			w.old[h.ID] = h
		}
		for i := range p.rows {
			if w.cycle == nil && p.results[i].Result == "" && w.mark[p.nodes[i].ID] == 0 {
				w.visit(p.nodes[i].ID)
			}
		}
		if w.cycle == nil {
			p.order = w.order
			return
		}
		p.refuseCycle(w)
	}
}

// walk goes through needs, depth first.
type walk struct {
	p     *plan
	at    map[id.ID]int // host → row
	old   map[id.ID]*node
	mark  map[id.ID]uint8 // 1 = on the way, 2 = done
	way   []id.ID
	cycle []id.ID
	order []int
}

// needs of a host as it will be: by its row, unless that is refused.
func (w *walk) needs(h id.ID) [][]id.ID {
	if i, ok := w.at[h]; ok && w.p.results[i].Result == "" {
		return w.p.hosts[i].Needs
	}
	if n := w.old[h]; n != nil {
		return n.needs
	}
	return nil
}

func (w *walk) visit(h id.ID) {
	w.mark[h] = 1
	w.way = append(w.way, h)
	i, listed := w.at[h]
	for _, group := range w.needs(h) {
		for _, n := range group {
			if k, row := w.at[n]; row && listed && w.p.results[k].Result == Refused && !w.p.known[k] && w.p.results[i].Result == "" {
				w.p.refuse(i, fault.Refuse("NEED_REFUSED", "依赖的设备 "+w.p.hosts[k].NameZh+" 没有被接受：请先改正它那一行", "the host "+w.p.hosts[k].NameEn+" that it needs was refused: mend its row first").At("needs"))
			}
			switch w.mark[n] {
			case 0:
				w.visit(n)
			case 1:
				w.cycle = slices.Clone(w.way[slices.Index(w.way, n):])
			}
			if w.cycle != nil {
				return
			}
		}
	}
	w.mark[h] = 2
	w.way = w.way[:len(w.way)-1]
	if listed && w.p.results[i].Result == "" {
		w.order = append(w.order, i)
	}
}

func (p *plan) refuseCycle(w *walk) {
	var zh, en []string
	for _, h := range append(w.cycle, w.cycle[0]) {
		n := p.t.nameOf(h.String())
		if i, ok := w.at[h]; ok {
			n = Words{p.hosts[i].NameZh, p.hosts[i].NameEn}
		}
		zh, en = append(zh, n.Zh), append(en, n.En)
	}
	err := fault.Refuse("DEPENDENCY_CYCLE", "依赖关系成环："+strings.Join(zh, " → "), "the needs form a cycle: "+strings.Join(en, " → ")).At("needs")
	for _, h := range w.cycle {
		if i, ok := w.at[h]; ok && p.results[i].Result == "" {
			p.refuse(i, err)
		}
	}
}
