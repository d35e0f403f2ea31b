//go:build unix

package httpserver

import "syscall"

// fileLimit is how many files the process may have; Go raises it to what it may be.
func fileLimit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return usualFiles
	}
	return int(min(uint64(l.Cur), 1<<30)) //nolint:unconvert // an int64 on some systems
}
