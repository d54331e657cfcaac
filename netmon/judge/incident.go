package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Incident is one open outage. It lasts as long as one of its Faults does.
type Incident struct {
	Key        string // "<first root>@<epoch of opening>"
	Opened     int64
	Faults     []string // nodes found to be a cause during it and not well since
	Roots      []string // the causes as of now; a fault that flaps is one even while it answers
	Suppressed []string // failing hosts that no good path reaches now
	Flapping   bool     // a fault flaps: the end waits until it has settled
}

// ChangeKind is what happened to an incident.
type ChangeKind string

// The kinds. Every key is opened once and closed once.
const (
	Open   ChangeKind = "OPEN"
	Update ChangeKind = "UPDATE"
	Close  ChangeKind = "CLOSE"
)

// CloseReason is why an incident is over.
type CloseReason string

// The reasons.
const (
	Recovered CloseReason = "RECOVERED" // every fault is well again
	Merged    CloseReason = "MERGED"    // it turned out to be part of the older incident Into
	Removed   CloseReason = "REMOVED"   // its faults left the network
)

// IncidentChange is one change of an incident. Roots and Suppressed are those
// after the change, at a Close the last ones; Joined and Left compare both with
// the state before. The certificate covers all that the incident holds now.
type IncidentChange struct {
	Kind              ChangeKind
	Key               string
	Epoch             int64
	Roots, Suppressed []string
	Joined, Left      []string
	Flapping          bool
	Reason            CloseReason
	Into              string
	Certificate       Certificate
	Why               Explanation
}

// outages carries the open incidents over to this epoch's regions. An incident
// follows its faults: the regions they lie in are its own, whoever else joined
// these. Two incidents that meet in one region go on as the older one.
func (j *judgement) outages(d *diagnosis, confirmed []int64) {
	open := slices.Clone(j.prev.Incidents)
	one, owner := newSets(len(open)), make([]int32, len(d.members))
	for r := range owner {
		owner[r] = -1
	}
	for i := range open {
		open[i].Faults = slices.DeleteFunc(slices.Clone(open[i].Faults), func(id string) bool { return !j.lasts(id, d) })
		for _, id := range open[i].Faults {
			r := d.region[j.g.index[id]]
			if r >= 0 && owner[r] >= 0 {
				one.join(owner[r], int32(i))
			} else if r >= 0 {
				owner[r] = int32(i)
			}
		}
	}
	regions := make([][]int, len(open))
	for r := range owner {
		if owner[r] >= 0 {
			owner[r] = one.find(owner[r])
			regions[owner[r]] = append(regions[owner[r]], r)
		}
	}
	for i := range open {
		if to := one.find(int32(i)); int(to) != i {
			open[to].Faults = append(open[to].Faults, open[i].Faults...)
			j.end(j.prev.Incidents[i], Merged, open[to].Key)
		} else if len(open[i].Faults) == 0 {
			j.end(j.prev.Incidents[i], j.reason(j.prev.Incidents[i]), "")
		}
	}
	for i := range open {
		if int(one.find(int32(i))) == i && len(open[i].Faults) > 0 {
			j.refresh(&open[i], j.prev.Incidents[i], regions[i], d, confirmed)
			j.next.Incidents = append(j.next.Incidents, open[i])
		}
	}
	for r := range owner {
		if owner[r] < 0 {
			j.begin(r, d, confirmed)
		}
	}
	slices.SortFunc(j.next.Incidents, func(a, b Incident) int {
		return cmp.Or(cmp.Compare(a.Opened, b.Opened), cmp.Compare(a.Key, b.Key))
	})
}

// lasts says whether a fault still keeps its incident open.
func (j *judgement) lasts(id string, d *diagnosis) bool {
	v, ok := j.g.index[id]
	return ok && (d.cond[v] == Failing || j.flaps(v))
}

func (j *judgement) flaps(v int32) bool { return j.checkOf(v).Overlay&Flapping != 0 }

func (j *judgement) reason(i Incident) CloseReason {
	for _, id := range i.Faults {
		if _, ok := j.g.index[id]; ok {
			return Recovered
		}
	}
	return Removed
}

