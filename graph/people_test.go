package graph_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

// user makes one more account, with a number.
func (w *world) user(login, name, number string, seats ...string) id.ID {
	w.t.Helper()
	who, err := w.auth.AddUser(bg, auth.NewUser{Login: login, Password: password, Person: org.NewPerson{Kind: org.Officer, Name: name, Number: number}, Seats: seats})
	if err != nil {
		w.t.Fatal(login, err)
	}
	w.people[login] = who
	return who
}

// change sends a mutation with its one input.
func (w *world) change(login, mutation, answer string, in vars) answer {
	w.t.Helper()
	kind := strings.ToUpper(mutation[:1]) + mutation[1:] + "Input!"
	return w.as(login, `mutation($in:`+kind+`){`+mutation+`(input:$in){`+answer+` userErrors{code message path}}}`, vars{"in": in})
}

// did is change for what must not be refused.
func (w *world) did(login, mutation, fields string, in vars) answer {
	w.t.Helper()
	a := w.change(login, mutation, fields, in)
	if list, _ := a.at(mutation, "userErrors").([]any); a.Status != http.StatusOK || len(a.Errors) > 0 || len(list) > 0 {
		w.t.Fatalf("%s asks %s %v: %d %s", login, mutation, in, a.Status, a.Body)
	}
	return a
}

func (w *world) per(login string) string { return w.people[login].TypeID("per") }

func TestSeatsAreGivenAndTakenBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.user("xin", "新同学", "0026100123")
		a := w.did("hejing", "startTenure", `tenure{id seat title{zh} kind until person{name number tenures{seat}}}`,
			vars{"person": w.per("xin"), "seat": "technical.maintenance.member", "kind": "PROBATION", "idempotencyKey": w.key()})
		tenure := a.at("startTenure", "tenure", "id")
		if a.at("startTenure", "tenure", "title", "zh") != "试用干事" || a.at("startTenure", "tenure", "person", "tenures", 0, "seat") != "technical.maintenance.member" ||
			a.at("startTenure", "tenure", "person", "number") != "0026100123" {
			t.Error(a.Body)
		}
		const unit = `{units{code tenures{id person{name number skills{name certificate}}}}}`
		if a := w.good("pan", unit, nil); !strings.Contains(a.Body, tenure.(string)) || !strings.Contains(a.Body, "新同学") || strings.Contains(a.Body, "0026100123") || !strings.Contains(a.Body, "0026****23") {
			t.Error("an officer sees another's whole number, or no tenure: " + a.Body)
		}
		if a := w.good("", unit, nil); strings.Contains(a.Body, "新同学") || strings.Contains(a.Body, "0026") {
			t.Error("strangers learn who holds a seat: " + a.Body)
		}
		w.did("qin", "setSkill", `person{skills{name}}`, vars{"person": w.per("xin"), "name": "electric", "certificate": true, "idempotencyKey": w.key()})
		if a := w.good("pan", `{people(text:"新同学"){name number skills{name certificate} tenures{seat}}}`, nil); a.at("people", 0, "skills", 0, "certificate") != true {
			t.Error(a.Body)
		}
		w.did("xin", "endTenure", `tenure{until}`, vars{"tenure": tenure, "idempotencyKey": w.key()})
		if a := w.good("xin", `{viewer{seats{name}}}`, nil); strings.Contains(a.Body, "maintenance") {
			t.Error("the seat is still held: " + a.Body)
		}
		if a := w.change("pan", "startTenure", `tenure{id}`, vars{"person": w.per("xin"), "seat": "technical.member", "idempotencyKey": w.key()}); a.code() != "FORBIDDEN" {
			t.Error("anybody seats people: " + a.Body)
		}
	})
}

