package graph_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/workflow"
)

const submitRepair = `mutation($phone:String!,$consent:String!,$key:IdempotencyKey!){submitRepair(input:{kind:NETWORK,building:"东区 3 号楼",text:"上不了网",name:"张三",
	contact:{kind:PHONE,value:$phone},consent:$consent,idempotencyKey:$key}){link ticket{number state events{at state}} userErrors{code message path}}}`

func TestAStrangerReportsAndFollowsARepair(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		in := vars{"phone": "13800138000", "consent": repair.ConsentVersion, "key": w.key()}
		a := w.good("", submitRepair, in)
		link, _ := a.at("submitRepair", "link").(string)
		token, ok := strings.CutPrefix(link, "/t/")
		if !ok || a.at("submitRepair", "ticket", "state") != "SUBMITTED" {
			t.Fatal(a.Body)
		}
		if again := w.good("", submitRepair, in); again.at("submitRepair", "link") != link {
			t.Errorf("the same key made another ticket: %s", again.Body)
		}
		const follow = `query($t:String!){repairTicketByLink(token:$t){number state worker events{state note}}}`
		if a := w.good("", follow, vars{"t": token}); a.at("repairTicketByLink", "state") != "SUBMITTED" {
			t.Error(a.Body)
		}
		if a := w.good("", follow, vars{"t": token + "x"}); a.at("repairTicketByLink") != nil {
			t.Error(a.Body)
		}
		if a := w.as("", submitRepair, vars{"phone": "13800138000", "consent": "old", "key": w.key()}); a.code() != "BAD_USER_INPUT" || fmt.Sprint(a.Errors[0].Extensions["path"]) != "[input consent]" {
			t.Error(a.Body)
		}
		if a := w.as("", submitRepair, vars{"phone": "13800138000", "consent": repair.ConsentVersion, "key": "12345678"}); a.code() != "BAD_USER_INPUT" {
			t.Error("a stranger's key may be guessed: " + a.Body)
		}
		for range 2 {
			w.good("", submitRepair, vars{"phone": "13800138000", "consent": repair.ConsentVersion, "key": w.key()})
		}
		if a := w.good("", submitRepair, vars{"phone": "13800138000", "consent": repair.ConsentVersion, "key": w.key()}); a.at("submitRepair", "userErrors", 0, "code") != "TOO_MANY_OPEN" ||
			fmt.Sprint(a.at("submitRepair", "userErrors", 0, "path")) != "[input contact]" {
			t.Error(a.Body)
		}
	})
}

