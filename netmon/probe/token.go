package probe

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// tokenKey is the secret of one Sweeper, made anew at each start.
type tokenKey struct{ k0, k1 uint64 }

func newTokenKey() tokenKey {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return tokenKey{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// token is what an answer must carry to count: nobody who has not seen the
// request can make it, and none of an earlier round (epoch), an earlier sweep
// of the same epoch (run) or another target (index) fits.
func (k tokenKey) token(epoch uint64, run, index uint32) uint64 {
	return siphash16(k.k0, k.k1, epoch, uint64(run)<<32|uint64(index))
}

// siphash16 is SipHash-2-4 of a 16-byte message given as two little-endian
// words (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF",
// 2012, §2).
func siphash16(k0, k1, m0, m1 uint64) uint64 {
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	for _, m := range [...]uint64{m0, m1, 16 << 56} {
		v[3] ^= m
		sipRound(&v)
		sipRound(&v)
		v[0] ^= m
	}
	v[2] ^= 0xff
	for range 4 {
		sipRound(&v)
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipRound(v *[4]uint64) {
	v[0] += v[1]
	v[2] += v[3]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[1]
	v[0] += v[3]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] = bits.RotateLeft64(v[2], 32)
}