func TestUnitsSayWhoAnswersForThem(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.user("luyuan", "陆远", "0026100124", "supervision.member")
	w.did("hejing", "setLiaison", `unit{liaisons{person{name}}}`, vars{"unit": "society.robotics", "person": w.per("luyuan"), "idempotencyKey": w.key()})
	a := w.did("hejing", "setPortfolio", `unit{portfolios{seat person{name}}}`, vars{"unit": "publicity", "seat": "fed.vice", "person": w.per("guchen"), "idempotencyKey": w.key()})
	if a.at("setPortfolio", "unit", "portfolios", 0, "person", "name") != "顾晨" {
		t.Error(a.Body)
	}
	w.did("hejing", "setUnit", `unit{name{zh}}`, vars{"unit": "publicity", "nameZh": "宣传与新媒体部", "idempotencyKey": w.key()})
	const q = `{units{code name{zh} portfolios{person{name}} liaisons{person{name}}}}`
	if a := w.good("pan", q, nil); !strings.Contains(a.Body, "陆远") || !strings.Contains(a.Body, "顾晨") || !strings.Contains(a.Body, "宣传与新媒体部") {
		t.Error(a.Body)
	}
	if a := w.good("", q, nil); strings.Contains(a.Body, "陆远") || strings.Contains(a.Body, "顾晨") || !strings.Contains(a.Body, "宣传与新媒体部") {
		t.Error(a.Body)
	}
	for mutation, in := range map[string]vars{"setLiaison": {"unit": "society.robotics", "person": w.per("luyuan")}, "setPortfolio": {"unit": "publicity", "seat": "fed.vice"}, "setUnit": {"unit": "publicity", "nameZh": "x"}} {
		in["idempotencyKey"] = w.key()
		if a := w.change("pan", mutation, "__typename", in); a.code() != "FORBIDDEN" {
			t.Error(mutation, a.Body)
		}
	}
}

func TestWhoIsAwayLendsTheSeat(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	until := testkit.Start.Add(48 * time.Hour).Format(time.RFC3339)
	a := w.did("hejing", "delegateSeat", `delegation{id seat giver{name} receiver{name}}`, vars{"seat": "office.head", "person": w.per("songlan"), "until": until, "idempotencyKey": w.key()})
	delegation := a.at("delegateSeat", "delegation", "id")
	a = w.did("hejing", "reportAbsence", `absence{id person{name}}`, vars{"until": until, "idempotencyKey": w.key()})
	absence := a.at("reportAbsence", "absence", "id")
	if a := w.good("songlan", `{viewer{seats{name}} delegations{id giver{name}} absences{id person{name}}}`, nil); a.at("delegations", 0, "id") != delegation || !strings.Contains(a.Body, "office.head") {
		t.Error(a.Body)
	}
	if a := w.good("pan", `{delegations{id} absences{id}}`, nil); strings.Contains(a.Body, "_0") {
		t.Error("others' absences are told: " + a.Body)
	}
	for mutation, object := range map[string]any{"endDelegation": delegation, "endAbsence": absence} {
		field := strings.ToLower(strings.TrimPrefix(mutation, "end"))
		prefix, _, _ := strings.Cut(object.(string), "_")
		ask := func(object any) answer {
			return w.change("pan", mutation, "done", vars{field: object, "idempotencyKey": w.key()})
		}
		if a, absent := ask(object), ask(id.New().TypeID(prefix)); a.code() != "NOT_FOUND" || plain(a) != plain(absent) {
			t.Errorf("%s: somebody else's answers %s, none %s", mutation, a.Body, absent.Body)
		}
		w.did("hejing", mutation, "done", vars{field: object, "idempotencyKey": w.key()})
	}
	if a := w.good("songlan", `{viewer{seats{name}} delegations{id}}`, nil); strings.Contains(a.Body, "office.head") || a.at("delegations", 0) != nil {
		t.Error(a.Body)
	}
}

