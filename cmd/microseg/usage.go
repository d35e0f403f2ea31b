package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// cpuSeconds is the CPU time of this process, user and system.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// ticksPerS is the unit of /proc/PID/stat on every Linux that Go runs on.
const ticksPerS = 100

// childCPU is the CPU time of another process; 0 where that cannot be known.
func childCPU(pid int) float64 {
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

// machineCPU is the CPU time that the whole machine has used, in seconds; 0
// where that cannot be known.
func machineCPU() (s float64) {
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

// peakRSS is the process's largest resident set in MB, rss the present one; 0
// where there is no /proc.
func peakRSS() float64 { return procMB(os.Getpid(), "VmHWM:") }
func rss() float64     { return procMB(os.Getpid(), "VmRSS:") }

func procMB(pid int, key string) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// sampleRSS notes the resident set now and then; the returned function ends it
// and gives the samples, with a last one.
func sampleRSS(ctx context.Context, every time.Duration) func() []float64 {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var out []float64
	go func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				mu.Lock()
				out = append(out, rss())
				mu.Unlock()
			}
		}
	}()
	return func() []float64 {
		cancel()
		mu.Lock()
		defer mu.Unlock()
		return append(out, rss())
	}
}

// startProfile writes a CPU profile to path until the returned function is called.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("making the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profiling: %w", err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// writeHeap writes what lives on the heap, as a profile.
func writeHeap(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making the profile: %w", err)
	}
	runtime.GC()
	err = pprof.WriteHeapProfile(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("profiling: %w", err)
	}
	return nil
}
