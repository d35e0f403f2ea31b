package jvm

import "testing"

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`: 17,
		`java version "1.8.0_292"`:             8,
		`openjdk version "21" 2023-09-19`:      21,
		`what`:                                 0,
	} {
		if got, err := parseVersion(out); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d, %v, want %d", out, got, err, want)
		}
	}
}