func TestPeopleAreEnteredAndCorrected(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	in := vars{"name": "欧阳·买买提", "number": "0026100125", "contacts": []vars{{"kind": "QQ", "value": "1234567"}}, "idempotencyKey": w.key()}
	person := w.did("hejing", "addPerson", `person{id name number}`, in).at("addPerson", "person", "id")
	in["idempotencyKey"] = w.key()
	if a := w.change("hejing", "addPerson", `person{id}`, in); a.at("addPerson", "userErrors", 0, "code") != "NUMBER_TAKEN" {
		t.Error(a.Body)
	}
	if a := w.change("hejing", "correctPerson", `person{id}`, vars{"person": w.per("pan"), "number": "0026100125", "idempotencyKey": w.key()}); a.at("correctPerson", "userErrors", 0, "code") != "NUMBER_TAKEN" {
		t.Error(a.Body)
	}
	if a := w.did("hejing", "correctPerson", `person{name}`, vars{"person": person, "name": "欧阳买买提", "idempotencyKey": w.key()}); a.at("correctPerson", "person", "name") != "欧阳买买提" {
		t.Error(a.Body)
	}
	w.did("pan", "correctPerson", `person{name}`, vars{"addContacts": []vars{{"kind": "EMAIL", "value": "pan@example.org"}}, "class": "计科 2301", "idempotencyKey": w.key()})
	if a := w.good("pan", `{viewer{contacts{kind value verified}}}`, nil); a.at("viewer", "contacts", 0, "value") != "pan@example.org" || a.at("viewer", "contacts", 0, "verified") != false {
		t.Error(a.Body)
	}
	for mutation, in := range map[string]vars{"addPerson": {"name": "某人"}, "correctPerson": {"person": person, "class": "x"},
		"setSkill": {"person": person, "name": "network"}} {
		in["idempotencyKey"] = w.key()
		if a := w.change("pan", mutation, "__typename", in); a.code() != "FORBIDDEN" {
			t.Error(mutation, a.Body)
		}
	}
	if a := w.change("pan", "correctPerson", "__typename", vars{"name": "潘安", "idempotencyKey": w.key()}); a.code() != "FORBIDDEN" {
		t.Error("somebody renames himself: " + a.Body)
	}
}

func TestFreeHoursAndTheCalendar(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	a := w.did("pan", "setFreeHours", `viewer{freeHours{weekday parity fromMinute toMinute}}`,
		vars{"hours": []vars{{"weekday": 3, "parity": "ODD", "fromMinute": 480, "toMinute": 580}}, "idempotencyKey": w.key()})
	if a.at("setFreeHours", "viewer", "freeHours", 0, "parity") != "ODD" {
		t.Error(a.Body)
	}
	if a := w.change("pan", "setFreeHours", "__typename", vars{"hours": []vars{{"weekday": 8, "fromMinute": 1, "toMinute": 2}}, "idempotencyKey": w.key()}); a.code() != "BAD_USER_INPUT" {
		t.Error(a.Body)
	}
	in := vars{"terms": []vars{{"name": "2026 秋", "first": "2026-09-07", "weeks": 18}}, "days": []vars{{"name": "校庆", "date": "2026-10-20", "off": true}}, "idempotencyKey": w.key()}
	if a := w.change("pan", "setCalendar", "__typename", in); a.code() != "FORBIDDEN" {
		t.Error(a.Body)
	}
	w.did("hejing", "setCalendar", `calendar{terms{name}}`, in)
	if a := w.good("", `{calendar{terms{name first weeks examWeek} days{name date off}}}`, nil); a.at("calendar", "terms", 0, "first") != "2026-09-07" || a.at("calendar", "days", 0, "off") != true {
		t.Error(a.Body)
	}
	in["terms"] = []vars{{"name": "2026 秋", "first": "2026-09-08", "weeks": 18}}
	in["idempotencyKey"] = w.key()
	if a := w.change("hejing", "setCalendar", "__typename", in); a.code() != "BAD_USER_INPUT" {
		t.Error("a term begins on a Tuesday: " + a.Body)
	}
}

