package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/microseg/microseg/cmd/internal/cli"
	"github.com/spf13/cobra"
)

// commit and dirty are set by run.sh: the commit with its time, and "true" where
// the checkout had changes. Go's own stamps, where there are any, come first.
var commit, dirty string

// version is what this binary was built from.
type version struct {
	Version string `json:"version"` // of the module; (devel) where it was built from a checkout without a tag
	Commit  string `json:"commit,omitempty"`
	Time    string `json:"commit_time,omitempty"`
	Dirty   bool   `json:"dirty"` // the checkout had changes that were not committed
	Go      string `json:"go"`
	System  string `json:"system"`
}

// builtFrom reads what the Go tool has put into the binary.
func builtFrom() version {
	v := version{Version: "unknown", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version = info.Main.Version; v.Version == "" {
		v.Version = "(devel)"
	}
	v.Commit, v.Time, _ = strings.Cut(commit, " of ")
	v.Dirty = dirty == "true"
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	return v
}

func (v version) print(w io.Writer) {
	commit := "unknown (built outside a git checkout)"
	if v.Commit != "" {
		commit = v.Commit + " of " + v.Time
		if v.Dirty {
			commit += ", with changes that were not committed"
		}
	}
	fmt.Fprintf(w, "microseg %s\ncommit   %s\ngo       %s %s\n", v.Version, commit, v.Go, v.System)
}

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version, the commit and whether it was changed, and Go's version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := builtFrom()
			if asJSON {
				return cli.PrintJSON(os.Stdout, v)
			}
			v.print(os.Stdout)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
