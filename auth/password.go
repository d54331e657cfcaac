package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/internal/id"

	"golang.org/x/crypto/argon2"
)

// Limits of a password.
const (
	PasswordMin = 12  // characters
	PasswordMax = 128 // bytes
)

// Params are argon2id's cost: Memory in KiB, Time in passes, Threads.
type Params struct {
	Memory  uint32
	Time    uint32
	Threads uint8
}

// DefaultParams are the least that OWASP recommends (Password Storage Cheat
// Sheet, argon2id m=19 MiB t=2 p=1): about 24 ms on one core.
var DefaultParams = Params{Memory: 19456, Time: 2, Threads: 1}

// hasher makes and checks PHC strings. Only so many run at once, for each
// takes the memory of its parameters; the others wait their turn.
type hasher struct {
	params Params
	slots  chan struct{}
	queue  int64
	wait   time.Duration
	inLine atomic.Int64
	runs   atomic.Int64
	dummy  string // a hash of nothing, checked where there is no account
}

func newHasher(p Params, parallel, queue int, wait time.Duration) *hasher {
	h := &hasher{params: p, slots: make(chan struct{}, parallel), queue: int64(queue), wait: wait}
	h.dummy = h.phc([]byte(id.Secret(20)))
	return h
}

// enter takes a slot, or says that too many wait already.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-h.slots }
	select {
	case h.slots <- struct{}{}:
		return leave, nil
	default:
	}
	busy := &fault.Error{Code: fault.RateLimited, Reason: "SIGN_IN_BUSY", Zh: "登录的人太多，请过几秒再试", En: "too many people are signing in; try again in a few seconds", Detail: Retry{After: 3 * time.Second}}
	if h.inLine.Add(1) > h.queue {
		h.inLine.Add(-1)
		return nil, busy
	}
	defer h.inLine.Add(-1)
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, busy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash makes the PHC string of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return h.phc([]byte(password)), nil
}

func (h *hasher) phc(password []byte) string {
	h.runs.Add(1)
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	key := argon2.IDKey(password, salt, h.params.Time, h.params.Memory, h.params.Threads, 32)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.Memory, h.params.Time, h.params.Threads,
		enc.EncodeToString(salt), enc.EncodeToString(key))
}

// verify says whether the password is the hash's, and whether the hash was made
// with other parameters than today's. An empty hash takes as long as any.
func (h *hasher) verify(ctx context.Context, phc, password string) (ok, stale bool, err error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	known := phc != ""
	if !known {
		phc = h.dummy
	}
	p, salt, want, err := parsePHC(phc)
	if err != nil {
		return false, false, err
	}
	h.runs.Add(1)
	got := argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && known, p != h.params || len(want) != 32, nil
}

// parsePHC reads $argon2id$v=19$m=…,t=…,p=…$salt$key.
func parsePHC(s string) (p Params, salt, key []byte, err error) {
	bad := fmt.Errorf("auth: a stored password is not an argon2id string")
	parts := strings.Split(s, "$")
	var version int
	if len(parts) != 6 || parts[1] != "argon2id" {
		return p, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Time, &p.Threads); err != nil || p.Time < 1 || p.Threads < 1 || p.Memory > 1<<21 {
		return p, nil, nil, bad
	}
	if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(salt) < 8 {
		return p, nil, nil, bad
	}
	if key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(key) < 16 {
		return p, nil, nil, bad
	}
	return p, salt, key, nil
}

// common are words around which people build passwords, one a line.
//
//go:embed common.txt
var common string

var commonWords = func() map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(common) {
		out[w] = true
	}
	return out
}()

// CheckPassword refuses a password that is too short, too long, easily guessed
// or made of one of the given names (the login, a number). There are no rules
// about digits or capitals: length is what counts.
func CheckPassword(password string, names ...string) error {
	if !utf8.ValidString(password) || utf8.RuneCountInString(password) < PasswordMin || len(password) > PasswordMax {
		return fault.Input("password", "密码至少 12 个字符，最多 128 字节；可以用几个不相干的词连起来", "a password has at least 12 characters and at most 128 bytes; a few unrelated words make a good one")
	}
	low := strings.ToLower(password)
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSpace(n)); utf8.RuneCountInString(n) >= 3 && strings.Contains(low, n) {
			return fault.Input("password", "密码里不能有登录名或学号", "the password must not contain the sign-in name or number")
		}
	}
	if guessable(low) {
		return fault.Input("password", "这个密码太容易猜到，请换一个", "this password is easily guessed; choose another")
	}
	return nil
}

// guessable finds few different characters, runs along the keyboard or the
// alphabet, a short piece repeated, and a common word with something around it.
func guessable(low string) bool {
	seen := map[rune]bool{}
	for _, r := range low {
		seen[r] = true
	}
	if len(seen) < 5 {
		return true
	}
	r := []rune(low)
	for n := 1; n <= len(r)/2; n++ {
		if repeats(r, n) {
			return true
		}
	}
	for _, run := range []string{"abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik", "qazwsxedcrfvtgbyhnujm"} {
		if strings.Contains(run, low) || strings.Contains(run, reverse(low)) {
			return true
		}
	}
	core := strings.TrimFunc(low, func(r rune) bool { return !unicode.IsLetter(r) })
	return commonWords[core] || commonWords[low] || core == "" && onlyDigits(low)
}

// repeats says whether r is its first n characters over and over.
func repeats(r []rune, n int) bool {
	for i := n; i < len(r); i++ {
		if r[i] != r[i-n] {
			return false
		}
	}
	return true
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// onlyDigits finds a phone number, a birthday twice, a counter.
func onlyDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsDigit(r) }) < 0 && len(s) < 20
}

// GeneratePassword makes a password of 100 random bits in five groups, for the
// demo and for accounts made on the command line.
func GeneratePassword() string {
	s := id.Secret(13)[:20]
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:]
}