// Hours of a kind of seat are set and shown; the others keep theirs.
func TestHoursOfSeatsAreSettings(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	const selection = `calendar{hours{kind exams break working{fromMinute toMinute}} notices{year}}`
	a := w.good("", `{`+selection+`}`, nil)
	if a.at("calendar", "hours", 0, "kind") != "STUDENT" || a.at("calendar", "hours", 0, "exams") != "HALF" || a.at("calendar", "notices", 2, "year") != float64(2026) {
		t.Error(a.Body)
	}
	in := vars{"terms": []vars{}, "hours": []vars{{"kind": "TEACHER", "working": []vars{{"fromMinute": 540, "toMinute": 600}}}}, "idempotencyKey": w.key()}
	a = w.did("hejing", "setCalendar", selection, in)
	if a.at("setCalendar", "calendar", "hours", 1, "working", 0, "toMinute") != float64(600) || a.at("setCalendar", "calendar", "hours", 3, "working", 0, "toMinute") != float64(600) ||
		a.at("setCalendar", "calendar", "hours", 0, "working", 0, "toMinute") != float64(840) {
		t.Error(a.Body)
	}
	in["hours"], in["idempotencyKey"] = []vars{{"kind": "TEACHER", "working": []vars{}}}, w.key()
	if a := w.change("hejing", "setCalendar", "__typename", in); a.code() != "BAD_USER_INPUT" {
		t.Error("a working day without hours: " + a.Body)
	}
}

// A notice is tried out and imported by who keeps the calendar.
func TestHolidaysAreImported(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	days := []vars{{"name": "元旦", "date": "2027-01-01", "isOffDay": true}, {"name": "元旦", "date": "2027-01-02", "isOffDay": true}}
	in := vars{"notice": vars{"year": 2027, "papers": []string{"https://www.gov.cn/"}, "days": days}, "dryRun": true, "idempotencyKey": w.key()}
	const selection = `notice{year days{name date off}} movesTotal moves{number step{zh} from to rule{provisional text{zh en}}}`
	if a := w.change("pan", "importHolidays", selection, in); a.code() != "FORBIDDEN" {
		t.Error(a.Body)
	}
	years := func() int {
		list, _ := w.good("", `{calendar{notices{year}}}`, nil).at("calendar", "notices").([]any)
		return len(list)
	}
	known := years()
	if a := w.did("hejing", "importHolidays", selection, in); a.at("importHolidays", "notice") != nil || years() != known {
		t.Error("the dry run: " + a.Body)
	}
	in["dryRun"], in["idempotencyKey"] = false, w.key()
	if a := w.did("hejing", "importHolidays", selection, in); a.at("importHolidays", "notice", "days", 1, "date") != "2027-01-02" || years() != known+1 {
		t.Error(a.Body)
	}
	in["notice"], in["idempotencyKey"] = vars{"year": 2027, "days": []vars{}}, w.key()
	if a := w.change("hejing", "importHolidays", selection, in); a.code() != "BAD_USER_INPUT" {
		t.Error("a year that is not announced: " + a.Body)
	}
}

