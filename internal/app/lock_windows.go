package app

import (
	"os"

	"golang.org/x/sys/windows"
)

// The locked byte lies far behind the text, so that another process can read
// whose the lock is.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{Offset: 1 << 20})
}
