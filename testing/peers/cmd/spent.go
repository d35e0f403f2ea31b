package main

import (
	"time"

	"github.com/microseg/microseg/measure/usage"
)

// spent is what has been used until a time, in seconds of CPU.
type spent struct {
	at      time.Time
	machine float64 // by anybody
	ours    float64 // by this process, its children that have ended, and others that it names
}

// use asks for the usage; pids are children that still run.
func use(pids ...int) spent {
	u := spent{at: time.Now(), machine: usage.Machine(), ours: usage.CPU() + usage.EndedCPU()}
	for _, pid := range pids {
		u.ours += usage.CPUOf(pid)
	}
	return u
}

// others is how many cores the machine's other work has had since.
func (u spent) others(now spent) float64 {
	return max(0, (now.machine-u.machine-(now.ours-u.ours))/now.at.Sub(u.at).Seconds())
}
