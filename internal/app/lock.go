package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holdLock takes the data directory for one process: serve, demo, migrate and
// restore hold it, other commands open the database beside it. The operating
// system lets go of it when the process ends, however it ends.
func holdLock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		pid, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("the data directory %s is in use by another kelian (process %s): stop it first, or give this one another --data-dir",
			dir, strings.TrimSpace(string(pid)))
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return func() { _ = f.Close() }, nil
}
