//go:build !linux

package kafka

import "syscall"

// dieWithParent cannot be had here: a killed parent leaves the broker behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
