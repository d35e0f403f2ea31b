package changelogio

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// FingerprintVersion is that of Fingerprint. Version 1 was a hash of what the
// program of its time had in memory: a new field there, whatever its value, was
// another configuration.
const FingerprintVersion = 2

// Fingerprint is the hash of named settings as a canonical text, with its version.
func Fingerprint(settings map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = %s\n", name, strconv.Quote(settings[name]))
	}
	sum := sha256.Sum256([]byte(text.String()))
	return strconv.Itoa(FingerprintVersion) + ":" + hex.EncodeToString(sum[:16])
}

// Bounds of a message about settings: how many it names, and how much of a value
// it shows.
const (
	maxNamed = 5
	maxShown = 60
)

// changed says in which settings two configurations differ, "" where they do not.
func changed(was, is map[string]string) string {
	all := maps.Clone(was)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, is)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if was[name] != is[name] {
			out = append(out, fmt.Sprintf("%s (%s → %s)", name, shown(was[name]), shown(is[name])))
		}
	}
	if n := len(out) - maxNamed; n > 0 {
		out = append(out[:maxNamed], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, ", ")
}

func shown(v string) string {
	if v == "" {
		return "not stated"
	}
	if r := []rune(v); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return v
}
