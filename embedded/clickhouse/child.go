//go:build linux

package clickhouse

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// serve is the query whose run is the server's life: it opens the listeners and
// sleeps, a second a row, for about 30 years.
const serve = "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; " +
	"SELECT sleepEachRow(1) FROM numbers(1000000000) SETTINGS max_block_size=1, function_sleep_max_microseconds_per_block=0 FORMAT Null"

// HandleChild must be the first thing in the main function (or TestMain) of
// every binary that calls Start: where Start has started this process as the
// embedded server it runs the server and exits; otherwise it does nothing.
func HandleChild() {
	if os.Getenv(childEnv) == "" {
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "the embedded ClickHouse takes a library and a configuration file")
		os.Exit(2)
	}
	if err := Main(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Main is the embedded server: it loads libchdb.so and serves what the
// configuration file (see writeConfig) says until SIGTERM. The library brings
// signal handlers, threads and an allocator of its own, so that nothing else
// may run in this process. What that can reach is the configuration's folder.
func Main(lib, config string) error {
	// chdb takes the thread that calls it for its main thread.
	runtime.LockOSThread()
	handle, err := purego.Dlopen(lib, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("loading %s: %w", lib, err)
	}
	if err := confine(filepath.Dir(config)); err != nil {
		return err
	}
	var cmdline func(argc int32, argv **byte) uintptr
	var resultError func(uintptr) string
	purego.RegisterLibFunc(&cmdline, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")
	// Interactive is what keeps it alive where a connection fails (see terminal).
	argv := cStrings("clickhouse", "--config-file", config, "--interactive", "--disable_suggestion", "--progress", "off", "--progress-table", "off", "--query", serve)
	res := cmdline(int32(len(argv)-1), &argv[0])
	runtime.KeepAlive(argv)
	if msg := resultError(res); msg != "" {
		return fmt.Errorf("running the embedded ClickHouse: %s", msg)
	}
	return nil
}

// cStrings is a NULL-terminated argv.
func cStrings(ss ...string) []*byte {
	out := make([]*byte, 0, len(ss)+1)
	for _, s := range ss {
		out = append(out, unsafe.SliceData(append([]byte(s), 0)))
	}
	return append(out, nil)
}
