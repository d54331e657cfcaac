package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kelian/internal/audit"

	"github.com/redis/go-redis/v9"
)

type traced struct {
	Nodes []struct {
		ID     *string
		Title  *text
		Kind   string
		State  *string
		Hidden bool
	}
	Edges     []struct{ From, To int }
	Truncated bool
}

// kinds counts the nodes that are shown, by kind, and those that are hidden.
func (x traced) kinds() (shown, hidden map[string]int) {
	shown, hidden = map[string]int{}, map[string]int{}
	for _, n := range x.Nodes {
		if n.Hidden {
			hidden[n.Kind]++
		} else {
			shown[n.Kind]++
		}
	}
	return shown, hidden
}

func (c client) traceOf(of string) (answer, traced) {
	c.t.Helper()
	a := c.send(`query($id: ID!) { trace(id: $id) { nodes { id kind state hidden title { zh en } } edges { from to } truncated } }`, map[string]any{"id": of})
	var got struct{ Trace traced }
	if len(a.Errors) == 0 {
		if err := json.Unmarshal(a.Data, &got); err != nil {
			c.t.Fatal(err)
		}
	}
	return a, got.Trace
}

// titles of the nodes of one kind, in Chinese, without doubles.
func (x traced) titles(kind string) []string {
	var out []string
	for _, n := range x.Nodes {
		if n.Kind == kind && n.Title != nil {
			out = append(out, n.Title.Zh)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (th *thread) trace(t *testing.T) {
	gu := th.as("guchen")
	var x traced
	eventually(t, "everybody was told", func() bool {
		_, x = gu.traceOf(th.incident)
		return len(x.titles("ntf")) >= 3
	})
	shown, hidden := x.kinds()
	for kind, least := range map[string]int{"trn": 1, "inc": 1, "tkt": 1, "asg": 1, "req": 1, "dec": 2, "pur": 1, "led": 1, "ntf": 3} {
		if shown[kind] < least {
			t.Errorf("the trace shows %d of %s", shown[kind], kind)
		}
	}
	if shown["inc"] != 1 || x.Truncated {
		t.Errorf("the trace shows %v and hides %v", shown, hidden)
	}
	if seats := x.titles("dec"); len(seats) < 3 {
		t.Errorf("decisions by %v", seats)
	}
	linked := map[int]bool{}
	for _, e := range x.Edges {
		linked[e.From], linked[e.To] = true, true
	}
	if len(linked) != len(x.Nodes) {
		t.Errorf("%d of %d objects hang on the thread", len(linked), len(x.Nodes))
	}
	// From the other end, the voucher, the lost packet is found as well.
	_, back := gu.traceOf(th.purchase)
	if shown, _ := back.kinds(); shown["trn"] < 1 || shown["inc"] != 1 || shown["tkt"] != 1 {
		t.Errorf("from the purchase back: %v", shown)
	}
	raw, _ := json.Marshal(x)
	for _, gone := range []string{student.name, th.people[leaver].Name} {
		if strings.Contains(string(raw), gone) {
			t.Errorf("the trace still names %s", gone)
		}
	}
}

// hidden asks as somebody who studies here and mends no networks.
func (th *thread) hidden(t *testing.T) {
	student := th.as("ayinuer")
	_, x := student.traceOf(th.incident)
	shown, hidden := x.kinds()
	if shown["inc"] != 1 {
		t.Errorf("everybody with an account sees the incident; shown: %v", shown)
	}
	for _, kind := range []string{"tkt", "asg", "req", "dec", "pur", "led", "ntf"} {
		if shown[kind] > 0 || hidden[kind] == 0 {
			t.Errorf("of %s a student is shown %d and told of %d", kind, shown[kind], hidden[kind])
		}
	}
	for _, n := range x.Nodes {
		if n.Hidden && (n.ID != nil || n.Title != nil || n.State != nil) {
			t.Errorf("a hidden %s says %v %v", n.Kind, n.Title, n.State)
		}
	}
	for _, of := range []string{th.ticket, th.request, th.purchase} {
		if a, _ := student.traceOf(of); a.code() != "NOT_FOUND" {
			t.Errorf("a student asks for %s and is answered %s", of, a.raw)
		}
	}
	if a, _ := th.as("").traceOf(th.incident); a.code() != "UNAUTHENTICATED" {
		t.Errorf("a stranger is answered %s", a.raw)
	}
}

type delivery struct {
	Channel, Recipient, Topic, State string
	Reason                           *text
}

func (c client) deliveries(of string) []delivery {
	c.t.Helper()
	var got struct{ Deliveries []delivery }
	c.ask(&got, `query($id: ID!) { deliveries(of: $id) { channel recipient topic state reason { zh en } } }`, map[string]any{"id": of})
	return got.Deliveries
}

func (th *thread) told(t *testing.T) {
	head := th.on("technical.head")
	var list []delivery
	eventually(t, "nothing waits to be sent", func() bool {
		list = append(head.deliveries(th.incident), th.as("guchen").deliveries(th.request)...)
		return len(list) > 0 && !slices.ContainsFunc(list, func(d delivery) bool { return d.State == "WAITING" && d.Reason == nil || d.State == "SENDING" })
	})
	sent, muted := map[string]bool{}, false
	for _, d := range list {
		if d.State == "SENT" {
			sent[d.Recipient] = true
			continue
		}
		muted = muted || strings.HasPrefix(d.Recipient, "顾") && d.Channel == "email" && d.Topic == "workflow.task" && d.State == "SKIPPED"
		if d.Reason == nil || d.Reason.Zh == "" || d.Reason.En == "" {
			t.Errorf("%s to %s is %s and nobody says why", d.Channel, d.Recipient, d.State)
		}
	}
	if len(sent) < 3 || !sent["周*"] {
		t.Errorf("told: %v", sent)
	}
	if !muted {
		t.Errorf("nothing says that 顾晨 got no mail, for he wanted none: %+v", list)
	}
	for _, m := range th.letters("guchen@") {
		if strings.Contains(m.Subject, "待你审批") {
			t.Errorf("顾晨 got mail that he wanted none of: %s", m.Subject)
		}
	}
	if len(th.letters("zhouhang@")) == 0 {
		t.Error("周航 got no mail")
	}
}

func (th *thread) verified(t *testing.T) {
	eventually(t, "every row is sealed", func() bool {
		rep, err := audit.Verify(t.Context(), th.app.DB)
		if err != nil || len(rep.Faults) > 0 {
			t.Fatalf("%+v, %v", rep, err)
		}
		return rep.Sealed > 0 && rep.UnsealedTail == 0
	})
	for _, r := range th.rows(`SELECT id FROM request`) {
		rep, err := th.app.Workflow.Check(t.Context(), raw(t, r[0]))
		if err != nil || !rep.OK() {
			t.Errorf("request %s: %+v, %v", r[0], rep, err)
		}
	}
	rep, err := th.app.Workflow.Check(t.Context(), key(t, "req", th.request))
	if err != nil || rep.Head != th.chain {
		t.Errorf("erasing changed the request's chain from %s to %s, %v", th.chain, rep.Head, err)
	}
	keeper := ""
	for _, d := range th.as("zhouhang").request(th.request).Decisions {
		if d.Step == "keeper" && d.By != nil {
			keeper = d.By.Name
		}
	}
	if keeper != "已删除" {
		t.Errorf("the vote of the erased keeper is shown by %q", keeper)
	}
	if dead := th.rows(`SELECT topic, consumer, error FROM outbox WHERE state = 'dead' OR failures > 0`); len(dead) > 0 {
		t.Errorf("background work failed: %v", dead)
	}
	if strings.Contains(th.log.String(), `"level":"ERROR"`) {
		for l := range strings.Lines(th.log.String()) {
			if strings.Contains(l, `"level":"ERROR"`) {
				t.Error(l)
			}
		}
	}
}

// forgotten looks for the erased in every column of every table, in what was
// logged and in the queue.
func (th *thread) forgotten(t *testing.T) {
	gone := th.people[leaver]
	for _, canary := range []string{student.name, student.number, student.phone, student.room, student.words, "欧阳", gone.Name, gone.Login} {
		for _, where := range th.find(t, canary) {
			t.Errorf("%q is left in %s", canary, where)
		}
	}
}

// find names the places where a text stands.
func (th *thread) find(t *testing.T, text string) (places []string) {
	t.Helper()
	tables := `SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table' ORDER BY 1, 2`
	if th.app.DB.Postgres() {
		tables = `SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2`
	}
	columns := th.rows(tables)
	if len(columns) < 100 {
		t.Fatalf("only %d columns were looked at", len(columns))
	}
	for _, c := range columns {
		holds := `instr(CAST("%s" AS BLOB), CAST(? AS BLOB)) > 0`
		switch {
		case c[2] == "bytea":
			holds = `position(convert_to(?, 'UTF8') IN "%s") > 0`
		case th.app.DB.Postgres():
			holds = `position(? IN "%s"::text) > 0`
		}
		for _, r := range th.rows(fmt.Sprintf(`SELECT count(*) FROM "%s" WHERE `+holds, c[0], c[1]), text) {
			if r[0] != "0" {
				places = append(places, c[0]+"."+c[1]+" ("+r[0]+" rows)")
			}
		}
	}
	if strings.Contains(th.log.String(), text) {
		places = append(places, "the log")
	}
	c := th.app.Queue.Client()
	defer func() { _ = c.Close() }()
	for k, v := range dump(t, c) {
		if strings.Contains(k, text) || strings.Contains(v, text) {
			places = append(places, "Redis key "+k)
		}
	}
	return places
}

// dump reads every key of a Redis with its value.
func dump(t *testing.T, c redis.UniversalClient) map[string]string {
	t.Helper()
	ctx, out := t.Context(), map[string]string{}
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) == 0 {
		t.Fatal("the queue holds no key at all")
	}
	for _, k := range keys {
		var v any
		switch c.Type(ctx, k).Val() {
		case "string":
			v = c.Get(ctx, k).Val()
		case "hash":
			v = c.HGetAll(ctx, k).Val()
		case "list":
			v = c.LRange(ctx, k, 0, -1).Val()
		case "set":
			v = c.SMembers(ctx, k).Val()
		case "zset":
			v = c.ZRange(ctx, k, 0, -1).Val()
		case "none": // it went while we looked
		default:
			t.Fatalf("%s is a %s, which nobody looked into", k, c.Type(ctx, k).Val())
		}
		out[k] = fmt.Sprint(v)
	}
	return out
}
