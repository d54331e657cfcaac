package auth_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/auth"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func TestSignInByNameAndByNumber(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		p := d.user("zhouhang", "technical.information.member")
		for _, login := range []string{"zhouhang", " ZhouHang ", "Nzhouhang"} {
			_, actor, err := d.svc.SignIn(bg, login, right, auth.Device{}, dorm, "en")
			if err != nil || actor.Person != p || !actor.Holds("technical.information.member") || actor.Lang != "en" || actor.Address != "10.8.0.1" {
				t.Fatalf("%q: %+v %v", login, actor, err)
			}
		}
		want(t, d.try("", right, dorm), "BAD_USER_INPUT")
		want(t, d.try(strings.Repeat("x", 65), right, dorm), "BAD_USER_INPUT")
		want(t, d.try("zhouhang", "", dorm), "BAD_USER_INPUT")
		want(t, d.try("zhouhang", strings.Repeat("x", 129), dorm), "BAD_USER_INPUT")
		_, err := d.svc.AddUser(bg, auth.NewUser{Login: "other", Password: right, Person: org.NewPerson{Name: "x", Number: "zhouhang"}})
		want(t, err, "") // a number may be spelled like somebody's login: the login wins
		if _, actor, err := d.svc.SignIn(bg, "zhouhang", right, auth.Device{}, dorm, "zh"); err != nil || actor.Person != p {
			t.Fatal("the number won over the login", err)
		}
		_, err = d.svc.AddUser(bg, auth.NewUser{Login: "nzhouhang", Password: right, Person: org.NewPerson{Name: "x"}})
		want(t, err, "LOGIN_TAKEN") // a login like somebody's number
		_, err = d.svc.AddUser(bg, auth.NewUser{Login: "zhouhang", Password: right, Person: org.NewPerson{Name: "x"}})
		want(t, err, "LOGIN_TAKEN")
	})
}

// Who has no account is answered like who mistyped: the same words, the same
// hashes, the same trips to the database.
func TestUnknownUserAnswersLikeAWrongPassword(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("known")
		closed := d.user("closed")
		if _, err := db.Bun().Exec(`UPDATE account SET state = 'CLOSED' WHERE person_id = ?`, closed); err != nil {
			t.Fatal(err)
		}
		type answer struct {
			text   string
			hashes int64
			trips  int64
		}
		ask := func(login string) answer {
			h, n := d.svc.Hashes(), db.Trips()
			password := "not-the-password"
			if login == "closed" {
				password = right // which tells nothing either
			}
			err := d.try(login, password, dorm)
			return answer{err.Error(), d.svc.Hashes() - h, db.Trips() - n}
		}
		for range 6 { // also when they are locked
			if known, unknown, shut := ask("known"), ask("nobody"), ask("closed"); known != unknown || known != shut {
				t.Fatalf("known %+v, unknown %+v, closed %+v", known, unknown, shut)
			}
		}
		want(t, d.try("nobody", "not-the-password", dorm), "RATE_LIMITED")
	})
}

func TestAccountLocksLongerAndLonger(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		for range 4 {
			want(t, d.try("guchen", "wrong-wrong-wrong", abroad), "WRONG_SIGN_IN")
		}
		want(t, d.try("guchen", right, dorm), "") // and that forgets them
		for range 5 {
			want(t, d.try("guchen", "wrong-wrong-wrong", abroad), "WRONG_SIGN_IN")
		}
		for _, minutes := range []int{1, 2, 4, 8, 15, 15} {
			err := d.try("guchen", right, dorm)
			want(t, err, "RATE_LIMITED")
			lock := time.Duration(minutes) * time.Minute
			if got := retry(err); got > lock || got < lock-10*time.Second {
				t.Fatalf("locked for %v, want about %v", got, lock)
			}
			d.clock.Advance(lock)
			want(t, d.try("guchen", "wrong-wrong-wrong", netip.Addr{}), "WRONG_SIGN_IN")
		}
		d.clock.Advance(15*time.Minute - time.Microsecond)
		want(t, d.try("guchen", right, dorm), "RATE_LIMITED")
		d.clock.Advance(time.Microsecond)
		want(t, d.try("guchen", right, dorm), "") // never for ever
	})
}

