package graph_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kelian/netmon/judge"
)

// enumSource says where the values of an enum of the schema are decided: a
// type's constants in Go, a CHECK of the schema of the database, or a list.
type enumSource struct {
	constants string // "<folder>.<type>"
	check     string // "<table>.<column>"
	list      []string
	without   []string          // values that this door does not show
	named     map[string]string // values that it calls otherwise
}

var enumSources = map[string]enumSource{
	"PurchaseState":        {constants: "desk/property.PurchaseState"},
	"PledgeState":          {constants: "desk/sponsor.State"},
	"PledgeKind":           {constants: "desk/sponsor.Kind"},
	"OrganisationKind":     {constants: "desk/sponsor.OrganisationKind"},
	"PledgeAction":         {constants: "desk/sponsor.Action", without: []string{"RECEIVE"}}, // a mutation of its own
	"TrainingTaskKind":     {constants: "desk/training.Kind"},
	"TrainingTaskState":    {constants: "desk/training.TaskState"},
	"TrainingTaskAction":   {constants: "desk/training.Action"},
	"AccountLinkKind":      {constants: "auth.LinkKind"},
	"RosterState":          {list: []string{"NEW", "UPDATED", "SAME"}}, // auth.RosterLine
	"HostState":            {constants: "netmon/judge.State", without: []string{"SICK"}},
	"HostOverlay":          {list: judge.Overlay(0xff).Names()},
	"HostListFormat":       {constants: "netmon.Format"},
	"HostRowResult":        {list: []string{"CREATED", "UPDATED", "UNCHANGED", "REFUSED"}}, // netmon.RowResult
	"CheckKind":            {constants: "netmon.Kind"},
	"DeliveryState":        {constants: "notify.State"},
	"WebhookDeliveryState": {constants: "webhook.State"},
	"NotificationChannel":  {check: "notify_preference.channel"},
	"ToTellState":          {constants: "notify.ToldState"},
	"UnitKind":             {constants: "org.UnitKind"},
	"TenureKind":           {constants: "org.TenureKind"},
	"PersonKind":           {constants: "org.PersonKind"},
	"SeatKind":             {constants: "org/calendar.Kind"},
	"Pace":                 {constants: "org/calendar.Pace"},
	"WeekParity":           {check: "free_hour.parity"},
	"RightKind":            {check: "rights_request.kind"},
	"RepairState":          {constants: "desk/repair.State"},
	"RepairKind":           {constants: "desk/repair.Kind"},
	"AssignmentState":      {constants: "desk/dispatch.State"},
	"ContactKind":          {check: "contact.kind"},
	"RepairAction": {constants: "desk/repair.Action", named: map[string]string{"WAIT_OWNER": "WAIT_FOR_OWNER"},
		without: []string{"SUBMIT", "DISPATCH", "LAPSE", "RECOVER", "SETTLE", "ERASE"}}, // mutations of their own, and the clock's
	"ReporterAction": {constants: "desk/repair.Action", without: []string{"SUBMIT", "TRIAGE", "DISPATCH", "ASSIGN", "ACCEPT", "DECLINE", "LAPSE", "CLAIM",
		"RELEASE", "TAKE_OVER", "NEED_PART", "PARTS_ARRIVED", "WAIT_OWNER", "FIX", "UNFIXABLE", "RETURN", "RECOVER", "SETTLE", "ERASE"}},
	"RequestStatus": {constants: "workflow/flow.Status"},
	"StepState":     {constants: "workflow/flow.StepStatus"},
	"TaskState":     {constants: "workflow/flow.TaskState"},
	"Verdict":       {constants: "workflow.Verdict"},
	"SendBackMode":  {constants: "workflow/flow.Mode"},
	"DiagramFormat": {constants: "workflow/render.Format"},
	"SignerPlace":   {constants: "workflow/flow.Place"},
	"WorkflowArea":  {constants: "workflow.Area"},
	"ChangeKind":    {constants: "workflow.Edit"},

	"RequirementKind": {constants: "workflow/flow.BlockKind"},
	"Progress":        {constants: "workflow/flow.Progress"},

	"DateShift":       {constants: "workflow.Shift"},
	"RecurrenceState": {constants: "workflow.RecurrenceState"},
	"RecurrenceAct":   {constants: "workflow.RecurrenceAct"},
	"OccurrenceState": {constants: "workflow.OccurrenceState"},
}

// A value that a domain knows and the schema does not would be an answer that no
// client can read.
func TestEnumsHaveTheValuesOfTheirDomains(t *testing.T) {
	for name, d := range schema(t).Types {
		if d.BuiltIn || d.Kind != "ENUM" {
			continue
		}
		source, known := enumSources[name]
		if !known {
			t.Errorf("%s: say in enumSources where its values are decided", name)
			continue
		}
		want := map[string]bool{}
		for _, v := range source.values(t) {
			v = screaming(v)
			if other, ok := source.named[v]; ok {
				v = other
			}
			if v != "" && !slices.Contains(source.without, v) {
				want[v] = true
			}
		}
		if len(want) == 0 {
			t.Errorf("%s: %+v has no values", name, source)
		}
		for _, v := range d.EnumValues {
			if !want[v.Name] {
				t.Errorf("%s.%s is unknown to %s%s", name, v.Name, source.constants, source.check)
			}
			delete(want, v.Name)
		}
		for v := range want {
			t.Errorf("%s lacks %s of %s%s", name, v, source.constants, source.check)
		}
	}
}

func (e enumSource) values(t *testing.T) []string {
	t.Helper()
	switch {
	case e.constants != "":
		at := strings.LastIndexByte(e.constants, '.')
		return constants(t, e.constants[:at], e.constants[at+1:])
	case e.check != "":
		table, column, _ := strings.Cut(e.check, ".")
		return checked(t, table, column)
	}
	return e.list
}

// constants are the string constants that a folder of this module declares of
// the type.
func constants(t *testing.T, folder, typ string) (out []string) {
	t.Helper()
	files, err := filepath.Glob("../" + folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if named, ok := spec.Type.(*ast.Ident); !ok || named.Name != typ {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					s, _ := strconv.Unquote(lit.Value)
					out = append(out, s)
				}
			}
			return true
		})
	}
	return out
}

// checked are the values that the newest definition of the column allows.
func checked(t *testing.T, table, column string) (out []string) {
	t.Helper()
	files, err := filepath.Glob("../migrations/sqlite/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, body, found := strings.Cut(string(raw), "CREATE TABLE "+table+" (")
		body, _, _ = strings.Cut(body, "--bun:split")
		if m := regexp.MustCompile(`\b` + column + ` IN \(([^)]*)\)`).FindStringSubmatch(body); found && m != nil {
			out = nil
			for v := range strings.SplitSeq(m[1], ",") {
				out = append(out, strings.Trim(v, " '"))
			}
		}
	}
	return out
}

var hump = regexp.MustCompile(`([a-z])([A-Z])`)

// screaming spells a value as GraphQL does: takeOver is TAKE_OVER.
func screaming(v string) string { return strings.ToUpper(hump.ReplaceAllString(v, "${1}_$2")) }
