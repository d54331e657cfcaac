package calendar

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"kelian/internal/fault"
)

//go:embed holidays/*.json
var files embed.FS

// Notice is the State Council's on the holidays of one year, in the shape of
// the data set holiday-cn.
type Notice struct {
	Year   int      `json:"year"`
	Papers []string `json:"papers"` // where it was published
	Days   []Day    `json:"days"`
}

// Day is one day that is not as its weekday says.
type Day struct {
	Name string `json:"name"`
	Date string `json:"date"` // 2006-01-02
	Off  bool   `json:"isOffDay"`
}

// ParseNotice reads a notice; a wrong one is a fault of the input that says what
// to mend.
func ParseNotice(raw []byte) (Notice, error) {
	var n Notice
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&n); err != nil {
		return n, badNotice("文件不是 holiday-cn 格式的 JSON", "the file is not JSON in the shape of holiday-cn").Because(err)
	}
	return n, n.check()
}

func badNotice(zh, en string) *fault.Error { return fault.Input("notice", zh, en) }

// check refuses what cannot be a notice: a mistyped date must not move anybody's
// deadline.
func (n Notice) check() error {
	if n.Year < 2007 || n.Year > lastYear {
		return badNotice(fmt.Sprintf("年份 %d 不对", n.Year), fmt.Sprintf("the year %d cannot be right", n.Year))
	}
	seen := map[string]bool{}
	for _, d := range n.Days {
		at, err := time.Parse(time.DateOnly, d.Date)
		wrong := func(zh, en string) error { return badNotice(d.Date+"："+zh, d.Date+": "+en) }
		weekend := at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
		switch {
		case err != nil:
			return wrong("日期要写成 2027-10-01", "a date is written 2027-10-01")
		case at.Year() != n.Year && (at.Year() != n.Year-1 || at.Month() != time.December):
			return wrong("不在当年，也不在上一年十二月", "is neither in the year nor in the December before")
		case seen[d.Date]:
			return wrong("写了两次", "stands there twice")
		case d.Name == "":
			return wrong("没有节日名称", "has no name")
		case !d.Off && !weekend:
			return wrong("补班日应当是周六或周日", "a make-up working day is a Saturday or Sunday")
		}
		seen[d.Date] = true
	}
	if !slices.ContainsFunc(n.Days, func(d Day) bool { return d.Off }) {
		return badNotice("通知里没有放假的日子", "the notice has no day off")
	}
	return nil
}

// embedded are the notices that come with Kelian, read once, by year.
var embedded = sync.OnceValue(func() map[int]Notice {
	out := map[int]Notice{}
	entries, err := files.ReadDir("holidays")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		raw, err := files.ReadFile("holidays/" + e.Name())
		var n Notice
		if err == nil {
			n, err = ParseNotice(raw)
		}
		if err != nil {
			panic(fmt.Sprintf("calendar: %s: %v", e.Name(), err))
		}
		out[n.Year] = n
	}
	return out
})

// layered puts the imported notices over the embedded ones, in order of year.
func layered(imported []Notice) []Notice {
	byYear := map[int]Notice{}
	for y, n := range embedded() {
		byYear[y] = n
	}
	for _, n := range imported {
		byYear[n.Year] = n
	}
	out := make([]Notice, 0, len(byYear))
	for _, n := range byYear {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Notice) int { return a.Year - b.Year })
	return out
}