func TestATicketGoesThroughTheDesk(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.good("", submitRepair, vars{"phone": "13800138000", "consent": repair.ConsentVersion, "key": w.key()})
	list := w.good("qin", `{repairTickets(filter:{open:true}){edges{node{id state text reporter actions}}}}`, nil)
	ticket, _ := list.at("repairTickets", "edges", 0, "node", "id").(string)
	if list.at("repairTickets", "edges", 0, "node", "text") != "上不了网" || list.at("repairTickets", "edges", 0, "node", "reporter") != "张*" {
		t.Fatal(list.Body)
	}
	assign := w.good("qin", `mutation($t:ID!,$p:ID!,$k:IdempotencyKey!){assignRepair(input:{ticket:$t,person:$p,idempotencyKey:$k}){ticket{state assignment{person{name} state explanation{zh}}} userErrors{code}}}`,
		vars{"t": ticket, "p": w.people["zhouhang"].TypeID("per"), "k": w.key()})
	if assign.at("assignRepair", "ticket", "state") != "ASSIGNED" || assign.at("assignRepair", "ticket", "assignment", "person", "name") != "周航" {
		t.Fatal(assign.Body)
	}
	const act = `mutation($t:ID!,$a:RepairAction!,$k:IdempotencyKey!){actOnRepair(input:{ticket:$t,action:$a,idempotencyKey:$k}){ticket{state actions} userErrors{code message}}}`
	reveal := `mutation($t:ID!){revealContact(input:{ticket:$t}){kind value name}}`
	if a := w.as("linxiaoman", reveal, vars{"t": ticket}); a.code() != "FORBIDDEN" {
		t.Error("a colleague sees the contact: " + a.Body)
	}
	if a := w.good("zhouhang", act, vars{"t": ticket, "a": "FIX", "k": w.key()}); a.at("actOnRepair", "userErrors", 0, "code") != "WRONG_STATE" || a.at("actOnRepair", "ticket") != nil {
		t.Error(a.Body)
	}
	if a := w.as("zhouhang", act, vars{"t": ticket, "a": "TRIAGE", "k": w.key()}); a.code() != "BAD_USER_INPUT" {
		t.Error(a.Body)
	}
	if a := w.good("zhouhang", act, vars{"t": ticket, "a": "ACCEPT", "k": w.key()}); a.at("actOnRepair", "ticket", "state") != "IN_PROGRESS" {
		t.Error(a.Body)
	}
	if a := w.good("zhouhang", reveal, vars{"t": ticket}); a.at("revealContact", "value") != "13800138000" || a.at("revealContact", "kind") != "PHONE" {
		t.Error(a.Body)
	}
	forecast := w.good("zhouhang", `query($t:ID!){forecastPart(ticket:$t,text:"光模块",amount:68000){steps{people{name}} problems{message}}}`, vars{"t": ticket})
	if forecast.at("forecastPart", "steps", 0, "people", 0, "name") != "宋岚" || len(forecast.at("forecastPart", "problems").([]any)) > 0 {
		t.Error(forecast.Body)
	}
	need := w.good("zhouhang", `mutation($t:ID!,$k:IdempotencyKey!){needPart(input:{ticket:$t,text:"光模块",amount:68000,idempotencyKey:$k}){ticket{state request} userErrors{message}}}`, vars{"t": ticket, "k": w.key()})
	if need.at("needPart", "ticket", "state") != "WAITING_PARTS" || need.at("needPart", "ticket", "request") == nil {
		t.Error(need.Body)
	}
	trace := w.good("zhouhang", `query($id:ID!){trace(id:$id){nodes{kind id hidden title{zh} state} edges{kind}}}`, vars{"id": need.at("needPart", "ticket", "request")})
	if trace.at("trace", "nodes", 0, "state") != "OPEN" || trace.at("trace", "nodes", 1, "kind") != "tkt" || trace.at("trace", "nodes", 1, "hidden") != true || trace.at("trace", "nodes", 1, "id") != nil {
		t.Error(trace.Body)
	}
}

func TestMoneyNeedsThePasswordAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.good("shenyue", `mutation($k:IdempotencyKey!){createOrganisation(input:{kind:COMPANY,name:"甲公司",idempotencyKey:$k}){organisation{id name}}}`, vars{"k": w.key()})
		p := w.good("shenyue", `mutation($o:ID!,$k:IdempotencyKey!){createPledge(input:{organisation:$o,kind:CASH,promised:100000,idempotencyKey:$k}){pledge{id state sponsor{name}} userErrors{code}}}`,
			vars{"o": o.at("createOrganisation", "organisation", "id"), "k": w.key()})
		pledge := p.at("createPledge", "pledge", "id")
		if p.at("createPledge", "pledge", "sponsor", "name") != "甲公司" {
			t.Fatal(p.Body)
		}
		const agree = `mutation($p:ID!,$n:Fen!,$k:IdempotencyKey!){movePledge(input:{pledge:$p,action:AGREE,promised:$n,dueAt:"2026-10-24T02:00:00Z",idempotencyKey:$k}){pledge{state promised} userErrors{code}}}`
		if a := w.as("shenyue", agree, vars{"p": pledge, "n": 0, "k": w.key()}); a.code() != "BAD_USER_INPUT" || fmt.Sprint(a.Errors[0].Extensions["path"]) != "[input promised]" {
			t.Error(a.Body)
		}
		w.good("shenyue", agree, vars{"p": pledge, "n": 100000, "k": w.key()})
		const receive = `mutation($p:ID!,$k:IdempotencyKey!){receivePledge(input:{pledge:$p,amount:100000,voucher:"V1",idempotencyKey:$k}){pledge{state available} userErrors{code}}}`
		w.token("finance")
		w.token("shenyue")
		w.clock.Advance(11 * time.Minute)
		if a := w.as("finance", receive, vars{"p": pledge, "k": w.key()}); a.code() != "FORBIDDEN" || a.Errors[0].Extensions["reason"] != "PASSWORD_AGAIN" {
			t.Fatal(a.Body)
		}
		const confirm = `mutation($p:String!){confirmPassword(input:{password:$p}){confirmed userErrors{code}}}`
		if a := w.good("finance", confirm, vars{"p": "not the password"}); a.at("confirmPassword", "confirmed") != false || a.at("confirmPassword", "userErrors", 0, "code") != "WRONG_SIGN_IN" {
			t.Error(a.Body)
		}
		w.good("finance", confirm, vars{"p": password})
		if a := w.good("finance", receive, vars{"p": pledge, "k": w.key()}); a.at("receivePledge", "pledge", "state") != "RECEIVED" || a.at("receivePledge", "pledge", "available") != 100000.0 {
			t.Fatal(a.Body)
		}
		var purchase *property.Purchase
		req := w.purchase("zhouhang", "光模块", 60000)
		factory.InTx(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
			purchase, err = w.property.CreatePurchase(ctx, tx, property.PurchaseInput{Request: req, Items: []property.PurchaseItem{{Name: "光模块", Quantity: 1, Amount: 60000}}, Total: 60000,
				Owner: w.people["zhouhang"]}, w.clock.Now())
			return err
		})
		const allocate = `mutation($p:ID!,$o:ID!,$n:Fen!,$k:IdempotencyKey!){allocatePledge(input:{pledge:$p,purchase:$o,amount:$n,idempotencyKey:$k}){pledge{available thanksOwed} userErrors{code path}}}`
		v := vars{"p": pledge, "o": purchase.ID.TypeID("pur"), "n": 60000, "k": w.key()}
		if a := w.as("shenyue", allocate, v); a.Errors[0].Extensions["reason"] != "PASSWORD_AGAIN" {
			t.Error(a.Body)
		}
		w.good("shenyue", confirm, vars{"p": password})
		if a := w.good("shenyue", allocate, v); a.at("allocatePledge", "pledge", "available") != 40000.0 || a.at("allocatePledge", "pledge", "thanksOwed") != 1.0 {
			t.Error(a.Body)
		}
		l := w.good("shenyue", `{ledger{sum accounts{name balance}}}`, nil)
		if l.at("ledger", "sum") != 0.0 || len(l.at("ledger", "accounts").([]any)) != 3 {
			t.Error(l.Body)
		}
		if a := w.good("hejing", `{purchases{edges{node{state funded lines{name amount}}}}}`, nil); a.at("purchases", "edges", 0, "node", "state") != "FUNDED" ||
			a.at("purchases", "edges", 0, "node", "lines", 0, "amount") != 60000.0 {
			t.Error(a.Body)
		}
	})
}

