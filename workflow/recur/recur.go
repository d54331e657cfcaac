// Package recur reads the rule of what recurs, an RRULE of RFC 5545 (section
// 3.3.10), and reckons its dates. It knows dates only: the time of day is that
// of the start, in the location of the start, whatever a clock change does.
//
// Of the RFC it takes FREQ=DAILY, WEEKLY, MONTHLY and YEARLY with INTERVAL,
// COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS and WKST. A start that the
// rule does not name is no date of it: a plan that is due on the last day of the
// month is not due on the day on which somebody thought of it.
package recur

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"

	"github.com/teambition/rrule-go"
)

// The limits of a rule (docs/limits.md).
const (
	MaxLength   = 200
	maxInterval = 99
	maxCount    = 1000
)

// Field is the field that refusals name.
const Field = "rrule"

// Rule is a rule that was read. The zero Rule has no dates.
type Rule struct{ option rrule.ROption }

var frequencies = map[string]rrule.Frequency{"DAILY": rrule.DAILY, "WEEKLY": rrule.WEEKLY, "MONTHLY": rrule.MONTHLY, "YEARLY": rrule.YEARLY}

var weekdays = map[string]rrule.Weekday{"MO": rrule.MO, "TU": rrule.TU, "WE": rrule.WE, "TH": rrule.TH, "FR": rrule.FR, "SA": rrule.SA, "SU": rrule.SU}

// bad refuses a part of a rule by its name; it is at ["rrule", part].
func bad(part, zh, en string) error {
	return fault.Refuse("BAD_RRULE", "重复规则里 "+part+" "+zh, part+" in the rule "+en).At(Field, part)
}

// Parse reads a rule, e.g. FREQ=MONTHLY;BYMONTHDAY=25. A refusal is BAD_RRULE
// at [rrule, the part], or at [rrule] where it is about the whole.
func Parse(text string, loc *time.Location) (Rule, error) {
	text = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(text)), "RRULE:")
	if text == "" || len(text) > MaxLength {
		return Rule{}, fault.Refuse("BAD_RRULE", fmt.Sprintf("请写重复规则，例如 FREQ=MONTHLY;BYMONTHDAY=25，最多 %d 个字符", MaxLength),
			fmt.Sprintf("write a rule such as FREQ=MONTHLY;BYMONTHDAY=25, at most %d characters", MaxLength)).At(Field)
	}
	parts := map[string]string{}
	for _, p := range strings.Split(text, ";") {
		name, value, ok := strings.Cut(p, "=")
		if !ok || value == "" {
			return Rule{}, bad(p, "应写成 名称=值", "is not of the form NAME=VALUE")
		}
		if _, twice := parts[name]; twice {
			return Rule{}, bad(name, "写了两次", "stands there twice")
		}
		parts[name] = value
	}
	r := Rule{}
	if err := r.frequency(parts["FREQ"]); err != nil {
		return Rule{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if err := r.part(name, parts[name], loc); err != nil {
			return Rule{}, err
		}
	}
	return r, r.fits(parts)
}

func (r *Rule) frequency(value string) error {
	f, ok := frequencies[value]
	switch {
	case value == "":
		return bad("FREQ", "没有写，应为 DAILY、WEEKLY、MONTHLY 或 YEARLY", "is missing: DAILY, WEEKLY, MONTHLY or YEARLY")
	case !ok:
		return bad("FREQ", "只能是 DAILY、WEEKLY、MONTHLY 或 YEARLY，不能是 "+value, "is DAILY, WEEKLY, MONTHLY or YEARLY, not "+value)
	}
	r.option.Freq = f
	return nil
}

func (r *Rule) part(name, value string, loc *time.Location) (err error) {
	o := &r.option
	switch name {
	case "FREQ":
	case "INTERVAL":
		o.Interval, err = number(name, value, 1, maxInterval)
	case "COUNT":
		o.Count, err = number(name, value, 1, maxCount)
	case "UNTIL":
		o.Until, err = until(value, loc)
	case "BYMONTH":
		o.Bymonth, err = numbers(name, value, 12, false)
	case "BYMONTHDAY":
		o.Bymonthday, err = numbers(name, value, 31, true)
	case "BYSETPOS":
		o.Bysetpos, err = numbers(name, value, 31, true)
	case "BYDAY":
		o.Byweekday, err = days(value)
	case "WKST":
		day, ok := weekdays[value]
		if !ok {
			return bad(name, "应为 MO、TU、WE、TH、FR、SA 或 SU", "is one of MO, TU, WE, TH, FR, SA, SU")
		}
		o.Wkst = day
	case "BYHOUR", "BYMINUTE", "BYSECOND":
		return bad(name, "不能写：时刻以开始时间为准", "has no place: the time of day is that of the start")
	default:
		return bad(name, "不支持", "is not known here")
	}
	return err
}

