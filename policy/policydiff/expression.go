package policydiff

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/policy/policytest"
)

const (
	quoted = `"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`
	inCall = `\b(?:args|labels)(?:\.[A-Za-z_]\w*\b|\[\s*(?:"[^"\\]*"|'[^'\\]*'|\d+)\s*\])+` // of a call
)

var (
	inCEL = regexp.MustCompile(`(?:` + quoted + `)\s+in\s+(?:args|labels)\b|(?:\b[rR])?(?:` + quoted + `)|` + inCall + `\(?` + // or a function on it
		`|\b(?:agent|team|session|requester|now)\b` +
		`|\b\d+(?:\.\d+)?\b|\b(?:true|false)\b`)
	keyInCEL = regexp.MustCompile(`\.([A-Za-z_]\w*)|\[\s*["']([^"']*)["']\s*\]|\[\s*\d+\s*(\])`)
	isTime   = regexp.MustCompile(`\bnow\.get\w+\(\s*(` + quoted + `)?`)
	isIn     = regexp.MustCompile(`^["'](.*)["']\s+in\s+(args|labels)$`)
	macro    = regexp.MustCompile(`(` + inCall + `)\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_]\w*)\s*,`)
)

// element stands in a path for the only entry of a list.
const element = "\x00"

// maxMacros bounds how many macros of one expression are looked into.
const maxMacros = 8

// spelledOut adds to an expression what it says of lists' entries, as of the
// first one: args.l.all(x, x.n > 1) says something of args.l[0].n, too.
func spelledOut(text string) string {
	out, seen := text, map[string]bool{}
	for range maxMacros {
		m := macro.FindStringSubmatch(text)
		for _, other := range macro.FindAllStringSubmatch(text, -1) {
			if !seen[other[1]+" "+other[2]] {
				m = other
				break
			}
		}
		if m == nil || seen[m[1]+" "+m[2]] {
			break
		}
		seen[m[1]+" "+m[2]] = true
		text = regexp.MustCompile(`\b`+m[2]+`\b`).ReplaceAllLiteralString(text, m[1]+"[0]")
		out += " " + text
	}
	return out
}

// expression tries every value that a CEL expression names in every place that
// it names, whatever it does with them.
func (c *collector) expression(text string) {
	var places []path
	var values []any
	var times bool
	matches := strings.Contains(text, "matches(")
	for _, token := range inCEL.FindAllString(spelledOut(text), -1) {
		switch there := isIn.FindStringSubmatch(token); {
		case there != nil:
			places = append(places, path{there[2], []string{there[1]}})
		case strings.HasSuffix(token, `"`), strings.HasSuffix(token, `'`):
			said := literal(token)
			values = append(values, said)
			if matches {
				for _, s := range samples(said) {
					values = append(values, s)
				}
			}
			values = append(values, "other")
		case token == "true" || token == "false":
			values = append(values, true, false)
		case token == "now":
			times = true
		case token[0] >= '0' && token[0] <= '9':
			if n, err := strconv.ParseFloat(token, 64); err == nil {
				values = append(values, around(n)...)
			}
		default:
			if p := placeInCEL(token); len(p.keys) > 0 && p.keys[0] != element || p.root != "args" && p.root != "labels" {
				places = append(places, p)
			}
		}
	}
	if len(values) == 0 {
		values = []any{"other", 1.0}
	}
	for _, p := range places {
		c.try(p, values...)
	}
	if times {
		c.times(text)
	}
}

// literal is the text that a CEL literal stands for; one with escapes that Go
// does not know stays as it is.
func literal(token string) string {
	if raw := strings.TrimLeft(token, "rR"); raw != token {
		return raw[1 : len(raw)-1]
	}
	inner, quote := token[1:len(token)-1], token[0]
	var b strings.Builder
	for rest := inner; rest != ""; {
		r, _, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return inner
		}
		b.WriteRune(r)
		rest = tail
	}
	return b.String()
}

// maxTimes bounds the times that one expression is tried at.
const maxTimes = 24

// times tries times around what the expression compares now with: points in
// time, and each number as an hour or as a day of the week, whichever it asks
// for, in the zones that it names.
func (c *collector) times(text string) {
	noon, weekend := policytest.Noon, policytest.Noon.Add(5*24*time.Hour)
	tries := []any{noon.Add(12 * time.Hour), weekend}
	zones := []*time.Location{}
	for _, m := range isTime.FindAllStringSubmatch(text, -1) {
		zone := time.UTC
		if m[1] != "" {
			zone = zoneOf(literal(m[1]))
		}
		if zone != nil && !slices.Contains(zones, zone) {
			zones = append(zones, zone)
		}
	}
	var hours, days []int
	ofHours, ofDays := strings.Contains(text, "getHours"), strings.Contains(text, "getDayOfWeek")
	for _, token := range inCEL.FindAllString(text, -1) {
		if n, err := strconv.Atoi(token); err == nil && n < 24 {
			if ofHours {
				hours = append(hours, n, n-1, n+1)
			}
			if ofDays && n < 7 {
				days = append(days, n)
			}
		} else if at, err := time.Parse(time.RFC3339, strings.Trim(token, `"'`)); err == nil {
			tries = append(tries, at, at.Add(-time.Second), at.Add(time.Second))
		}
	}
	for _, zone := range zones {
		for _, day := range append([]int{int(noon.Weekday())}, days...) {
			date := noon.In(zone).AddDate(0, 0, (day-int(noon.Weekday())+7)%7)
			if day != int(noon.Weekday()) {
				tries = append(tries, date.UTC())
			}
			for _, hour := range hours {
				tries = append(tries, time.Date(date.Year(), date.Month(), date.Day(), hour, 0, 0, 0, zone).UTC())
			}
		}
	}
	c.try(path{root: "now"}, tries[:min(len(tries), maxTimes)]...)
}

// zoneOf is a zone as CEL reads it: a name, or hours and minutes from UTC. nil
// is none.
func zoneOf(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil && name != "" {
		return zone
	}
	for _, form := range []string{"-07:00", "07:00"} {
		if at, err := time.Parse(form, name); err == nil {
			_, offset := at.Zone()
			if form == "07:00" {
				offset = at.Hour()*3600 + at.Minute()*60
			}
			return time.FixedZone(name, offset)
		}
	}
	return nil
}

func placeInCEL(token string) path {
	root := token
	if i := strings.IndexAny(token, ".["); i >= 0 {
		root = token[:i]
	}
	p := path{root: root}
	for _, m := range keyInCEL.FindAllStringSubmatch(token, -1) {
		if m[3] != "" {
			m[1] = element
		}
		p.keys = append(p.keys, m[1]+m[2])
	}
	if strings.HasSuffix(token, "(") && len(p.keys) > 0 { // args.to.contains(
		p.keys = p.keys[:len(p.keys)-1]
	}
	return p
}
