//go:build fault && linux

package faulttest_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kelian/internal/testkit"
)

// limits are the time limits that a run is under.
type limits struct {
	timing  string        // KELIAN_FAULT_TIMING; "" = as shipped
	freeze  time.Duration // how long Redis stands still
	recover time.Duration // within which work resumes
	wait    time.Duration // after which a step of a test has failed
}

var (
	shipped = flag.Bool("shipped", false, "with the time limits of a shipped binary (make test-long)")
	// The short run prints how long work took to resume and gives up after
	// three minutes: it shares its machine with eight scenarios. The 60 s are
	// judged under the shipped limits.
	under  = limits{`{"visibility":"5s","handler":"3s","interval":"2s"}`, 8 * time.Second, 3 * time.Minute, 5 * time.Minute}
	binary string // kelian with the tag fault
	temp   string // everything that the tests write
	sum    = &figures{name: "all"}
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *shipped {
		under = limits{"", 45 * time.Second, 60 * time.Second, 5 * time.Minute}
	}
	// The scenarios wait most of their time: more of them at once than there
	// are processors.
	wide := true
	flag.Visit(func(f *flag.Flag) { wide = wide && f.Name != "test.parallel" })
	if wide {
		_ = flag.Set("test.parallel", "8")
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if temp, err = os.MkdirTemp("", "kelian-fault-*"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "fault tests:", err)
		return 1
	}
	defer shared.stop()
	defer seeded.drop()
	code := m.Run()
	fmt.Println(sum)
	return code
}

// prepare builds the binary and seeds the federation once; every scenario gets
// a copy.
func prepare() error {
	if testkit.PostgresURL() == "" {
		return errors.New("KELIAN_TEST_DATABASE_URL is not set: run them by scripts/with-services.sh")
	}
	binary = filepath.Join(temp, "kelian")
	build := exec.Command("go", "build", "-tags", "fault", "-o", binary, "kelian/cmd/kelian")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if err := seed(); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	var err error
	shared, err = startRedis(filepath.Join(temp, "redis"))
	return err
}
