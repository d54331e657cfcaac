package repair

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/org"
)

// identityCard finds a resident identity number (GB 11643) in a text.
var identityCard = regexp.MustCompile(`(^|[^0-9A-Za-z])[1-9][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]($|[^0-9A-Za-z])`)

// checkText refuses a text of another length than least to most characters,
// with control characters, or with an identity card number in it.
func checkText(field, text string, least, most int) error {
	text = strings.TrimSpace(text)
	n := utf8.RuneCountInString(text)
	switch {
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }):
		return fault.Input(field, "含有不能显示的字符", "it has characters that cannot be shown")
	case n < least:
		return fault.Input(field, "请填写这一项", "please fill this in")
	case n > most:
		return fault.Input(field, "太长了，请写短一些", "this is too long; please shorten it")
	case identityCard.MatchString(text):
		return fault.Input(field, "不要填写身份证号，科联不收集它", "do not enter an identity card number; it is not collected")
	}
	return nil
}

// name of a skill or certificate; a comma separates them where they are stored.
var skillName = regexp.MustCompile(`^[\p{L}\p{N}_.·-]{1,40}$`)

func checkNames(field string, names []string) error {
	if len(names) > 8 || slices.ContainsFunc(names, func(n string) bool { return !skillName.MatchString(n) }) {
		return fault.Input(field, "最多 8 项，每项 1 到 40 个字，不含空格和逗号", "at most 8, each of 1 to 40 letters without spaces and commas")
	}
	return nil
}

// Contact is one way to reach a reporter.
type Contact struct {
	Kind  string // phone, qq, wechat, email
	Value string
}

// check gives the contact as it is stored and as it is compared: the same
// number is the same contact however it is written.
func (c Contact) check() (stored Contact, canonical string, err error) {
	ok, err := org.CheckContact(org.Contact{Kind: c.Kind, Value: c.Value})
	if err != nil {
		return c, "", err
	}
	canonical = strings.ToLower(ok.Value)
	if c.Kind == "phone" {
		canonical = strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, canonical)
		if len(canonical) == 13 {
			canonical = strings.TrimPrefix(canonical, "86")
		}
	}
	return Contact{c.Kind, ok.Value}, c.Kind + " " + canonical, nil
}

// Forbidden are the appliances that a dormitory may not have; the desk does not
// take them. The form lists them before anything is filled in.
var Forbidden = []Words{
	{"热得快", "immersion heater"}, {"电热毯", "electric blanket"}, {"电炉", "electric stove"}, {"电磁炉", "induction cooker"},
	{"电饭锅", "rice cooker"}, {"电饭煲", "rice cooker"}, {"电热锅", "electric pot"}, {"电煮锅", "electric pot"}, {"电火锅", "hot pot"},
	{"电热水壶", "electric kettle"}, {"热水壶", "kettle"}, {"取暖器", "space heater"}, {"电暖器", "space heater"}, {"小太阳", "space heater"},
	{"微波炉", "microwave"}, {"烤箱", "oven"}, {"空气炸锅", "air fryer"}, {"电熨斗", "clothes iron"}, {"卷发棒", "curling iron"}, {"直发器", "hair straightener"},
}

// refuseForbidden is kind about it: nobody is reported anywhere.
func refuseForbidden(kind Kind, text string) error {
	if kind != Appliance {
		return nil
	}
	low := strings.ToLower(text)
	for _, f := range Forbidden {
		if strings.Contains(low, f.Zh) || strings.Contains(low, f.En) {
			return fault.Refuse("FORBIDDEN_APPLIANCE",
				"很抱歉，“"+f.Zh+"”属于宿舍禁用电器，我们修不了。修好带回宿舍也不安全，建议找厂家售后；这次不会记录你的信息。",
				"Sorry, a dormitory may not have this ("+f.En+"), so we cannot repair it: it would not be safe to take back. Please ask its maker's service; nothing about you was recorded.").At("text")
		}
	}
	return nil
}
