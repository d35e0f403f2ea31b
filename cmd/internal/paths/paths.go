// Package paths finds what was typed on the command line of a program that run.sh starts.
package paths

import (
	"os"
	"path/filepath"
)

// envCalledIn is the folder in which run.sh was called, which itself works in
// the clone.
const envCalledIn = "MICROSEG_CALLED_IN"

// Given is the path of a file as whoever typed it means it.
func Given(path string) string {
	from := os.Getenv(envCalledIn)
	if path == "" || path == "-" || from == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(from, path)
}
