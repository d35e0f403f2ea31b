package peers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/microseg/microseg/embedded/downloads"
	"github.com/microseg/microseg/testing/harness/child"
	"github.com/microseg/microseg/testing/harness/jvm"
)

//go:embed flink/pom.xml
var pom []byte

//go:embed flink/jars.sha256
var sums string

//go:embed flink/peers/*.java
var sources embed.FS

var jars = jvm.Jars{Name: "Apache Flink", Size: "about 85 MB", POM: pom, Sums: sums}

// Flink is the Flink job, ready to run.
type Flink struct {
	java      string
	classPath string
}

// PrepareFlink fetches Flink's jars and compiles the job, where that is not done yet.
// What the tools say goes to log.
func PrepareFlink(ctx context.Context, log io.Writer) (*Flink, error) {
	cache, err := downloads.Dir()
	if err != nil {
		return nil, err
	}
	java, err := jvm.Find(ctx, cache, log)
	if err != nil {
		return nil, fmt.Errorf("preparing Apache Flink: %w", err)
	}
	dir := filepath.Join(cache, "flink")
	if err := jars.Fetch(ctx, dir, log); err != nil {
		return nil, err
	}
	f := &Flink{java: java, classPath: jars.ClassPath(filepath.Join(dir, "libs"))}
	classes, err := f.compile(ctx, dir)
	f.classPath = classes + string(os.PathListSeparator) + f.classPath
	return f, err
}

// compile compiles the job with Eclipse's compiler, which needs no JDK. The folder's name
// is of what it is made from, so another version of the job finds no classes of this one.
func (f *Flink) compile(ctx context.Context, dir string) (classes string, err error) {
	names, err := fs.Glob(sources, "flink/peers/*.java")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range names {
		text, err := sources.ReadFile(name)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	h.Write([]byte(sums))
	unlock, err := downloads.Lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	classes = filepath.Join(dir, "classes-"+hex.EncodeToString(h.Sum(nil))[:16])
	if _, err := os.Stat(classes); err == nil {
		return classes, nil
	}
	work, err := os.MkdirTemp(dir, "compiling-")
	if err != nil {
		return "", fmt.Errorf("compiling the Flink job: %w", err)
	}
	defer os.RemoveAll(work)
	args := []string{"-cp", f.classPath, "org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-nowarn", "-proc:none", "-cp", f.classPath, "-d", filepath.Join(work, "out")}
	for _, name := range names {
		text, err := sources.ReadFile(name)
		if err != nil {
			return "", err
		}
		file := filepath.Join(work, path.Base(name))
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return "", fmt.Errorf("compiling the Flink job: %w", err)
		}
		args = append(args, file)
	}
	if out, err := exec.CommandContext(ctx, f.java, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the Flink job: %w\n%s", err, jvm.Tail(out))
	}
	if err := os.Rename(filepath.Join(work, "out"), classes); err != nil {
		return "", fmt.Errorf("compiling the Flink job: %w", err)
	}
	return classes, nil
}

// Start starts the job in a JVM of its own, whose output goes to <dir>/flink.log; expect
// is how many records it will read, which its marks are told of (see Marks).
func (f *Flink) Start(dir string, o Options, parallelism int, expect int64) (*child.Process, error) {
	temp := filepath.Join(dir, "temp")
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return nil, fmt.Errorf("starting the Flink job: %w", err)
	}
	args := []string{"-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "-Djava.io.tmpdir=" + temp, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED", "-cp", f.classPath, "peers.Job",
		"--brokers", strings.Join(o.Brokers, ","), "--events", o.Events, "--updates", o.Updates, "--bounded", strconv.FormatBool(o.Bounded),
		"--quick", strconv.FormatBool(o.Quick), "--parallelism", strconv.Itoa(parallelism), "--expect", strconv.FormatInt(expect, 10), "--dir", dir}
	return child.Start(exec.Command(f.java, args...), filepath.Join(dir, "flink.log"))
}