// Guesses sent all at once are counted one after another: five get an answer.
func TestGuessesAtOnceDoNotPassTheLimit(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		var mu sync.Mutex
		answers := map[string]int{}
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				e, _ := fault.As(d.try("guchen", "wrong-wrong-wrong", dorm))
				mu.Lock()
				defer mu.Unlock()
				answers[e.Reason]++
			})
		}
		wg.Wait()
		if answers["WRONG_SIGN_IN"] != 5 || answers["TOO_MANY_FAILURES"] != 35 {
			t.Fatal(answers)
		}
	})
}

// A right guess that was let in before the account was locked is too late too.
func TestRightGuessAfterTheLockIsRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		elsewhere := netip.MustParseAddr("198.51.100.7")
		want(t, d.try("guchen", "wrong-wrong-wrong", elsewhere), "WRONG_SIGN_IN")
		for i := range 20 { // the address is beyond its limit, so its next guess but one pauses
			want(t, d.try(fmt.Sprint("victim", i), "wrong-wrong-wrong", abroad), "WRONG_SIGN_IN")
		}
		want(t, d.try("victim0", "wrong-wrong-wrong", abroad), "WRONG_SIGN_IN")
		d.meanwhile = func() { // four more fail at the account while it does
			for range 4 {
				want(t, d.try("guchen", "wrong-wrong-wrong", elsewhere), "WRONG_SIGN_IN")
			}
		}
		want(t, d.try("guchen", right, abroad), "TOO_MANY_FAILURES")
		if d.meanwhile != nil {
			t.Fatal("the guess did not pause")
		}
	})
}

func TestAnAddressBeyondItsLimitIsSlowed(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		fail := func(n int, from netip.Addr) {
			t.Helper()
			for i := range n {
				want(t, d.try(fmt.Sprintf("victim-%s-%d", from, i), "wrong-wrong-wrong", from), "WRONG_SIGN_IN")
			}
		}
		fail(20, abroad)
		if len(d.waits) != 0 {
			t.Fatal("slowed within the limit", d.waits)
		}
		want(t, d.try("guchen", right, abroad), "") // the first attempt at an account passes
		fail(3, abroad)                             // second guesses: the first of them comes to its turn at once
		if len(d.waits) != 2 || d.waits[0] != 2*time.Second || d.waits[1] != 2*time.Second {
			t.Fatal("second guesses beyond the limit waited", d.waits)
		}
		// An IPv6 subscriber's addresses count together, others' do not.
		mine, neighbour := netip.MustParseAddr("2001:db8:1:1::1"), netip.MustParseAddr("2001:db8:1:2::1")
		fail(20, mine)
		d.waits = nil
		for i, from := range []netip.Addr{neighbour, neighbour, netip.MustParseAddr("2001:db8:1:1::2"), netip.MustParseAddr("2001:db8:1:1::3")} {
			want(t, d.try(fmt.Sprintf("victim-%s-%d", mine, i), "wrong-wrong-wrong", from), "WRONG_SIGN_IN")
		}
		if len(d.waits) != 1 {
			t.Fatal(d.waits)
		}
		d.clock.Advance(15 * time.Minute)
		d.waits = nil
		fail(3, abroad)
		if len(d.waits) != 0 {
			t.Fatal("slowed after the window", d.waits)
		}
	})
}

// atOnce calls fn for 0 to n-1, as many at once as a server lets in.
func atOnce(n int, fn func(i int)) {
	queue := make(chan int)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range queue {
				fn(i)
			}
		})
	}
	for i := range n {
		queue <- i
	}
	close(queue)
	wg.Wait()
}

