package notify_test

import (
	"strings"
	"testing"
	"unicode"

	"kelian/desk/tell"
	"kelian/internal/testkit"
	"kelian/notify"
	"kelian/org"
)

// A desk's message is a message of this package.
var _ = notify.Message(tell.Message{})

// topics are those that the domains tell people about; each needs its words.
var topics = []string{
	"incident.opened", "incident.closed", "check.warned",
	"repair.received", "repair.assigned", "repair.status", "repair.fixed", "repair.unfixable", "repair.recovered", "repair.cancelled", "repair.offered", "repair.unassigned",
	"workflow.task", "workflow.nudge", "workflow.deadline", "workflow.approved", "workflow.rejected", "workflow.returned",
	"workflow.vote_lapsed", "workflow.withdrawn", "workflow.stopped", "workflow.cc", "workflow.paper", "workflow.owed", "workflow.owes", "workflow.recurring", "workflow.unstaffed", "workflow.undone", "workflow.mismatch",
	"workflow.expired", "workflow.moved",
	"purchase.approved", "purchase.funded", "purchase.ordered", "purchase.arrived", "purchase.cancelled", "reservation.clash",
	"pledge.received", "pledge.overdue", "pledge.thanks",
	"training.offered", "training.unfilled", "training.swap",
	"account.claim", "account.confirmed", "account.reset", "account.reset_issued", "account.verify", "workflow.code", "notify.untold", "webhook.disabled",
}

func TestEveryTopicHasWordsInBothLanguages(t *testing.T) {
	have := map[string]bool{}
	svc := notify.New(nil, testkit.Clock(), org.NewTable(notify.Rules()), notify.Options{PublicURL: "https://k.example"})
	for _, topic := range notify.Topics() {
		have[topic] = true
		n := &notify.Notification{Topic: topic, Params: `{"number":"N-1"}`, Path: "/x"}
		zh, en := svc.Render(n, "zh"), svc.Render(n, "en")
		han := func(s string) bool {
			return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
		}
		if !strings.HasPrefix(zh.Text, "【科联】N-1 ") || !strings.HasSuffix(zh.Text, "\nhttps://k.example/x") || !han(strings.TrimPrefix(zh.Subject, "【科联】")) {
			t.Errorf("%s in Chinese: %+v", topic, zh)
		}
		if !strings.HasPrefix(en.Text, "[Kelian] N-1 ") || han(en.Text) || han(en.Subject) {
			t.Errorf("%s in English: %+v", topic, en)
		}
		if strings.ContainsAny(zh.Text+zh.Subject+en.Text+en.Subject, "{}") {
			t.Errorf("%s shows a placeholder", topic)
		}
		if len([]rune(zh.Subject)) > 60 || len(en.Subject) > 90 {
			t.Errorf("%s: the subject is too long", topic)
		}
	}
	for _, topic := range topics {
		if !have[topic] {
			t.Errorf("no words for %s", topic)
		}
	}
	if len(topics) != len(have) {
		t.Errorf("%d topics have words, %d are known", len(have), len(topics))
	}
}

func TestParametersStayOnTheirLine(t *testing.T) {
	svc := notify.New(nil, testkit.Clock(), org.NewTable(notify.Rules()), notify.Options{PublicURL: "https://k.example"})
	n := &notify.Notification{Topic: "workflow.approved", Params: `{"title":"a\r\nBcc: all@example.com","state.zh":"好"}`, Path: "/x"}
	if r := svc.Render(n, "zh"); strings.ContainsAny(r.Subject, "\r\n") || strings.Count(r.Text, "\n") != 1 {
		t.Fatalf("%+v", r)
	}
	n = &notify.Notification{Topic: "repair.status", Params: `{"state.zh":"等配件","state.en":"waiting for parts","what":"x"}`, Path: "/x"}
	if zh, en := svc.Render(n, "zh").Subject, svc.Render(n, "en").Subject; zh != "【科联】报修进度：等配件" || en != "[Kelian] Repair: waiting for parts" {
		t.Fatal(zh, en)
	}
	n.Params = `{"number.zh":"报修 2026-0417","number.en":"Repair 2026-0417","state.zh":"等配件","state.en":"waiting for parts"}`
	if zh, en := svc.Render(n, "zh").Subject, svc.Render(n, "en").Subject; zh != "【科联】报修 2026-0417 报修进度：等配件" || en != "[Kelian] Repair 2026-0417 Repair: waiting for parts" {
		t.Fatal(zh, en)
	}
}
