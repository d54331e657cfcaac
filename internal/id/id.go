// Package id makes and spells identifiers. Inside, an ID is a UUIDv7 (RFC 9562),
// uuid on PostgreSQL and TEXT on SQLite; outside it is a TypeID: a prefix that
// names its kind and 26 characters of Crockford base32.
package id

import (
	"crypto/rand"
	"database/sql/driver"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// ID is 16 bytes, ordered by time of making.
type ID [16]byte

// Nil is no identifier.
var Nil ID

// New makes a UUIDv7.
func New() ID { return ID(uuid.Must(uuid.NewV7())) }

// IsZero says that there is no identifier; bun writes NULL for nullzero fields.
func (i ID) IsZero() bool { return i == Nil }

// String is the canonical UUID form, as stored.
func (i ID) String() string { return uuid.UUID(i).String() }

// Value implements driver.Valuer.
func (i ID) Value() (driver.Value, error) {
	if i.IsZero() {
		return nil, nil
	}
	return i.String(), nil
}

// Scan implements sql.Scanner; NULL becomes Nil.
func (i *ID) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*i = Nil
		return nil
	case string:
		return i.UnmarshalText([]byte(v))
	case []byte:
		if len(v) == 16 {
			copy(i[:], v)
			return nil
		}
		return i.UnmarshalText(v)
	}
	return fmt.Errorf("id: cannot scan %T", src)
}

// MarshalText implements encoding.TextMarshaler (the UUID form).
func (i ID) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*i = Nil
		return nil
	}
	u, err := uuid.ParseBytes(b)
	if err != nil {
		return fmt.Errorf("id: %w", err)
	}
	*i = ID(u)
	return nil
}

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var secretEncoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// TypeID spells the ID with its kind's prefix, e.g. req_01jd….
func (i ID) TypeID(prefix string) string {
	// TypeID encodes 128 bits into 26 characters, two zero bits first
	// (github.com/jetify-com/typeid, specification 0.3).
	var b strings.Builder
	b.Grow(len(prefix) + 27)
	b.WriteString(prefix)
	b.WriteByte('_')
	for n := range 26 {
		var v byte
		for k := range 5 {
			bit := n*5 + k - 2
			v <<= 1
			if bit >= 0 && i[bit/8]&(0x80>>(bit%8)) != 0 {
				v |= 1
			}
		}
		b.WriteByte(alphabet[v])
	}
	return b.String()
}

// Parse reads a TypeID of the given kind.
func Parse(prefix, s string) (ID, error) {
	got, out, err := Split(s)
	if err != nil {
		return Nil, err
	}
	if got != prefix {
		return Nil, fmt.Errorf("id: %q is not a %s_… identifier", s, prefix)
	}
	return out, nil
}

// Split reads a TypeID of any kind.
func Split(s string) (prefix string, out ID, err error) {
	at := strings.LastIndexByte(s, '_')
	if at < 1 || len(s)-at-1 != 26 || s[at+1] > '7' {
		return "", Nil, fmt.Errorf("id: %.40q is not an identifier", s)
	}
	for n := range 26 {
		v := strings.IndexByte(alphabet, s[at+1+n])
		if v < 0 {
			return "", Nil, fmt.Errorf("id: %.40q is not an identifier", s)
		}
		for k := range 5 {
			if bit := n*5 + k - 2; bit >= 0 && v&(0x10>>k) != 0 {
				out[bit/8] |= 0x80 >> (bit % 8)
			}
		}
	}
	return s[:at], out, nil
}

// Secret is n random bytes spelled in base32, for links, tokens and codes
// that strangers hold. 20 bytes are 160 bits.
func Secret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return secretEncoding.EncodeToString(b)
}
