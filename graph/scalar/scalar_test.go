package scalar_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"kelian/graph/scalar"
	"kelian/internal/fault"
)

func refused(t *testing.T, name string, v any, err error) {
	t.Helper()
	if !fault.Is(err, fault.BadUserInput) {
		t.Errorf("%s(%#v): %v", name, v, err)
	}
}

func TestWhatIsNotTheScalarIsRefused(t *testing.T) {
	for _, v := range []any{int64(1 << 31), int64(-1<<31 - 1), json.Number("1.5"), json.Number("1e3"), json.Number("2147483648"),
		json.Number(strings.Repeat("9", 31)), "1", 1.0, true, nil, []any{1}} {
		_, err := scalar.UnmarshalInt(v)
		refused(t, "Int", v, err)
	}
	for _, v := range []any{"1", json.Number("1e400"), math.Inf(1), math.NaN(), true, nil} {
		_, err := scalar.UnmarshalFloat(v)
		refused(t, "Float", v, err)
	}
	for _, v := range []any{1, json.Number("1"), true, nil, "a\x00b", "a\xffb", map[string]any{}} {
		_, err := scalar.UnmarshalString(v)
		refused(t, "String", v, err)
	}
	for _, v := range []any{"true", 1, nil} {
		_, err := scalar.UnmarshalBoolean(v)
		refused(t, "Boolean", v, err)
	}
	for _, v := range []any{"", 7, json.Number("7"), strings.Repeat("a", scalar.MaxID+1), "a\x00"} {
		_, err := scalar.UnmarshalID(v)
		refused(t, "ID", v, err)
	}
}

func TestWhatIsTheScalarPasses(t *testing.T) {
	for v, want := range map[any]int{json.Number("2147483647"): math.MaxInt32, json.Number("-2147483648"): math.MinInt32, int64(0): 0, 5: 5} {
		if n, err := scalar.UnmarshalInt(v); err != nil || n != want {
			t.Errorf("%v: %d %v", v, n, err)
		}
	}
	for _, s := range []string{"", "欧阳·买买提", "😀", "e\u0301", "\u202eabc", "line\nbreak"} {
		if got, err := scalar.UnmarshalString(s); err != nil || got != s {
			t.Errorf("%q: %q %v", s, got, err)
		}
	}
	if f, err := scalar.UnmarshalFloat(json.Number("1e3")); err != nil || f != 1000 {
		t.Error(f, err)
	}
}
