// Command write writes the bundle: write ENTRY OUTPUT.
package main

import (
	"fmt"
	"os"

	"github.com/microseg/microseg/web/bundle"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d arguments, want the entry module and the output file", len(args))
	}
	b, err := bundle.Build(args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], b, 0o644)
}
