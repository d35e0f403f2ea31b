package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// peakRSS is the largest resident set of a process so far, in MB; 0 where that cannot be known.
func peakRSS(pid int) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status") // empty when it has ended
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// cpuSeconds is what a process has used; 0 where that cannot be known. The unit of
// /proc/PID/stat is 1/100 s on every Linux that Go runs on.
func cpuSeconds(pid int) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, ok := strings.Cut(string(b), ") ") // the command's name may hold spaces
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// usage is what has been used until a time, in seconds of CPU.
type usage struct {
	at      time.Time
	machine float64 // by anybody
	ours    float64 // by this process, its children that have ended, and others that it names
}

// use asks for the usage; pids are children that still run.
func use(pids ...int) usage {
	u := usage{at: time.Now(), machine: machineCPU()}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			u.ours += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		}
	}
	for _, pid := range pids {
		u.ours += cpuSeconds(pid)
	}
	return u
}

// others is how many cores the machine's other work has had since.
func (u usage) others(now usage) float64 {
	return max(0, (now.machine-u.machine-(now.ours-u.ours))/now.at.Sub(u.at).Seconds())
}

// machineCPU is what the whole machine has used; 0 where that cannot be known.
func machineCPU() (s float64) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	// user, nice, system, idle, iowait, irq, softirq, steal
	for i, f := range strings.Fields(line) {
		if n, err := strconv.ParseFloat(f, 64); err == nil && i != 4 && i != 5 && i < 9 {
			s += n
		}
	}
	return s / 100
}
