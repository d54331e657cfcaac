package graph_test

import (
	"testing"

	"kelian/desk/repair"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func TestReportersActByTheirLink(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		r, err := w.repair.Submit(bg, org.Stranger("zh", ""), repair.SubmitInput{Kind: repair.Network, Building: "东区 3 号楼", Text: "上不了网", Name: "张三丰",
			Contact: repair.Contact{Kind: "phone", Value: "13800138000"}, Consent: repair.ConsentVersion, IdempotencyKey: "stranger-key-xxxxxxxxxxxx"})
		if err != nil {
			t.Fatal(err)
		}
		stranger := func() string { return w.key() + "xxxx" }
		act := func(token, action, note string) answer {
			return w.change("", "actOnRepairByLink", `ticket{state actions dueAt events{note}}`, vars{"token": token, "action": action, "note": note, "idempotencyKey": stranger()})
		}
		state := func(a answer) any { return a.at("actOnRepairByLink", "ticket", "state") }
		if a := act(r.Token, "NOTE", "晚上在宿舍"); state(a) == nil || len(a.at("actOnRepairByLink", "ticket", "events").([]any)) < 2 {
			t.Error(a.Body)
		}
		if a := act(r.Token, "REOPEN", ""); a.at("actOnRepairByLink", "userErrors", 0, "code") == nil {
			t.Error("an open report is reopened: " + a.Body)
		}
		wrong := act("x", "CANCEL", "")
		if wrong.code() != "NOT_FOUND" {
			t.Error(wrong.Body)
		}
		short := w.change("", "actOnRepairByLink", "__typename", vars{"token": r.Token, "action": "CANCEL", "idempotencyKey": "short-key"})
		if short.code() != "BAD_USER_INPUT" {
			t.Error("strangers share a short key: " + short.Body)
		}
		if a := act(r.Token, "CANCEL", ""); state(a) != "CANCELLED" {
			t.Error(a.Body)
		}

		ticket := w.tickets(1)[0]
		link := w.repair.LinkToken(ticket)
		for _, a := range []repair.Action{repair.ActAccept, repair.ActFix} {
			if _, err := w.repair.Do(bg, w.actor("linxiaoman"), a, repair.Input{Ticket: ticket, IdempotencyKey: w.key()}); err != nil {
				t.Fatal(a, err)
			}
		}
		if a := act(link, "CLOSE", ""); state(a) != "CLOSED" {
			t.Error("the reporter cannot confirm: " + a.Body)
		}
		if a := act(link, "REOPEN", "又断了"); state(a) != "TRIAGED" && state(a) != "ASSIGNED" {
			t.Error("the reporter cannot reopen: " + a.Body)
		}
		w.did("", "eraseRepairByLink", "done", vars{"token": r.Token, "idempotencyKey": stranger()})
		if a := w.good("", `query($t:String!){repairTicketByLink(token:$t){number}}`, vars{"t": r.Token}); a.at("repairTicketByLink") != nil {
			t.Error("the link lives on: " + a.Body)
		}
	})
}

func TestLinksAreSentAgainWithoutTellingWhetherThereIsATicket(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	ticket, err := w.repair.Ticket(bg, w.actor("qin"), w.tickets(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	ask := func(number string) answer {
		return w.did("", "sendRepairLink", "done", vars{"number": number, "contact": vars{"kind": "PHONE", "value": "13800138000"}})
	}
	if a, none := ask(ticket.Number), ask("2026-9999"); a.Body != none.Body {
		t.Errorf("%s\n%s", a.Body, none.Body)
	}
}
