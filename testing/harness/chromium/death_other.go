//go:build !linux

package chromium

import "syscall"

// dieWithParent cannot be had here: a killed parent leaves the browser behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
