package id_test

import (
	"testing"

	"kelian/internal/id"

	"pgregory.net/rapid"
)

func TestTypeIDRoundTripKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b id.ID
		copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a"))
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))
		got, err := id.Parse("req", a.TypeID("req"))
		if err != nil || got != a {
			t.Fatalf("%v came back as %v, %v", a, got, err)
		}
		if (a.String() < b.String()) != (a.TypeID("x") < b.TypeID("x")) {
			t.Fatalf("order of %v and %v differs outside", a, b)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	good := id.New().TypeID("req")
	for _, s := range []string{"", "req_", "req", good + "0", good[:len(good)-1], "req_" + "z" + good[5:], "tsk" + good[3:], "req_%" + good[5:]} {
		if _, err := id.Parse("req", s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// The example of the TypeID specification.
func TestTypeIDExample(t *testing.T) {
	var u id.ID
	if err := u.UnmarshalText([]byte("01890a5d-ac96-774b-bcce-b302099a8057")); err != nil {
		t.Fatal(err)
	}
	if got := u.TypeID("prefix"); got != "prefix_01h455vb4pex5vsknk084sn02q" {
		t.Fatalf("got %s", got)
	}
}
