package auth

import (
	"encoding/csv"
	"strings"

	"kelian/internal/fault"
)

// headings are the words that a line of headings may use, by the column that
// they name; a list without such a line has its columns in this order.
var headings = [4][]string{
	{"number", "学号", "工号", "学号/工号", "学工号"},
	{"name", "姓名"},
	{"unit", "单位", "部门"},
	{"title", "职务", "岗位"},
}

// ReadRoster reads a list as spreadsheets save it (commas) or as it is pasted
// from one (tabs): number, name, unit, title. A line of headings may name the
// columns in another order; what it does not name is passed over. Empty lines
// are left out.
func ReadRoster(text string) ([]RosterRow, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	if first, _, _ := strings.Cut(text, "\n"); strings.Contains(first, "\t") {
		r.Comma = '\t'
	}
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fault.Input("csv", "名单读不出来：每行一人，用逗号或制表符分成学号、姓名、单位、职务", "the list cannot be read: one person a line, number, name, unit and title by commas or tabs").Because(err)
	}
	columns := [4]int{0, 1, 2, 3}
	var out []RosterRow
	for i, line := range lines {
		if at, ok := columnsOf(line); i == 0 && ok {
			columns = at
			continue
		}
		cell := func(c int) string {
			if at := columns[c]; at >= 0 && at < len(line) {
				return strings.TrimSpace(line[at])
			}
			return ""
		}
		row := RosterRow{Number: cell(0), Name: cell(1), Unit: cell(2), Title: cell(3)}
		if row != (RosterRow{}) {
			out = append(out, row)
		}
	}
	return out, nil
}

// columnsOf finds the columns in a line of headings; ok says that it is one.
func columnsOf(line []string) (at [4]int, ok bool) {
	at = [4]int{-1, -1, -1, -1}
	for i, cell := range line {
		for c, words := range headings {
			for _, w := range words {
				if strings.EqualFold(strings.TrimSpace(cell), w) {
					at[c], ok = i, true
				}
			}
		}
	}
	return at, ok
}
