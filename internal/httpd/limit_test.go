package httpd_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kelian/internal/httpd"
)

func from(addr string, h header) *http.Request {
	r := request("GET", "/", h)
	r.RemoteAddr = addr + ":1"
	return r
}

// burst sends n requests at once and counts the answers by status; took is
// how long the slowest was held back, on the bubble's clock.
func burst(h http.Handler, n int, r func() *http.Request) (byStatus map[int]int, took time.Duration) {
	began := time.Now()
	byStatus = map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			w := do(h, r())
			mu.Lock()
			byStatus[w.Code]++
			mu.Unlock()
		})
	}
	wg.Wait()
	return byStatus, time.Since(began)
}

func TestFloodIsSlowedThenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, httpd.Options{InFlight: 10000}, ok)
		outside := func() *http.Request { return from("203.0.113.9", nil) }
		got, took := burst(h, 600, outside)
		if got[200] != 600 || took != 0 {
			t.Fatalf("a minute's allowance: %v after %v", got, took)
		}
		got, took = burst(h, 30, outside)
		if got[200] != 30 || took != 3*time.Second {
			t.Fatalf("30 beyond it must be slowed to 10 a second: %v after %v", got, took)
		}
		got, _ = burst(h, 200, outside)
		if got[200] != 50 || got[429] != 150 {
			t.Fatalf("what would wait longer than 5 s is refused: %v", got)
		}
		for range 700 {
			go do(h, outside())
		}
		synctest.Wait()
		last := do(h, outside())
		if code, _ := codeOf(t, last.Body.Bytes()); last.Code != 429 || code != "RATE_LIMITED" || last.Header().Get("Retry-After") == "" {
			t.Fatalf("%d %s %v", last.Code, last.Body, last.Header())
		}
		if w := do(h, from("203.0.113.11", nil)); w.Code != 200 {
			t.Fatalf("another address suffers: %d", w.Code)
		}
		time.Sleep(2 * time.Minute)
		if got, took := burst(h, 600, outside); got[200] != 600 || took != 0 {
			t.Fatalf("the allowance does not come back: %v after %v", got, took)
		}
	})
}

func TestCampusAddressCarriesFiveHundredStudents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, httpd.Options{InFlight: 10000}, ok)
		if got, took := burst(h, 6000, func() *http.Request { return from("10.1.2.3", nil) }); got[200] != 6000 || took != 0 {
			t.Fatalf("500 students × 12 requests: %v after %v", got, took)
		}
	})
}

func TestAttackerBesideAccountsAtOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, httpd.Options{InFlight: 10000}, func(w http.ResponseWriter, r *http.Request) {
			if c, err := r.Cookie("kelian"); err == nil && strings.HasPrefix(c.Value, "good") {
				httpd.Vouch(r.Context())
			}
			ok(w, r)
		})
		student := func() *http.Request { return from("10.1.2.3", header{"Cookie": "kelian=good1"}) }
		do(h, student())
		attacker := func() *http.Request { return from("10.1.2.3", header{"Cookie": "kelian=made-up"}) }
		if got, _ := burst(h, 8000, attacker); got[429] == 0 {
			t.Fatalf("the attacker is not slowed: %v", got)
		}
		burst(h, 600, attacker)
		if got, took := burst(h, 100, student); got[200] != 100 || took != 0 {
			t.Fatalf("the student is slowed: %v after %v", got, took)
		}
		if got, took := burst(h, 700, student); got[429] == 0 || took == 0 {
			t.Fatalf("an account has an allowance too: %v after %v", got, took)
		}
	})
}

func TestOneSubscriberIsOneV6Prefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, httpd.Options{InFlight: 10000, Flood: httpd.FloodOptions{Outside: 60}}, ok)
		for n := range 60 {
			do(h, from(fmt.Sprintf("[2001:db8::%x]", n+1), nil))
		}
		if got, took := burst(h, 1, func() *http.Request { return from("[2001:db8::ffff]", nil) }); took == 0 {
			t.Fatalf("a /64 passes its limit by changing addresses: %v", got)
		}
		if _, took := burst(h, 1, func() *http.Request { return from("[2001:db8:0:1::1]", nil) }); took != 0 {
			t.Fatal("another /64 suffers")
		}
	})
}

func TestInFlightCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		h := serve(t, httpd.Options{}, func(w http.ResponseWriter, r *http.Request) { <-hold; ok(w, r) })
		var mu sync.Mutex
		status := map[int]int{}
		send := func(n int) {
			for range n {
				go func() {
					w := do(h, from("10.0.0.1", nil))
					mu.Lock()
					status[w.Code]++
					mu.Unlock()
				}()
			}
			synctest.Wait()
		}
		send(128)
		if len(status) != 0 {
			t.Fatalf("64 run and 64 wait: %v", status)
		}
		w := do(h, from("10.0.0.1", nil))
		if code, _ := codeOf(t, w.Body.Bytes()); w.Code != 503 || code != "UNAVAILABLE" || w.Header().Get("Retry-After") == "" {
			t.Fatalf("the 129th: %d %s", w.Code, w.Body)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if status[503] != 64 {
			t.Fatalf("the queue gives up after 2 s: %v", status)
		}
		send(1)
		close(hold)
		synctest.Wait()
		if status[200] != 65 {
			t.Fatalf("who waits gets the slot that becomes free: %v", status)
		}
	})
}

func TestStreamsHoldNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		h := serve(t, httpd.Options{InFlight: 1, Queue: 1}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				s := httpd.NewStream(w, r)
				defer s.Done()
				<-hold
			}
		})
		for range 5 {
			go do(h, from("10.0.0.1", nil))
		}
		synctest.Wait()
		if w := do(h, request("GET", "/page", nil)); w.Code != 200 {
			t.Fatalf("%d", w.Code)
		}
		close(hold)
	})
}

func listen(t *testing.T, opt httpd.Options, h http.HandlerFunc) (*httpd.Server, string) {
	t.Helper()
	opt.Log = silent()
	s, err := httpd.New(opt, h)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, ln.Addr().String()
}

func dial(t *testing.T, addr, send string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSlowClientsAreCut(t *testing.T) {
	short := 50 * time.Millisecond
	gaveUp := make(chan struct{})
	_, addr := listen(t, httpd.Options{ReadHeaderTimeout: short, ReadTimeout: short, IdleTimeout: short, WriteTimeout: short}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			chunk := make([]byte, 1<<20)
			for range 64 {
				if _, err := w.Write(chunk); err != nil {
					close(gaveUp)
					return
				}
			}
		}
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	})
	for name, send := range map[string]string{
		"half a header": "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"half a body":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
		"nothing more":  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		// The read returns only because the server closes.
		if _, err := io.ReadAll(dial(t, addr, send)); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", name, err)
		}
	}
	slow := dial(t, addr, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	if w, err := http.Get("http://" + addr + "/"); err != nil || w.StatusCode != 200 {
		t.Errorf("others suffer from a slow reader: %v", err)
	}
	<-gaveUp // nothing was read until now
	if n, _ := io.Copy(io.Discard, slow); n >= 64<<20 {
		t.Errorf("a reader that does not read got all %d bytes", n)
	}
}

func TestHugeHeaderIs431(t *testing.T) {
	_, addr := listen(t, httpd.Options{}, ok)
	c := dial(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("a", 21<<10)+"\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 431 {
		t.Fatalf("%v %v", res, err)
	}
}

func TestDrain(t *testing.T) {
	health := httpd.NewHealth(silent())
	started, finish, streaming := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s, addr := listen(t, httpd.Options{Health: health}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			close(started)
			<-finish
			ok(w, r)
		case "/stream":
			st := httpd.NewStream(w, r)
			defer st.Done()
			_ = http.NewResponseController(w).Flush()
			close(streaming)
			<-st.Draining()
			_, _ = io.WriteString(w, "bye")
		}
	})
	get := func(path string) chan string {
		out := make(chan string, 1)
		go func() {
			res, err := http.Get("http://" + addr + path)
			if err != nil {
				out <- err.Error()
				return
			}
			b, _ := io.ReadAll(res.Body)
			out <- string(b)
		}()
		return out
	}
	slow, stream := get("/slow"), get("/stream")
	<-started
	<-streaming
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if got := <-stream; got != "bye" {
		t.Errorf("stream ended with %q", got)
	}
	if w := do(s.Handler(), request("GET", "/readyz", nil)); w.Code != 503 {
		t.Errorf("readyz while draining: %d", w.Code)
	}
	close(finish)
	if got := <-slow; got != "ok" {
		t.Errorf("the running request was cut: %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + addr + "/"); err == nil {
		t.Error("still accepting")
	}
}

func TestStreamOutlivesTheRequestLimits(t *testing.T) {
	short := 60 * time.Millisecond
	_, addr := listen(t, httpd.Options{ReadTimeout: short, WriteTimeout: short}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s := httpd.NewStream(w, r)
		defer s.Done()
		rc := http.NewResponseController(w)
		tick := time.NewTicker(short)
		defer tick.Stop()
		for range 4 {
			select {
			case <-tick.C:
				_, _ = io.WriteString(w, ".")
				_ = rc.Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	res, err := http.Post("http://"+addr+"/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "...." {
		t.Fatalf("%q %v", b, err)
	}
}

func TestLongUploadIsAStreamToo(t *testing.T) {
	short := 40 * time.Millisecond
	_, addr := listen(t, httpd.Options{ReadTimeout: short, WriteTimeout: short}, func(w http.ResponseWriter, r *http.Request) {
		s := httpd.NewStream(w, r)
		defer s.Done()
		late := time.NewTimer(2 * short)
		<-late.C // the limits of an ordinary request are over
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d %v", n, err)
	})
	res, err := http.Post("http://"+addr+"/", "text/plain", strings.NewReader(strings.Repeat("x", 8<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "8388608 <nil>" {
		t.Fatalf("%s", b)
	}
}