// guilty says whether a root may be named as the cause of an outage: it is
// down for certain, was observed since its parents came back, and its parents
// were seen to carry after its own first loss, or that was waited for.
func (j *judgement) guilty(v int32, d *diagnosis, confirmed []int64) bool {
	c, host := j.checkOf(v), j.g.hosts[j.g.nodes[v].host].ID
	if d.cond[v] != Failing || !d.reach[v] || c.State != Down || j.p.Maintenance[host] || j.held(v) {
		return false
	}
	waited := j.epoch*int64(time.Second)-c.Failing >= int64(j.p.Wait)
	return waited || confirmed[v] >= c.Failing
}

// held: a good path leads to the node again, but it was not observed since.
func (j *judgement) held(v int32) bool {
	at := j.next.Nodes[j.g.nodes[v].id].Released
	return at > 0 && j.checkOf(v).Fresh <= at+int64(j.p.Grace/time.Second)
}

// survey fills in what an incident holds in this epoch.
func (j *judgement) survey(i *Incident, regions []int, d *diagnosis, confirmed []int64) {
	i.Roots, i.Suppressed, i.Flapping = nil, nil, false
	for _, r := range regions {
		for _, v := range d.members[r] {
			switch id := j.g.nodes[v].id; {
			case d.cond[v] != Failing:
			case !d.reach[v]:
				if int(v) < len(j.g.hosts) {
					i.Suppressed = append(i.Suppressed, id)
				}
			case !j.held(v) || slices.Contains(i.Faults, id):
				i.Roots = append(i.Roots, id)
				if j.guilty(v, d, confirmed) {
					i.Faults = append(i.Faults, id)
				}
			}
		}
	}
	for _, id := range i.Faults {
		v := j.g.index[id]
		if j.flaps(v) {
			i.Flapping = true
		}
		if d.cond[v] != Failing {
			i.Roots = append(i.Roots, id)
		}
	}
	for _, list := range []*[]string{&i.Faults, &i.Roots, &i.Suppressed} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

func (j *judgement) begin(r int, d *diagnosis, confirmed []int64) {
	first := slices.IndexFunc(d.members[r], func(v int32) bool { return j.guilty(v, d, confirmed) })
	if first < 0 {
		return
	}
	i := Incident{Key: fmt.Sprintf("%s@%d", j.g.nodes[d.members[r][first]].id, j.epoch), Opened: j.epoch}
	j.survey(&i, []int{r}, d, confirmed)
	j.next.Incidents = append(j.next.Incidents, i)
	j.changes = append(j.changes, IncidentChange{
		Kind: Open, Key: i.Key, Epoch: j.epoch, Roots: i.Roots, Suppressed: i.Suppressed,
		Joined: slices.Concat(i.Roots, i.Suppressed), Flapping: i.Flapping,
		Certificate: d.certificate([]int{r}), Why: j.whyOpen(&i, d),
	})
}

func (j *judgement) refresh(i *Incident, old Incident, regions []int, d *diagnosis, confirmed []int64) {
	j.survey(i, regions, d, confirmed)
	if slices.Equal(i.Roots, old.Roots) && slices.Equal(i.Suppressed, old.Suppressed) && i.Flapping == old.Flapping {
		return
	}
	joined, left := compare(slices.Concat(old.Roots, old.Suppressed), slices.Concat(i.Roots, i.Suppressed))
	j.changes = append(j.changes, IncidentChange{
		Kind: Update, Key: i.Key, Epoch: j.epoch, Roots: i.Roots, Suppressed: i.Suppressed,
		Joined: joined, Left: left, Flapping: i.Flapping,
		Certificate: d.certificate(regions), Why: j.whyUpdate(i, &old, joined, left, d),
	})
}

func (j *judgement) end(old Incident, reason CloseReason, into string) {
	j.changes = append(j.changes, IncidentChange{
		Kind: Close, Key: old.Key, Epoch: j.epoch, Roots: old.Roots, Suppressed: old.Suppressed,
		Left: slices.Concat(old.Roots, old.Suppressed), Reason: reason, Into: into,
		Why: j.whyClose(&old, reason, into),
	})
}

// compare gives what is only in now and what is only in before, both sorted.
func compare(before, now []string) (joined, left []string) {
	slices.Sort(before)
	slices.Sort(now)
	only := func(a, b []string) (out []string) {
		for _, s := range a {
			if _, ok := slices.BinarySearch(b, s); !ok {
				out = append(out, s)
			}
		}
		return out
	}
	return only(now, before), only(before, now)
}
