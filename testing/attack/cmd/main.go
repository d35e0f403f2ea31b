// Command cmd runs package attack against a node and prints what came of it as JSON.
// `./run.sh attack` builds the binary that it needs and runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/microseg/microseg/testing/attack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := attack.Options{Progress: os.Stderr, IdentityKey: os.Getenv("MICROSEG_IDENTITY_KEYS"), ServerKey: os.Getenv("MICROSEG_SERVER_KEYS")}
	o.IdentityKey, _, _ = strings.Cut(o.IdentityKey, ",")
	o.ServerKey, _, _ = strings.Cut(o.ServerKey, ",")
	var only string
	flag.StringVar(&o.URL, "url", "", "a node of yours to attack, such as http://127.0.0.1:8080 (default: a stack of its own is started); with "+
		"MICROSEG_IDENTITY_KEYS and MICROSEG_SERVER_KEYS as the node has them, users are attacked, too")
	flag.StringVar(&o.WriteKey, "write-key", "demo", "the node's public write key; with --url")
	flag.StringVar(&o.Binary, "binary", filepath.Join(".microseg", "bin", "microseg"), "the microseg that is started without --url")
	flag.StringVar(&o.Dir, "dir", "", "folder for its data and logs, removed when every promise holds (default: a new one in .microseg/attack)")
	flag.Float64Var(&o.Scale, "scale", 1, "of the sizes of the attacks, 1 is 500,000 devices")
	flag.StringVar(&only, "only", "", "names of attacks, separated by commas (default: all)")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no flag; --help lists them", flag.Args())
	}
	if only != "" {
		o.Only = strings.Split(only, ",")
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(".microseg", "attack", time.Now().UTC().Format("20060102T150405"))
	}
	report, err := attack.Run(ctx, o)
	if report != nil {
		b, failed := json.MarshalIndent(report, "", "  ")
		if failed != nil {
			return fmt.Errorf("writing the report: %w", failed)
		}
		fmt.Println(string(b))
	}
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return err
	}
	return os.RemoveAll(o.Dir)
}