func number(part, value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, bad(part, fmt.Sprintf("应为 %d 到 %d 的整数", low, high), fmt.Sprintf("is a whole number from %d to %d", low, high))
	}
	return n, nil
}

func numbers(part, value string, high int, negative bool) (out []int, err error) {
	for _, v := range strings.Split(value, ",") {
		n, err := strconv.Atoi(v)
		if size := max(n, -n); err != nil || size < 1 || size > high || n < 0 && !negative {
			zh, en := fmt.Sprintf("应为 1 到 %d 的整数，用逗号分开", high), fmt.Sprintf("lists whole numbers from 1 to %d", high)
			if negative {
				zh, en = zh+"；负数从末尾数起", en+", or negative ones from the end"
			}
			return nil, bad(part, zh, en)
		}
		out = append(out, n)
	}
	return out, nil
}

func days(value string) (out []rrule.Weekday, err error) {
	for _, v := range strings.Split(value, ",") {
		day, ok := weekdays[v[max(0, len(v)-2):]]
		n := 0
		if place := v[:max(0, len(v)-2)]; ok && place != "" {
			n, err = strconv.Atoi(place)
			ok = err == nil && n != 0 && max(n, -n) <= 5
		}
		if !ok {
			return nil, bad("BYDAY", "应为 MO、TU、WE、TH、FR、SA、SU，可带第几个（1MO 第一个周一，-1FR 最后一个周五）",
				"lists MO, TU, WE, TH, FR, SA, SU, with a place where it matters (1MO the first Monday, -1FR the last Friday)")
		}
		if n != 0 {
			day = day.Nth(n)
		}
		out = append(out, day)
	}
	return out, nil
}

// until is the end of its day where it names a day.
func until(value string, loc *time.Location) (time.Time, error) {
	if t, err := time.ParseInLocation("20060102", value, loc); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Second), nil
	}
	if t, err := time.ParseInLocation("20060102T150405", value, loc); err == nil {
		return t, nil
	}
	if t, err := time.Parse("20060102T150405Z", value); err == nil {
		return t, nil
	}
	return time.Time{}, bad("UNTIL", "应为日期，例如 20270630", "is a date such as 20270630")
}

// fits refuses parts that RFC 5545 forbids together, or that can have no date.
func (r *Rule) fits(parts map[string]string) error {
	o := r.option
	placed := slices.ContainsFunc(o.Byweekday, func(d rrule.Weekday) bool { return d.N() != 0 })
	switch {
	case parts["COUNT"] != "" && parts["UNTIL"] != "":
		return bad("UNTIL", "和 COUNT 只能写一个", "and COUNT exclude each other")
	case placed && o.Freq != rrule.MONTHLY && o.Freq != rrule.YEARLY:
		return bad("BYDAY", "的第几个只能用于 MONTHLY 和 YEARLY", "counts weekdays with MONTHLY and YEARLY only")
	case o.Bymonthday != nil && o.Freq != rrule.MONTHLY && o.Freq != rrule.YEARLY:
		return bad("BYMONTHDAY", "只能用于 MONTHLY 和 YEARLY", "goes with MONTHLY and YEARLY only")
	case o.Bysetpos != nil && o.Freq != rrule.MONTHLY && o.Freq != rrule.YEARLY:
		return bad("BYSETPOS", "只能用于 MONTHLY 和 YEARLY", "goes with MONTHLY and YEARLY only")
	case o.Bysetpos != nil && o.Byweekday == nil && o.Bymonthday == nil && o.Bymonth == nil:
		return bad("BYSETPOS", "要和 BYDAY、BYMONTHDAY 或 BYMONTH 一起用", "needs BYDAY, BYMONTHDAY or BYMONTH beside it")
	}
	return nil
}

// After gives the first n dates of the rule that are later than t, fewer where
// it ends. The start's location is that of the dates.
func (r Rule) After(start, t time.Time, n int) []time.Time {
	o := r.option
	o.Dtstart = start
	rule, err := rrule.NewRRule(o)
	if err != nil {
		return nil // Parse has refused it
	}
	var out []time.Time
	for next := rule.Iterator(); len(out) < n; {
		d, ok := next()
		if !ok {
			break
		}
		if d.After(t) {
			out = append(out, d)
		}
	}
	return out
}
