package approval

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of waiting. Silence is denial, so no wait is endless.
const (
	DefaultTimeout  = Duration(time.Hour)
	MaxTimeout      = Duration(30 * 24 * time.Hour)
	DefaultValidFor = Duration(15 * time.Minute)

	// Of calls whose caller runs the tool: the caller may be away when people approve, and reports
	// after the start.
	DefaultCallerValidFor = Duration(24 * time.Hour)
	DefaultReportWithin   = Duration(10 * time.Minute)
	MaxReportWithin       = Duration(24 * time.Hour)
)

// Duration is a length of time written as "90s", "1h30m", or a number of seconds. It marshals as a
// string.
type Duration time.Duration

// Std returns the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// Short is String without the zeros at the end: 24h for 24h0m0s.
func (d Duration) Short() string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Shorter is the shorter of two lengths of time. Zero, and below, means that none is stated.
func Shorter(a, b Duration) Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// MarshalJSON writes the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads "90s" or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	} else if text == "null" {
		return nil
	}
	parsed, err := ParseDuration(text)
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

const durationForms = `use seconds (90) or a form like "90s", "24h"`

// ParseDuration reads "90s", "24h" or a plain number of seconds. It refuses negative, infinite and
// overflowing values; zero is accepted.
func ParseDuration(s string) (Duration, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(seconds) || seconds < 0 || seconds >= math.MaxInt64/float64(time.Second) {
			return 0, fmt.Errorf("duration %s is not a length of time: %s", s, durationForms)
		}
		return Duration(seconds * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q is not a length of time: %s", s, durationForms)
	}
	return Duration(d), nil
}