func TestPeopleHaveTheirRights(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.user("xin", "新同学", "0026100123")
		if a := w.did("xin", "exportPerson", "data", vars{}); !strings.Contains(a.Body, "0026100123") {
			t.Error(a.Body)
		}
		a := w.did("xin", "askRight", `request{id kind dueAt person{name}}`, vars{"kind": "SEE", "idempotencyKey": w.key()})
		request := a.at("askRight", "request", "id")
		if a := w.good("hejing", `{rightsRequests{id kind person{name}}}`, nil); a.at("rightsRequests", 0, "id") != request || a.at("rightsRequests", 0, "person", "name") != "新同学" {
			t.Error(a.Body)
		}
		if a := w.as("pan", `{rightsRequests{id}}`, nil); a.code() != "FORBIDDEN" {
			t.Error(a.Body)
		}
		for mutation, in := range map[string]vars{"exportPerson": {"person": w.per("xin")}, "erasePerson": {"person": w.per("xin"), "idempotencyKey": w.key()},
			"answerRight": {"request": request, "idempotencyKey": w.key()}} {
			if a := w.change("pan", mutation, "__typename", in); a.code() != "FORBIDDEN" || strings.Contains(a.Body, "0026100123") {
				t.Error(mutation, a.Body)
			}
		}
		w.did("hejing", "answerRight", "done", vars{"request": request, "idempotencyKey": w.key()})
		if a := w.good("xin", `{viewer{rightsRequests{id doneAt}}}`, nil); a.at("viewer", "rightsRequests", 0, "doneAt") == nil {
			t.Error(a.Body)
		}
		if a := w.change("qin", "erasePerson", "done", vars{"idempotencyKey": w.key()}); a.at("erasePerson", "userErrors", 0, "code") != "STILL_IN_OFFICE" {
			t.Error(a.Body)
		}
		w.did("xin", "erasePerson", "done", vars{"idempotencyKey": w.key()})
		if a := w.as("xin", `{viewer{person{name}}}`, nil); a.Status != http.StatusUnauthorized {
			t.Error("an erased person's session lives on: " + a.Body)
		}
		if a := w.good("pan", `{people(text:"新同学"){name}}`, nil); a.at("people", 0) != nil {
			t.Error(a.Body)
		}
	})
}

// What gives somebody power, or cannot be undone, asks for the password again.
func TestRolesAndSecretsAskForThePassword(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	w.user("xin", "新同学", "0026100123")
	w.token("hejing")
	w.clock.Advance(auth.Sudo + time.Minute)
	per, key := w.per("xin"), func() string { return w.key() }
	acts := map[string]vars{
		"startTenure": {"person": per, "seat": "office.member", "idempotencyKey": key()}, "endTenure": {"tenure": id.New().TypeID("ten"), "idempotencyKey": key()},
		"setPortfolio": {"unit": "publicity", "seat": "fed.vice", "person": w.per("guchen"), "idempotencyKey": key()},
		"setLiaison":   {"unit": "society.robotics", "person": per, "idempotencyKey": key()},
		"delegateSeat": {"seat": "office.head", "person": w.per("songlan"), "until": w.clock.Now().Add(time.Hour).Format(time.RFC3339), "idempotencyKey": key()},
		"createToken":  {"name": "screen", "scopes": []string{"netmon:read"}}, "issueReset": {"person": per}, "closeAccount": {"person": per},
		"importRoster": {"csv": "0026100126,某人,office,member"}, "confirmClaims": {"confirm": []string{id.New().TypeID("clm")}, "idempotencyKey": key()},
		"erasePerson": {"person": per, "idempotencyKey": key()},
	}
	for mutation, in := range acts {
		a := w.change("hejing", mutation, "__typename", in)
		if a.code() != "FORBIDDEN" || a.Errors[0].Extensions["reason"] != "PASSWORD_AGAIN" {
			t.Errorf("%s does not ask for the password: %s", mutation, a.Body)
		}
	}
	w.did("hejing", "confirmPassword", "confirmed", vars{"password": password})
	for mutation, in := range acts {
		if a := w.change("hejing", mutation, "__typename", in); a.code() == "FORBIDDEN" {
			t.Errorf("%s is refused after the password: %s", mutation, a.Body)
		}
	}
	// An API token never had a password.
	token, _, err := w.auth.MintToken(bg, w.people["hejing"], auth.NewToken{Name: "all", Scopes: []string{"all"}})
	if err != nil {
		t.Fatal(err)
	}
	w.tokens["machine"] = token
	for mutation, in := range acts {
		if a := w.change("machine", mutation, "__typename", in); a.code() != "FORBIDDEN" {
			t.Errorf("a token does %s: %s", mutation, a.Body)
		}
	}
}
