//go:build !linux

package clickhouse

import "syscall"

// dieWithParent cannot be had here: a killed parent leaves the server behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
