package webhook

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/outbox"

	"github.com/uptrace/bun"
)

// Type is a kind of event that an endpoint may subscribe to.
type Type struct {
	Name   string
	Zh, En string // what happened
}

// Types are all of them, in the order of the guide.
var Types = []Type{
	{"request.opened", "提交了一份申请", "a request was submitted"},
	{"request.changed", "申请有进展：有人表态、步骤推进、改了表单", "a request moved on: a decision, a step, another form"},
	{"request.returned", "申请被退回修改", "a request was sent back to be changed"},
	{"request.closed", "申请有了结果", "a request has its outcome"},
	{"request.effect_failed", "申请已通过，但没能生效", "a request was approved and could not be carried out"},
	{"incident.opened", "出现故障", "an incident began"},
	{"incident.changed", "故障的根因、范围变了，或有人确认了", "an incident has another cause or extent, or somebody acknowledged it"},
	{"incident.closed", "故障结束", "an incident ended"},
	{"ticket.opened", "收到一张报修单", "a repair ticket came in"},
	{"ticket.changed", "报修单有进展", "a repair ticket moved on"},
	{"ticket.closed", "报修单结束或取消", "a repair ticket was closed or cancelled"},
	{"purchase.changed", "采购有进展", "a purchase moved on"},
	{"pledge.changed", "赞助有进展", "a pledge moved on"},
}

// Ping is the type of what testWebhook sends; nobody subscribes to it.
const Ping = "ping"

// Fact is one event about one object, with nothing in it but what anybody may
// read.
type Fact struct {
	Type    string // of Types
	Ref     outbox.Ref
	Version int64  // grows with each change of the object; 0 = not known
	Number  string // as people spell it
	Kind    string // e.g. the workflow's name
	Status  string
	Path    string // the page to open
}

// Describe says what an event of the outbox means to the outside; none means
// nothing.
type Describe func(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]Fact, error)

type body struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	ID      string `json:"id"`
	Number  string `json:"number,omitempty"`
	Kind    string `json:"kind"`
	Status  string `json:"status"`
	URL     string `json:"url"`
	Version int64  `json:"version,omitempty"`
}

func (s *Service) body(f Fact, at time.Time) string {
	raw, err := json.Marshal(body{f.Type, at.UTC(), data{f.Ref.String(), f.Number, f.Kind, f.Status, s.public + f.Path, f.Version}})
	if err != nil {
		panic("webhook: " + err.Error())
	}
	return string(raw)
}

// known gives the names without repetition, in the order of Types, or a refusal
// that lists what there is.
func known(names []string) ([]string, error) {
	var all, out []string
	for _, t := range Types {
		all = append(all, t.Name)
		if slices.Contains(names, t.Name) {
			out = append(out, t.Name)
		}
	}
	list := strings.Join(all, ", ")
	for _, n := range names {
		if !slices.Contains(all, n) {
			if len(n) > 40 {
				n = n[:40]
			}
			n = strings.ToValidUTF8(n, "")
			return nil, fault.Input("events", "没有“"+n+"”这种事件；可选："+list, "there is no event \""+n+"\"; there are: "+list)
		}
	}
	if len(out) == 0 {
		return nil, fault.Input("events", "请至少选一种事件："+list, "choose at least one event: "+list)
	}
	return out, nil
}
