package clickhouse

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Environment variables that Find honours.
const (
	// DSNEnv names a running ClickHouse; nothing is started then.
	DSNEnv = "MICROSEG_CLICKHOUSE_DSN"
	// LibEnv is the path of a libchdb.so to use instead of the cached one.
	LibEnv = "MICROSEG_CHDB_LIB"

	childEnv = "MICROSEG_CLICKHOUSE_CHILD"
)

// Found says where a ClickHouse comes from; exactly one field is set.
type Found struct {
	DSN    string // a running server
	Binary string // the `clickhouse` (or `clickhouse-server`) executable
	Lib    string // libchdb.so, run as a child of this binary
}

// MissingError says that there is no ClickHouse and what to do about it.
type MissingError struct{ CacheDir string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("finding a ClickHouse: none in $%s, on the PATH, in $%s or under %s; "+
		"`./run.sh` installs the embedded one, as does `npm ci` with embedded/clickhouse/npm copied to that folder",
		DSNEnv, LibEnv, e.CacheDir)
}

// Find looks for a ClickHouse: a DSN in the environment, a library named by
// LibEnv, `clickhouse` or `clickhouse-server` on the PATH, and at last the
// library that run.sh has put under cacheDir. The error is a *MissingError.
func Find(cacheDir string) (Found, error) {
	if dsn := os.Getenv(DSNEnv); dsn != "" {
		return Found{DSN: dsn}, nil
	}
	if lib := os.Getenv(LibEnv); lib != "" {
		if _, err := os.Stat(lib); err != nil {
			return Found{}, fmt.Errorf("using $%s: %w", LibEnv, err)
		}
		return Found{Lib: lib}, nil
	}
	for _, name := range []string{"clickhouse", "clickhouse-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return Found{Binary: path}, nil
		}
	}
	lib := libPath(cacheDir)
	if _, err := os.Stat(lib); err != nil {
		return Found{}, &MissingError{CacheDir: cacheDir}
	}
	return Found{Lib: lib}, nil
}

func libPath(cacheDir string) string {
	return filepath.Join(cacheDir, "node_modules", "@chdb", "lib-linux-x64-gnu", "libchdb.so")
}
