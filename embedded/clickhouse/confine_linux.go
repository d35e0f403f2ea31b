package clickhouse

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	rights "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// harmless is what the server reads of the machine: how many processors there are,
// how much memory, the time zone, and what the kernel says of the server itself. Of
// processes it is this one alone: others' environments hold secrets.
var harmless = struct{ dirs, files []string }{
	dirs: []string{"/proc/self", "/sys/fs/cgroup", "/sys/devices/system", "/usr/share/zoneinfo"},
	files: []string{"/proc/cpuinfo", "/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/mounts",
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/max_map_count", "/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max",
		"/proc/sys/fs/file-max", "/proc/sys/kernel/task_delayacct",
		"/etc/localtime", "/etc/timezone", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"},
}

// confined is everything that the kernel can forbid of files; connecting to any port;
// and signals to others. Where the server listens is its configuration's.
var confined = landlock.Config{
	HandledAccessFS:  all,
	HandledAccessNet: rights.AccessNetConnectTCP | rights.AccessNetConnectSendUDP,
	Scoped:           rights.ScopeAbstractUnixSocket | rights.ScopeSignal,
}.BestEffort()

// What may be done with files: all, what the server does with its own (it runs no
// programs), and reading.
const (
	all  landlock.AccessFSSet = rights.AccessFSIoctlDev<<1 - 1
	own                       = all &^ (rights.AccessFSExecute | rights.AccessFSIoctlDev)
	read                      = rights.AccessFSReadFile | rights.AccessFSReadDir
	file                      = rights.AccessFSReadFile
)

// confine takes all files but those in dir, and the network but for its own ports,
// from this process and all threads of it, for good (Landlock). The embedded library
// takes itself for a program that its user runs at a terminal: whoever may ask it
// reads any file with the scalar function file() (see nowhere), by INSERT … FROM
// INFILE or as the template of a format, and reaches any address with a disk of a
// table. No grant and no setting forbids the first two.
func confine(dir string) error {
	err := confined.Restrict(
		landlock.PathAccess(own, dir),
		landlock.PathAccess(read, harmless.dirs...).IgnoreIfMissing(),
		landlock.PathAccess(file, harmless.files...).IgnoreIfMissing(),
		landlock.PathAccess(file|rights.AccessFSWriteFile, "/dev/null").IgnoreIfMissing(),
	)
	if err != nil {
		return fmt.Errorf("confining the embedded ClickHouse to %s: %w", dir, err)
	}
	return nil
}

// exposed says what this kernel cannot forbid the embedded server.
func exposed() string {
	switch abi, err := rights.LandlockGetABIVersion(); {
	case err != nil || abi < 1:
		return "this kernel has no Landlock (Linux 5.13, turned on): whoever has a password of the embedded ClickHouse reads every file that this user may read, and reaches the network"
	case abi < 4:
		return "this kernel's Landlock knows no network (Linux 6.7 does): who has the password `microseg` uses with the embedded ClickHouse reaches the network from this machine"
	}
	return ""
}