func TestHostsAreMadeAndTheirAddressesKept(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	const create = `mutation($a:String!,$k:IdempotencyKey!){createHost(input:{nameZh:"核心",nameEn:"Core",address:$a,checks:[{kind:ICMP}],idempotencyKey:$k}){host{id name{zh} address state checks{kind intervalSeconds}} userErrors{code}}}`
	a := w.good("zhouhang", create, vars{"a": "127.0.0.9", "k": w.key()})
	if a.at("createHost", "host", "address") != "127.0.0.9" || a.at("createHost", "host", "checks", 0, "intervalSeconds") != 10.0 {
		t.Fatal(a.Body)
	}
	if a := w.as("zhouhang", create, vars{"a": "8.8.8.8", "k": w.key()}); a.code() != "BAD_USER_INPUT" && a.at("createHost", "userErrors", 0, "code") == nil {
		t.Error("an address outside of the allowed networks: " + a.Body)
	}
	if a := w.as("pan", create, vars{"a": "127.0.0.10", "k": w.key()}); a.code() != "FORBIDDEN" {
		t.Error(a.Body)
	}
	if a := w.good("pan", `{hosts{name{zh} address checks{target}}}`, nil); a.at("hosts", 0, "name", "zh") != "核心" || a.at("hosts", 0, "address") != nil || a.at("hosts", 0, "checks", 0, "target") != nil {
		t.Error(a.Body)
	}
	w.incidents(1)
	list := w.good("qin", `{incidents(open:true){edges{node{id acknowledgedBy{name}}}}}`, nil)
	ack := `mutation($i:ID!,$k:IdempotencyKey!){acknowledgeIncident(input:{incident:$i,idempotencyKey:$k}){incident{number} userErrors{code}}}`
	if a := w.good("qin", ack, vars{"i": list.at("incidents", "edges", 0, "node", "id"), "k": w.key()}); a.at("acknowledgeIncident", "incident", "number") == nil && a.at("acknowledgeIncident", "userErrors", 0, "code") == nil {
		t.Error(a.Body)
	}
	if a := w.good("", `{status{hosts up unsure incidents{en}}}`, nil); a.at("status", "hosts") != 3.0 || a.at("status", "incidents", 0, "en") != "A switch" {
		t.Error(a.Body)
	}
}

func TestAPrintedFormIsVerifiedByAnybody(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	req := w.purchase("zhouhang", "光模块", 100)
	w.decide("songlan", req, workflow.Approve, "")
	w.decide("hejing", req, workflow.Approve, "")
	code := w.good("zhouhang", `query($id:ID!){node(id:$id){... on Request{verifyCode}}}`, vars{"id": req.TypeID("req")}).at("node", "verifyCode")
	const verify = `query($c:String!){verify(code:$c){number status title{zh} unit{zh} decidedAt}}`
	if a := w.good("", verify, vars{"c": code}); a.at("verify", "status") != "APPROVED" || a.at("verify", "unit", "zh") != "信息中心" || a.at("verify", "decidedAt") == nil {
		t.Error(a.Body)
	}
	if a := w.good("", verify, vars{"c": "never"}); a.at("verify") != nil {
		t.Error(a.Body)
	}
	h := http.Header{"Accept-Language": {"en"}}
	if a := w.post(w.URL, h, `{inbox{edges{cursor}}}`, nil); a.Status != http.StatusUnauthorized || !strings.Contains(strings.ToLower(a.Body), "sign in") {
		t.Error(a.Body)
	}
}

func TestTheOfficeReadsTheRegisterOfSeals(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		request := id.New()
		factory.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			tx.Queue(db.Bun().NewInsert().Model(&property.SealUse{ID: id.New(), Request: request, Number: "2026-031", Seal: "federation", Title: "活动证明",
				Recipient: "教务处", Copies: 2, SHA256: "aa11", Requester: w.people["zhouhang"], Unit: "technical", SealedAt: testkit.Start}))
			return nil
		})
		const read = `{sealUses{edges{node{request number seal title copies sha256 unit requester{name}}}}}`
		a := w.good("hejing", read, nil)
		if a.at("sealUses", "edges", 0, "node", "number") != "2026-031" || a.at("sealUses", "edges", 0, "node", "request") != request.TypeID("req") ||
			a.at("sealUses", "edges", 0, "node", "copies") != 2.0 || a.at("sealUses", "edges", 0, "node", "requester", "name") == nil {
			t.Error(a.Body)
		}
		if a := w.as("zhouhang", read, nil); len(a.Errors) == 0 || a.Errors[0].Extensions["code"] != "FORBIDDEN" {
			t.Error(a.Body)
		}
	})
}
