package store

import (
	"encoding/base64"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
)

// Page is one page of a list that is ordered by (time, id).
type Page struct {
	First int    // 1 to 100
	After string // an opaque cursor, or ""
}

// Limits of a page (docs/api.md).
const (
	PageDefault = 20
	PageMax     = 100
)

// Check refuses a page outside of the limits; 0 is not the default.
func (p Page) Check() error {
	if p.First < 1 || p.First > PageMax {
		return fault.Input("first", "first 必须在 1 到 100 之间", "first must be between 1 and 100")
	}
	_, _, err := p.At()
	return err
}

// Cursor spells the place after a row of a list ordered by (time, id).
func Cursor(at time.Time, row id.ID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(at.UTC().Format("20060102T150405.000000") + " " + row.String()))
}

// At reads the cursor; without one it gives the zero place.
func (p Page) At() (time.Time, id.ID, error) {
	if p.After == "" {
		return time.Time{}, id.Nil, nil
	}
	bad := fault.Input("after", "after 不是本列表给出的游标", "after is not a cursor of this list")
	raw, err := base64.RawURLEncoding.DecodeString(p.After)
	if err != nil {
		return time.Time{}, id.Nil, bad
	}
	stamp, key, ok := strings.Cut(string(raw), " ")
	at, err := time.Parse("20060102T150405.000000", stamp)
	var row id.ID
	if !ok || err != nil || row.UnmarshalText([]byte(key)) != nil {
		return time.Time{}, id.Nil, bad
	}
	return at, row, nil
}
