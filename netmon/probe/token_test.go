package probe_test

import (
	"encoding/binary"
	"testing"

	"kelian/netmon/probe"
)

// The vector is that of the reference implementation for the key 00 01 … 0f
// and the message 00 01 … 0f.
func TestSipHashVector(t *testing.T) {
	var b [16]byte
	for i := range b {
		b[i] = byte(i)
	}
	lo, hi := binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	want := binary.LittleEndian.Uint64([]byte{0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f})
	if got := probe.SipHash16(lo, hi, lo, hi); got != want {
		t.Fatalf("siphash = %x, want %x", got, want)
	}
}
