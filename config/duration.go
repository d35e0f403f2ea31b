package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
)

var days = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)d(.*)$`)

// parseDuration reads a Go duration that may begin with days: 400ms, 2h30m,
// 30d, 1d12h. A day has 24 hours.
func parseDuration(s string) (time.Duration, error) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || n > math.MaxInt64/float64(25*time.Hour) {
		return 0, fmt.Errorf("parsing the duration %q: too many days", s)
	}
	d := time.Duration(n * float64(24*time.Hour))
	if m[2] == "" {
		return d, nil
	}
	rest, err := time.ParseDuration(m[2])
	if err != nil {
		return 0, err
	}
	if rest < 0 || d > math.MaxInt64-rest {
		return 0, fmt.Errorf("parsing the duration %q: out of bounds", s)
	}
	return d + rest, nil
}

// durationOption makes the YAML library read durations with parseDuration.
func durationOption() yaml.DecodeOption {
	return yaml.CustomUnmarshaler(func(d *time.Duration, data []byte) error {
		var s string
		if err := yaml.Unmarshal(data, &s); err != nil {
			return err
		}
		var err error
		*d, err = parseDuration(s)
		return err
	})
}
