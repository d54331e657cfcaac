package org

import (
	"context"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
)

// NewPerson is somebody to be known to the federation.
type NewPerson struct {
	Kind                                        PersonKind
	Lang                                        string // zh or en, "" = zh
	Name, Number, College, Class, Grade, Campus string
	Contacts                                    []Contact // Verified is kept
	Until                                       time.Time // erased after it; zero = see the register
}

var (
	numberShape = regexp.MustCompile(`^[0-9A-Za-z-]{3,32}$`)
	contactKind = map[string]*regexp.Regexp{
		"phone":  regexp.MustCompile(`^\+?[0-9][0-9 -]{4,20}$`),
		"qq":     regexp.MustCompile(`^[1-9][0-9]{4,11}$`),
		"wechat": regexp.MustCompile(`^[A-Za-z0-9_-]{5,40}$`),
		"email":  regexp.MustCompile(`^[^@\s<>"(),;:\\]{1,64}@[A-Za-z0-9.-]{3,120}$`),
	}
)

// CheckName refuses what cannot be a name: 1 to 50 characters of any script,
// no control or invisible ones. The name comes back trimmed and is never split.
func CheckName(name string) (string, error) {
	name = strings.TrimSpace(name)
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
	})
	if n := utf8.RuneCountInString(name); n < 1 || n > 50 || bad || !utf8.ValidString(name) {
		return "", fault.Input("name", "姓名为 1 到 50 个字，不含控制字符", "a name has 1 to 50 characters and no control characters")
	}
	return name, nil
}

// CheckNumber refuses what cannot be a student or staff number; it stays text.
func CheckNumber(number string) (string, error) {
	number = strings.TrimSpace(number)
	if !numberShape.MatchString(number) {
		return "", fault.Input("number", "学号或工号为 3 到 32 个字母、数字或连字符", "a number has 3 to 32 letters, digits or hyphens")
	}
	return number, nil
}

// CheckContact refuses a contact of another shape than its kind has.
func CheckContact(c Contact) (Contact, error) {
	c.Value = strings.TrimSpace(c.Value)
	shape, ok := contactKind[c.Kind]
	if !ok || !shape.MatchString(c.Value) {
		return c, fault.Input("contact", "联系方式不对：手机号、QQ 号、微信号或邮箱", "this is not a phone number, QQ number, WeChat name or e-mail address")
	}
	if c.Kind == "email" {
		c.Value = strings.ToLower(c.Value)
	}
	return c, nil
}

// AddPerson writes somebody with the transaction and gives the identifier. A
// number that somebody else has fails the command (store.IsUnique, personal).
func AddPerson(tx *store.Tx, p NewPerson, at time.Time) (id.ID, error) {
	name, err := CheckName(p.Name)
	if err != nil {
		return id.Nil, err
	}
	if p.Number != "" {
		if p.Number, err = CheckNumber(p.Number); err != nil {
			return id.Nil, err
		}
	}
	if p.Lang != "en" {
		p.Lang = "zh"
	}
	row := Person{ID: id.New(), Kind: p.Kind, Lang: p.Lang, Search: store.SearchText(name), CreatedAt: at}
	tx.Queue(tx.DB.Bun().NewInsert().Model(&row))
	values := map[string]string{FieldNumber: p.Number, FieldCollege: p.College, FieldClass: p.Class, FieldGrade: p.Grade, FieldCampus: p.Campus}
	for field, v := range values {
		if v == "" {
			delete(values, field)
		}
	}
	if err := checkValues(values); err != nil {
		return id.Nil, err
	}
	values[FieldName], values[FieldPinyin] = name, pinyinOf(name)
	SetPersonal(tx, tx.DB.Key(), row.ID, at, p.Until, values)
	for _, c := range p.Contacts {
		if err := PutContact(tx, row.ID, c, at, p.Until); err != nil {
			return id.Nil, err
		}
	}
	return row.ID, nil
}

// PutContact adds a way to reach the person, or marks one as verified.
func PutContact(tx *store.Tx, person id.ID, c Contact, at, until time.Time) error {
	c, err := CheckContact(c)
	if err != nil {
		return err
	}
	var verified, end any
	if c.Verified {
		verified = at
	}
	if !until.IsZero() {
		end = until
	}
	tx.QueueSQL(`INSERT INTO contact (id, person_id, kind, value, verified_at, created_at, until) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (person_id, kind, value) DO UPDATE SET verified_at = coalesce(contact.verified_at, EXCLUDED.verified_at), until = EXCLUDED.until`,
		id.New(), person, c.Kind, c.Value, verified, at, end)
	return nil
}

// pinyinOf is what a name sorts by: pinyin, else the name in lower case.
func pinyinOf(name string) string {
	if full, _ := store.Pinyin(name); full != "" {
		return full
	}
	return strings.ToLower(name)
}

// checkValues refuses what is too long, and identity card numbers, which the
// federation does not keep.
func checkValues(values map[string]string) error {
	for field, v := range values {
		if utf8.RuneCountInString(v) > 100 || !utf8.ValidString(v) {
			return fault.Input(field, "最多 100 个字", "at most 100 characters")
		}
		if identityCard.MatchString(strings.TrimSpace(v)) {
			return fault.Input(field, "不要填写身份证号，科联不收集它", "do not enter an identity card number; it is not collected")
		}
	}
	return nil
}

