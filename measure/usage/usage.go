// Package usage says what processes and the machine use: CPU and memory. It reads /proc; what
// cannot be known, where there is none or the process has ended, is 0.
package usage

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerS is the unit of /proc/PID/stat on every Linux that Go runs on.
const ticksPerS = 100

// CPU is what this process has used, user and system, in seconds.
func CPU() float64 { return rusage(syscall.RUSAGE_SELF) }

// EndedCPU is what this process's children have used that have ended, in seconds.
func EndedCPU() float64 { return rusage(syscall.RUSAGE_CHILDREN) }

func rusage(who int) float64 {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// CPUOf is what another process has used, in seconds; pid 0: none.
func CPUOf(pid int) float64 {
	if pid == 0 {
		return 0
	}
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	// The command's name, in brackets, may hold spaces.
	_, rest, ok := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / ticksPerS
}

// Machine is what the whole machine has used, in seconds of CPU.
func Machine() (s float64) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	// user, nice, system, idle, iowait, irq, softirq, steal
	for i, f := range strings.Fields(line) {
		if i >= 1 && i <= 8 && i != 4 && i != 5 {
			ticks, _ := strconv.ParseFloat(f, 64)
			s += ticks / ticksPerS
		}
	}
	return s
}

// PeakMB is the largest resident set that a process has had, MB the present one.
func PeakMB(pid int) float64 { return memory(pid, "VmHWM:") }
func MB(pid int) float64     { return memory(pid, "VmRSS:") }

func memory(pid int, key string) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
