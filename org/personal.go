package org

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Personal fields of a person; the domains add theirs to the Register.
const (
	FieldName    = "name"
	FieldPinyin  = "pinyin"
	FieldNumber  = "number" // student or staff number: text, leading zeros kept, unique
	FieldClass   = "class"
	FieldGrade   = "grade"
	FieldCollege = "college"
	FieldCampus  = "campus"
)

// Erased stands where the name of an erased person would be.
const Erased = "已删除"

// SetPersonal stores values of a subject with the transaction, each under a key
// of its own, and gives the hashes that history carries in their place:
// HMAC-SHA-256 of the trimmed value. The value's key is made of the server's
// key and a random salt that stands beside the value, so that erasing the row
// leaves nothing to try values against. An empty value deletes the field. A
// zero until means: until somebody erases it. A field that the Register does
// not know panics: it would be missing on /privacy.
func SetPersonal(tx *store.Tx, key []byte, subject id.ID, at, until time.Time, values map[string]string) map[string]string {
	hashes := make(map[string]string, len(values))
	for _, field := range slices.Sorted(maps.Keys(values)) {
		if _, ok := RegisteredField(field); !ok {
			panic("org: the personal field " + field + " is not in the register")
		}
		value := strings.TrimSpace(values[field])
		if value == "" {
			tx.QueueSQL(`DELETE FROM personal WHERE subject = ? AND field = ?`, subject, field)
			continue
		}
		salt := make([]byte, 16)
		_, _ = rand.Read(salt)
		row := Personal{Subject: subject, Field: field, Value: value, Salt: hex.EncodeToString(salt), At: at, Until: until}
		row.Hash = hashPersonal(key, row.Salt, value)
		hashes[field] = row.Hash
		tx.Queue(tx.DB.Bun().NewInsert().Model(&row).On("CONFLICT (subject, field) DO UPDATE").
			Set("value = EXCLUDED.value, salt = EXCLUDED.salt, hash = EXCLUDED.hash, at = EXCLUDED.at, until = EXCLUDED.until"))
	}
	return hashes
}

func hashPersonal(key []byte, salt, value string) string {
	mac := hmac.New(sha256.New, ownKey(key, salt))
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

func ownKey(key []byte, salt string) []byte {
	own := hmac.New(sha256.New, key)
	own.Write([]byte("personal " + salt))
	return own.Sum(nil)
}

// Proof is the value's own key: Hash is the HMAC-SHA-256 of the value under it.
// It proves this value to somebody who has it, and says nothing of any other.
func (p *Personal) Proof(key []byte) []byte { return ownKey(key, p.Salt) }

// Proves says whether the value is the one that the row's hash was made of.
func (p *Personal) Proves(key []byte) bool {
	return hmac.Equal([]byte(hashPersonal(key, p.Salt, p.Value)), []byte(p.Hash))
}

// PersonalOf reads the values of subjects by field. A subject without values
// is not in the map. It takes no actor: who may look is the caller's rule.
func PersonalOf(ctx context.Context, q bun.IDB, subjects ...id.ID) (map[id.ID]map[string]string, error) {
	r := store.NewReads(q)
	values := AskPersonal(r, subjects...)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	return values(), nil
}

// AskPersonal is PersonalOf beside other reads; it answers once they have run.
func AskPersonal(r *store.Reads, subjects ...id.ID) func() map[id.ID]map[string]string {
	var rows []Personal
	if len(subjects) > 0 {
		r.SQL(&rows, `SELECT * FROM personal WHERE subject IN (?)`, bun.List(subjects))
	}
	return func() map[id.ID]map[string]string {
		out := map[id.ID]map[string]string{}
		for _, r := range rows {
			if out[r.Subject] == nil {
				out[r.Subject] = map[string]string{}
			}
			out[r.Subject][r.Field] = r.Value
		}
		return out
	}
}

// Names gives the full names of people. Somebody erased, or whose name was
// never known, is Erased.
func Names(ctx context.Context, q bun.IDB, ids ...id.ID) (map[id.ID]string, error) {
	out := make(map[id.ID]string, len(ids))
	for _, i := range ids {
		out[i] = Erased
	}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []Personal
	err := q.NewSelect().Model(&rows).Where("field = ?", FieldName).Where("subject IN (?)", bun.List(ids)).Scan(ctx)
	if err := noRows(err); err != nil {
		return nil, err
	}
	for _, r := range rows {
		out[r.Subject] = r.Value
	}
	return out, nil
}

// Mask shows a name in lists and feeds: 张伟 is 张*.
func Mask(name string) string {
	if name == "" || name == Erased {
		return name
	}
	for _, r := range name {
		return string(r) + "*"
	}
	return name
}

// MaskNumber shows a number in lists: 2023010115 is 2023****15.
func MaskNumber(s string) string {
	r := []rune(s)
	switch {
	case len(r) == 0:
		return ""
	case len(r) < 8:
		return string(r[:1]) + "****"
	}
	return string(r[:4]) + "****" + string(r[len(r)-2:])
}

// Erase deletes every value of the subject, with the salts that hashes in
// history were made with. For a person use ErasePerson, which also deletes
// what stands outside of personal rows.
func Erase(_ context.Context, tx *store.Tx, subject id.ID, _ time.Time) error {
	tx.QueueSQL(`DELETE FROM personal WHERE subject = ?`, subject)
	return nil
}

// Contact is a way to reach a person.
type Contact struct {
	Kind     string // phone, qq, wechat, email
	Value    string
	Verified bool
}

// Contacts reads the ways to reach a person, verified ones first. It takes no
// actor: it is for those who send. Service.Contacts is for those who look.
func Contacts(ctx context.Context, q bun.IDB, person id.ID) ([]Contact, error) {
	var rows []Contact
	err := q.NewRaw(`SELECT kind, value, verified_at IS NOT NULL AS verified FROM contact WHERE person_id = ?
		ORDER BY (verified_at IS NULL), kind, value`, person).Scan(ctx, &rows)
	return rows, noRows(err)
}