// identityCard is the shape of a resident identity number (GB 11643).
var identityCard = regexp.MustCompile(`^[1-9][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])[0-9]{3}[0-9Xx]$`)

// CorrectPerson corrects values about a person (zero = the actor). A nil map
// or slice leaves those as they are; an empty value deletes the field.
type CorrectPerson struct {
	IdempotencyKey string
	Person         id.ID
	Values         map[string]string // by field, e.g. class
	AddContacts    []Contact         // Verified is ignored
	DropContacts   []Contact
	Lang           string // "" = as it is
}

// ownFields are those that people correct about themselves; the name and the
// number identify them, so the office does.
var ownFields = map[string]bool{FieldCollege: true, FieldClass: true, FieldGrade: true, FieldCampus: true, FieldPinyin: true}

// CorrectPerson applies the corrections; history keeps the names of the fields
// and the hashes of the new values.
func (s *Service) CorrectPerson(ctx context.Context, actor Actor, in CorrectPerson) (Done, error) {
	out, err := do(ctx, s, actor, "correctPerson", in.IdempotencyKey, in, func(ctx context.Context, c command) (Done, error) {
		if in.Person.IsZero() {
			in.Person = c.actor.Person
		}
		o := Object{Owner: in.Person}
		if err := s.rules.Check(c.actor, "org.person.correct", o); err != nil {
			return Done{}, err
		}
		if _, err := c.person(ctx, in.Person); err != nil {
			return Done{}, err
		}
		values, err := s.corrected(c.actor, in)
		if err != nil {
			return Done{}, err
		}
		hashes := SetPersonal(c.tx, s.db.Key(), in.Person, c.now, time.Time{}, values)
		if name := values[FieldName]; name != "" {
			c.tx.QueueSQL(`UPDATE person SET search = ? WHERE id = ?`, store.SearchText(name), in.Person)
		}
		if in.Lang != "" {
			c.tx.QueueSQL(`UPDATE person SET lang = ? WHERE id = ?`, in.Lang, in.Person)
		}
		for _, x := range in.AddContacts {
			x.Verified = false
			if err := PutContact(c.tx, in.Person, x, c.now, time.Time{}); err != nil {
				return Done{}, err
			}
		}
		for _, x := range in.DropContacts {
			c.tx.QueueSQL(`DELETE FROM contact WHERE person_id = ? AND kind = ? AND value = ?`, in.Person, x.Kind, strings.TrimSpace(x.Value))
		}
		audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Seat: s.rules.Under(c.actor, "org.person.correct", o), Action: "org.person.correct",
			Object: personRef(in.Person), Data: map[string]any{"hashes": hashes, "contactsAdded": len(in.AddContacts), "contactsDropped": len(in.DropContacts)}, At: c.now})
		return Done{}, nil
	})
	return out, NumberTaken(err)
}

// corrected checks the new values against who corrects them.
func (s *Service) corrected(a Actor, in CorrectPerson) (map[string]string, error) {
	values := map[string]string{}
	office := a.Holds("office.head") && a.Person != in.Person || a.System
	for field, v := range in.Values {
		switch {
		case field == FieldName || field == FieldNumber:
			if !office {
				return nil, fault.Deny("org.person.correct", "办公室主任（姓名和学号由办公室更正）", "the head of the office (names and numbers are corrected there)")
			}
		case !ownFields[field]:
			return nil, fault.Input(field, "没有这一项", "there is no such field")
		}
		values[field] = v
	}
	if err := checkValues(values); err != nil {
		return nil, err
	}
	if in.Lang != "" && in.Lang != "zh" && in.Lang != "en" {
		return nil, fault.Input("lang", "语言为 zh 或 en", "the language is zh or en")
	}
	var err error
	if v, ok := values[FieldName]; ok {
		if values[FieldName], err = CheckName(v); err != nil {
			return nil, err
		}
		if _, given := values[FieldPinyin]; !given {
			values[FieldPinyin] = pinyinOf(values[FieldName])
		}
	}
	if v, ok := values[FieldNumber]; ok {
		if values[FieldNumber], err = CheckNumber(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// AddPerson lets the office enter somebody by hand.
func (s *Service) AddPerson(ctx context.Context, actor Actor, key string, p NewPerson) (PersonOutcome, error) {
	out, err := do(ctx, s, actor, "addPerson", key, p, func(_ context.Context, c command) (PersonOutcome, error) {
		if err := s.rules.Check(c.actor, "org.person.add", Object{}); err != nil {
			return PersonOutcome{}, err
		}
		if p.Kind == "" {
			p.Kind = Officer
		}
		for i := range p.Contacts {
			p.Contacts[i].Verified = false
		}
		who, err := AddPerson(c.tx, p, c.now)
		if err != nil {
			return PersonOutcome{}, err
		}
		audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Seat: s.rules.Under(c.actor, "org.person.add", Object{}), Action: "org.person.add",
			Object: personRef(who), Data: map[string]any{"kind": p.Kind}, At: c.now})
		return PersonOutcome{who}, nil
	})
	return out, NumberTaken(err)
}

// PersonOutcome names the person.
type PersonOutcome struct{ Person id.ID }

// NumberTaken turns the schema's refusal of a number that somebody has into
// the domain's NUMBER_TAKEN.
func NumberTaken(err error) error {
	if store.IsUnique(err, "personal") {
		return fault.Refuse("NUMBER_TAKEN", "这个学号或工号已经有人使用", "somebody has this number already").At("number")
	}
	return err
}
