// Package cli reads what was typed on the command line of a program that run.sh starts, and
// prints results as JSON.
package cli

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
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

// Split cuts a list whose parts have commas or spaces between them.
func Split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// PrintJSON writes a value for people and programs.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
