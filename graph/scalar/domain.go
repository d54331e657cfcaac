package scalar

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"kelian/internal/fault"

	"github.com/99designs/gqlgen/graphql"
)

// The schema's own scalars.

// MarshalTime writes a moment in UTC with microseconds.
func MarshalTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return graphql.MarshalString(t.UTC().Format(timeLayout))
}

const timeLayout = "2006-01-02T15:04:05.000000Z"

// AppendTime appends what MarshalTime writes.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return append(t.UTC().AppendFormat(append(b, '"'), timeLayout), '"')
}

// UnmarshalTime reads RFC 3339 between the years 1970 and 2100.
func UnmarshalTime(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, bad("须是时间文本，如 2026-10-14T02:00:00Z", "must be a time such as 2026-10-14T02:00:00Z")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, bad("须是时间文本，如 2026-10-14T02:00:00Z", "must be a time such as 2026-10-14T02:00:00Z")
	}
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 2100 {
		return time.Time{}, bad("年份须在 1970 到 2100 之间", "the year must be between 1970 and 2100")
	}
	return t.Truncate(time.Microsecond), nil
}

// MarshalFen writes an amount.
func MarshalFen(n int64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = io.WriteString(w, strconv.FormatInt(n, 10)) })
}

// MaxFen bounds amounts: ten thousand million yuan.
const MaxFen = 1_000_000_000_000

// UnmarshalFen reads whole fen.
func UnmarshalFen(v any) (int64, error) {
	var n int64
	switch v := v.(type) {
	case int:
		n = int64(v)
	case int64:
		n = v
	case json.Number:
		var err error
		if n, err = strconv.ParseInt(string(v), 10, 64); err != nil {
			return 0, bad("金额须是整数（单位：分）", "an amount is a whole number of fen")
		}
	default:
		return 0, bad("金额须是整数（单位：分）", "an amount is a whole number of fen")
	}
	if n < -MaxFen || n > MaxFen {
		return 0, bad("金额超出范围", "the amount is out of range")
	}
	return n, nil
}

// MarshalJSON writes any value as it is; a json.RawMessage is copied.
func MarshalJSON(v any) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			_, _ = io.WriteString(w, "null")
			return
		}
		_, _ = w.Write(bytes.TrimRight(b.Bytes(), "\n"))
	})
}

// MaxDepth bounds the nesting of a JSON value.
const MaxDepth = 20

// UnmarshalJSON reads any value; numbers stay json.Number, texts are valid
// UTF-8 without NUL.
func UnmarshalJSON(v any) (any, error) {
	return v, checkJSON(v, 0)
}

func checkJSON(v any, depth int) error {
	if depth > MaxDepth {
		return bad("嵌套过深", "is nested too deeply")
	}
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) || bytes.ContainsRune([]byte(v), 0) {
			return bad("含有无效字符", "holds an invalid character")
		}
	case []any:
		for _, e := range v {
			if err := checkJSON(e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if err := checkJSON(k, depth+1); err != nil {
				return err
			}
			if err := checkJSON(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// MarshalIdempotencyKey is needed by the generator; no answer holds a key.
func MarshalIdempotencyKey(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalIdempotencyKey reads a key of 8 to 128 printable ASCII characters.
func UnmarshalIdempotencyKey(v any) (string, error) {
	s, ok := v.(string)
	if !ok || len(s) < 8 || len(s) > 128 {
		return "", fault.Input("", "幂等键须为 8 到 128 个字符", "an idempotency key has 8 to 128 characters")
	}
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return "", fault.Input("", "幂等键只能用可见的 ASCII 字符", "an idempotency key has printable ASCII characters only")
		}
	}
	return s, nil
}
