package place

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Result is what one burst did.
type Result struct {
	N        int
	Took     time.Duration
	P50, P99 time.Duration
	CPU      time.Duration // of this process, with its clients; 0 = not measured
	Err      error
}

// PerSecond is the rate.
func (r Result) PerSecond() float64 { return float64(r.N) / max(r.Took.Seconds(), 1e-9) }

// Run lets clients call do, each the next as soon as the last one is answered,
// for d or until do says that nothing is left (false).
func Run(clients int, d time.Duration, do func(client int) (bool, error)) Result {
	var wg sync.WaitGroup
	times, errs := make([][]time.Duration, clients), make([]error, clients)
	began, cpu := time.Now(), CPU()
	for k := range clients {
		wg.Go(func() {
			for time.Since(began) < d {
				t := time.Now()
				more, err := do(k)
				if err != nil {
					errs[k] = err
				}
				if !more || err != nil {
					return
				}
				times[k] = append(times[k], time.Since(t))
			}
		})
	}
	wg.Wait()
	r := Result{Took: time.Since(began), CPU: CPU() - cpu}
	all := slices.Concat(times...)
	slices.Sort(all)
	if r.N = len(all); r.N > 0 {
		r.P50, r.P99 = all[r.N/2], all[min(r.N-1, r.N*99/100)]
	}
	for _, err := range errs {
		if err != nil {
			r.Err = err
		}
	}
	return r
}

// CPU is the processor time of this process so far.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Load is the load average of the last minute, to print beside figures.
func Load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// Verdict says whether a goal was met: the measured ratio against the least
// that is asked.
func Verdict(ratio, least float64) string {
	word := "met"
	if ratio < least {
		word = "missed"
	}
	return fmt.Sprintf("%.2f (goal ≥ %.2f: %s)", ratio, least, word)
}
