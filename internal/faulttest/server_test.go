//go:build fault && linux

package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// given are the ports that a scenario has, also while its process is down.
var given sync.Map

// freeAddress is one on which nobody listens now and that no other scenario
// has, below the ports that the system gives out by itself.
func freeAddress() string {
	for {
		port := 20000 + rand.IntN(12000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
}

// poll waits until ok, at most limit.
func poll(what string, limit time.Duration, ok func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if ok() {
			return nil
		}
	}
	return fmt.Errorf("it did not happen within %s: %s", limit, what)
}

// orphan makes the process die with this one.
var orphan = syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

// redisServer is a Redis of the tests' own, which keeps nothing on disk.
type redisServer struct {
	dir, addr string
	cmd       *exec.Cmd
}

// shared serves the scenarios in which Redis is well: each has a numbered
// database of it.
var (
	shared *redisServer
	next   atomic.Int64
)

// startRedis starts a server in the directory; nil without an error cannot be.
func startRedis(dir string) (*redisServer, error) {
	r := &redisServer{dir: dir, addr: freeAddress()}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return r, r.start()
}

func (r *redisServer) start() error {
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "512", "--dir", r.dir)
	r.cmd.SysProcAttr = &orphan
	if err := r.cmd.Start(); err != nil {
		return err
	}
	return poll("Redis answers", 10*time.Second, func() bool {
		return r.do(func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() }) == nil
	})
}

// url names a database that no other scenario uses.
func (r *redisServer) url() string { return fmt.Sprintf("redis://%s/%d", r.addr, next.Add(1)%512) }

func (r *redisServer) do(f func(context.Context, *redis.Client) error) error {
	c := redis.NewClient(&redis.Options{Addr: r.addr, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return f(ctx, c)
}

// empty takes everything out of it.
func (r *redisServer) empty() error {
	return r.do(func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
}

func (r *redisServer) kill() error {
	err := r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	return err
}

func (r *redisServer) signal(s syscall.Signal) error { return r.cmd.Process.Signal(s) }

func (r *redisServer) stop() {
	if r != nil && r.cmd != nil && r.cmd.Process != nil {
		_ = r.kill()
	}
}

// cluster is a PostgreSQL server of a test's own.
type cluster struct {
	bin, dir, addr string
	as             *syscall.Credential // PostgreSQL refuses to run as root
}

func pgBin() (string, error) {
	if d := os.Getenv("KELIAN_TEST_PG_BIN"); d != "" {
		return d, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL server is installed (KELIAN_TEST_PG_BIN)")
	}
	return filepath.Dir(slices.Max(found)), nil
}

func startCluster() (*cluster, error) {
	bin, err := pgBin()
	if err != nil {
		return nil, err
	}
	// Its own directory must be reachable by another user: not below temp.
	dir, err := os.MkdirTemp("", "kelian-fault-pg-*")
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, dir: dir, addr: freeAddress()}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	if err := c.run("initdb", "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"); err != nil {
		c.stop()
		return nil, err
	}
	if err := c.control("start"); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	log, err := os.OpenFile(filepath.Join(c.dir, "commands.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log // a pipe would stay open in the server
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, said)
	}
	return nil
}

func (c *cluster) control(what string, more ...string) error {
	_, port, _ := net.SplitHostPort(c.addr)
	args := append([]string{"-D", c.dir + "/data", "-l", c.dir + "/log", "-w", "-t", "60",
		"-o", "-p " + port + " -k " + c.dir + " -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=on"}, more...)
	return c.run("pg_ctl", append(args, what)...)
}

// crash ends every backend at once, as a lost machine would, and starts again.
func (c *cluster) crash() error { return c.control("restart", "-m", "immediate") }

func (c *cluster) stop() {
	_ = c.run("pg_ctl", "-D", c.dir+"/data", "-m", "immediate", "-w", "stop")
	_ = os.RemoveAll(c.dir)
}

func (c *cluster) url(name string) string {
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", c.addr, name)
}
