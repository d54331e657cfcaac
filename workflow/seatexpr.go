package workflow

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kelian/org"
)

// SeatKind says how a seat expression finds people.
type SeatKind string

// The kinds of seat expression.
const (
	SeatRole    SeatKind = "role"    // the holders of Role at Unit
	SeatVice    SeatKind = "vice"    // whose portfolio Unit is (分管)
	SeatOutside SeatKind = "outside" // a party without a seat, named by Role
)

// SeatExpr says who is asked, without names of people. Its grammar:
//
//	seat  = "seat(" seat ")" | unit "." role | "vice_of(" unit ")"
//	      | "college(in_charge)" | "outside(" word ")"
//	unit  = code | field | "request.unit" | "college_of(" unit ")" | "each(" many ")"
//	many  = "college" | "society" | "department" | field
//
// code is a unit's code, field a field of the form that holds a unit, in each()
// a list of them; each(society) are all societies. college(in_charge) is short
// for college_of(request.unit).head.
type SeatExpr struct {
	Source string
	Kind   SeatKind
	Unit   UnitExpr
	Role   string
}

// UnitKind says how a unit is found.
type UnitKind string

// The kinds of unit expression.
const (
	UnitFixed   UnitKind = "fixed"      // Code
	UnitField   UnitKind = "field"      // the unit that the form's Field names
	UnitRequest UnitKind = "request"    // the unit the request is made for
	UnitCollege UnitKind = "college_of" // the college in charge of Of
	UnitEach    UnitKind = "each"       // all of the org.UnitKind Code, or all that the form's list Field names
)

// UnitExpr is a unit inside a SeatExpr.
type UnitExpr struct {
	Kind  UnitKind
	Code  string    // of a fixed unit; of each the kind
	Field string    // JSON pointer of a form field
	Of    *UnitExpr // of college_of
}

// Roles are the roles a seat can have, at any unit.
var Roles = []string{"head", "deputy", "member", "advisor", "chair", "vice", "secretary", "teacher", "finance", "technician", "trainer", "keeper"}

// unitCodes are the fixed codes; colleges and societies have codes of their own.
var unitCodes = []string{"league", "fed", "office", "supervision", "liaison", "publicity", "technical",
	"technical.maintenance", "technical.information"}

var (
	manyUnits = regexp.MustCompile(`^(college|society)\.[a-z][a-z0-9-]{0,39}$`)
	word      = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
)

// manyKinds are the kinds of unit that each() takes whole.
var manyKinds = map[string]org.UnitKind{"college": org.CollegeDepartment, "society": org.Society, "department": org.Department}

// listed follows the name of a field that lists units, see Form.Units.
const listed = "[]"

// ParseSeat reads a seat expression. fields are the form's fields that hold a
// unit, or units, as Form.Units names them.
func ParseSeat(src string, fields []string) (SeatExpr, error) {
	p := seatParser{fields: fields}
	e, err := p.seat(strings.TrimSpace(src))
	e.Source = src
	return e, err
}

type seatParser struct{ fields []string }

func (p seatParser) seat(s string) (SeatExpr, error) {
	if s == "college(in_charge)" {
		return SeatExpr{Kind: SeatRole, Role: "head", Unit: UnitExpr{Kind: UnitCollege, Of: &UnitExpr{Kind: UnitRequest}}}, nil
	}
	if arg, ok := callArg(s, "seat"); ok {
		return p.seat(arg)
	}
	if arg, ok := callArg(s, "vice_of"); ok {
		u, err := p.unit(arg)
		if err == nil && u.Kind == UnitEach {
			err = fmt.Errorf("vice_of takes one unit, not %s", arg)
		}
		return SeatExpr{Kind: SeatVice, Unit: u}, err
	}
	if arg, ok := callArg(s, "outside"); ok {
		if !word.MatchString(arg) {
			return SeatExpr{}, fmt.Errorf("outside takes one word, not %q", arg)
		}
		return SeatExpr{Kind: SeatOutside, Role: arg}, nil
	}
	dot := strings.LastIndexByte(s, '.')
	if dot < 1 {
		return SeatExpr{}, fmt.Errorf("%q is no seat: write unit.role, vice_of(unit) or outside(role)", s)
	}
	role := s[dot+1:]
	if !slices.Contains(Roles, role) {
		return SeatExpr{}, fmt.Errorf("there is no role %q; roles are %s", role, strings.Join(Roles, ", "))
	}
	u, err := p.unit(s[:dot])
	return SeatExpr{Kind: SeatRole, Unit: u, Role: role}, err
}

func (p seatParser) unit(s string) (UnitExpr, error) {
	if arg, ok := callArg(s, "college_of"); ok {
		of, err := p.unit(arg)
		if err == nil && of.Kind == UnitEach {
			err = fmt.Errorf("college_of takes one unit, not %s", arg)
		}
		return UnitExpr{Kind: UnitCollege, Of: &of}, err
	}
	if arg, ok := callArg(s, "each"); ok {
		if kind, ok := manyKinds[arg]; ok {
			return UnitExpr{Kind: UnitEach, Code: string(kind)}, nil
		}
		if slices.Contains(p.fields, arg+listed) {
			return UnitExpr{Kind: UnitEach, Field: "/" + arg}, nil
		}
		return UnitExpr{}, fmt.Errorf("each takes college, society, department, or a form field that lists units, not %q", arg)
	}
	switch {
	case s == "request.unit":
		return UnitExpr{Kind: UnitRequest}, nil
	case slices.Contains(unitCodes, s) || manyUnits.MatchString(s):
		return UnitExpr{Kind: UnitFixed, Code: s}, nil
	case slices.Contains(p.fields, s):
		return UnitExpr{Kind: UnitField, Field: "/" + s}, nil
	}
	return UnitExpr{}, fmt.Errorf("there is neither a unit %q nor a form field of kind unit with that name", s)
}

// callArg takes name(arg) apart.
func callArg(s, name string) (string, bool) {
	rest, ok := strings.CutPrefix(s, name+"(")
	if !ok || !strings.HasSuffix(rest, ")") {
		return "", false
	}
	return strings.TrimSpace(rest[:len(rest)-1]), true
}