// Five hundred students behind one address sign in while somebody among them
// guesses at one password after another: they never wait, he does.
func TestACampusBehindOneAddress(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		first := d.user("student000")
		const students = 500
		if _, err := store.InTx(bg, db, store.Internal("test"), func(_ context.Context, tx *store.Tx) (int, error) {
			for i := 1; i < students; i++ {
				p := id.New()
				tx.QueueSQL(`INSERT INTO person (id, kind, lang, search, created_at) VALUES (?, 'OFFICER', 'zh', '', ?)`, p, testkit.Start)
				tx.QueueSQL(`INSERT INTO account (person_id, login, password, state, changed_at, created_at)
					SELECT ?, ?, password, state, changed_at, created_at FROM account WHERE person_id = ?`, p, fmt.Sprintf("student%03d", i), first)
			}
			return 0, nil
		}); err != nil {
			t.Fatal(err)
		}
		atOnce(300, func(i int) { // the attacker uses up the address's allowance
			if err := d.try(fmt.Sprintf("guess%03d", i), "wrong-wrong-wrong", dorm); !fault.IsRule(err, "WRONG_SIGN_IN") {
				t.Error(err)
			}
		})
		if len(d.waits) != 0 {
			t.Fatal("slowed within the limit")
		}
		done := make(chan struct{})
		go func() { // and goes on, over the accounts that he tried
			defer close(done)
			for i := range 20 {
				if err := d.try(fmt.Sprintf("guess%03d", i), "wrong-wrong-wrong", dorm); !fault.IsRule(err, "WRONG_SIGN_IN") && !fault.Is(err, fault.RateLimited) {
					t.Error(err)
				}
			}
		}()
		atOnce(students, func(i int) {
			if err := d.try(fmt.Sprintf("student%03d", i), right, dorm); err != nil {
				t.Errorf("student %d: %v", i, err)
			}
		})
		<-done
		if n := len(d.waits); n != 19 {
			t.Fatalf("%d attempts waited, want the attacker's 20 but the first", n)
		}
	})
}

func TestPasswordRules(t *testing.T) {
	for password, ok := range map[string]bool{
		right: true, "一二三四五六七八九十又又又": true, "MiXed case 42 words": true, auth.GeneratePassword(): true,
		"elevenchars": false, strings.Repeat("ab!9", 33): false, "password1234": false, "Password!!!!": false, "123456789012": false,
		"abcdefghijkl": false, "lkjihgfedcba": false, "qwertyuiopas": false, "abcabcabcabc": false, "aaaaaaaaaaaa": false,
		"2023010115x!zhouhang": false, "my-2023010115-pw": false, "13800138000138": false, "woaini520520": false, "P@ssw0rd2026": false,
		"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4": false,
	} {
		if err := auth.CheckPassword(password, "zhouhang", "2023010115"); (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
	}
}

func TestStoredPasswordFollowsTheParameters(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		p := d.user("guchen")
		stored := func() (s string) {
			if err := db.R.NewRaw(`SELECT password FROM account WHERE person_id = ?`, p).Scan(bg, &s); err != nil {
				t.Fatal(err)
			}
			return s
		}
		if !strings.HasPrefix(stored(), "$argon2id$v=19$m=64,t=1,p=1$") {
			t.Fatal(stored())
		}
		today := auth.New(db, d.clock, d.rules, auth.Options{}) // the default parameters
		if _, _, err := today.SignIn(bg, "guchen", right, auth.Device{}, dorm, "zh"); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(stored(), "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Fatal("not hashed again: " + stored())
		}
		kept := stored()
		if _, _, err := today.SignIn(bg, "guchen", right, auth.Device{}, dorm, "zh"); err != nil || stored() != kept {
			t.Fatal("hashed again without need", err)
		}
		want(t, d.try("guchen", "wrong-wrong-wrong", dorm), "WRONG_SIGN_IN")
	})
}

func TestTooManyInLineAreSentAway(t *testing.T) {
	db := testkit.SQLite(t)
	d := open(t, db)
	d.user("guchen")
	narrow := auth.New(db, d.clock, d.rules, auth.Options{Params: auth.Params{Memory: 16384, Time: 2, Threads: 1}, Parallel: 1, Queue: 2})
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 30 {
		wg.Go(func() {
			<-start
			_, _, err := narrow.SignIn(bg, fmt.Sprint("user", i), "wrong-wrong-wrong", auth.Device{}, dorm, "zh")
			e, _ := fault.As(err)
			mu.Lock()
			defer mu.Unlock()
			answers[e.Reason]++
		})
	}
	close(start)
	wg.Wait()
	if answers["SIGN_IN_BUSY"] == 0 || answers["WRONG_SIGN_IN"] < 3 || len(answers) != 2 {
		t.Fatal(answers)
	}
}
