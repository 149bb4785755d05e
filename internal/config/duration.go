package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

const (
	day  = 24 * time.Hour
	week = 7 * day

	shortestLease = 2 * time.Second // so that half of it, T1, is not zero (RFC 2131 §4.4.5)
	longestDrain  = day
)

// leaseTime takes how long an address is given for.
func (c *checker) leaseTime(d *draft, v *document.Value) {
	const hint = `write it like "1h", "12h", "7d" or "infinite"`
	if v.Text == "infinite" {
		d.LeaseTime = ipam.NeverExpires
		return
	}
	t, err := parseDuration(v.Text)
	switch {
	case err != nil:
		c.refuse(v, durationHint(v.Text, hint), "%q is no time: %v", v.Text, err)
	case t < shortestLease:
		c.refuse(v, `write "1h", or at least "2s"`, "lease-time %s is shorter than %s", v.Text, formatDuration(shortestLease))
	case t >= ipam.NeverExpires:
		c.refuse(v, `write "infinite"`, "lease-time %s is longer than DHCP can say", v.Text)
	default:
		d.LeaseTime = t
	}
}

// drain takes how long a moved guest keeps its old address too.
func (c *checker) drain(d *draft, v *document.Value) {
	const hint = `write it like "30s", "2m" or "0s"`
	t, err := parseDuration(v.Text)
	switch {
	case err != nil:
		c.refuse(v, durationHint(v.Text, hint), "%q is no time: %v", v.Text, err)
	case t > longestDrain:
		c.refuse(v, fmt.Sprintf("write at most %q", formatDuration(longestDrain)), "drain %s keeps old addresses for too long", v.Text)
	default:
		d.Drain = t
	}
}

// durationHint is hint, or what a number without its unit probably means.
func durationHint(text, hint string) string {
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		return fmt.Sprintf("write %q for seconds", text+"s")
	}
	return hint
}

// parseDuration reads whole seconds as Go writes durations, "1h30m", with "d" for days
// and "w" for weeks too.
func parseDuration(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	if text == "" {
		return 0, errors.New("it is empty")
	}
	var sum time.Duration
	for rest := text; rest != ""; {
		digits := leading(rest, "0123456789.")
		unit := leading(rest[len(digits):], "abcdefghijklmnopqrstuvwxyzµμ")
		if digits == "" || unit == "" {
			return 0, errors.New("a number and its unit are wanted, one of w, d, h, m and s")
		}
		part, err := parsePart(digits, unit)
		if err != nil {
			return 0, err
		}
		if sum > math.MaxInt64-part {
			return 0, errors.New("it is too long")
		}
		sum += part
		rest = rest[len(digits)+len(unit):]
	}
	if sum%time.Second != 0 {
		return 0, errors.New("only whole seconds count")
	}
	return sum, nil
}

func parsePart(digits, unit string) (time.Duration, error) {
	of := map[string]time.Duration{"w": week, "d": day}[unit]
	if of == 0 {
		part, err := time.ParseDuration(digits + unit)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number with one of the units w, d, h, m and s", digits+unit)
		}
		return part, nil
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number of days or weeks", digits)
	}
	if n > uint64(math.MaxInt64/of) {
		return 0, errors.New("it is too long")
	}
	return time.Duration(n) * of, nil
}

// leading is the longest beginning of text that consists of characters of set.
func leading(text, set string) string {
	for i, r := range text {
		if !strings.ContainsRune(set, r) {
			return text[:i]
		}
	}
	return text
}

// formatDuration writes whole seconds so that parseDuration reads them: "1h30m", not "1h30m0s".
func formatDuration(t time.Duration) string {
	if t >= ipam.NeverExpires {
		return "infinite"
	}
	var b strings.Builder
	for _, u := range [...]struct {
		of   time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := t / u.of; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			t %= u.of
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}
