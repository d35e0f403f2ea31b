//go:build !linux

package child

import "syscall"

// dieWithParent cannot be had here: a killed parent leaves the child behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
