package policydiff

import (
	"regexp"
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
	inCEL = regexp.MustCompile(`(?:` + quoted + `)\s+in\s+(?:args|labels)\b|` + quoted + `|` + inCall + `\(?` + // or a function on it
		`|\b(?:agent|team|session|requester|now)\b` +
		`|\b\d+(?:\.\d+)?\b|\b(?:true|false)\b`)
	keyInCEL = regexp.MustCompile(`\.([A-Za-z_]\w*)|\[\s*["']([^"']*)["']\s*\]|\[\s*\d+\s*(\])`)
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
	for _, token := range inCEL.FindAllString(spelledOut(text), -1) {
		switch there := isIn.FindStringSubmatch(token); {
		case there != nil:
			places = append(places, path{there[2], []string{there[1]}})
		case token[0] == '"' || token[0] == '\'':
			values = append(values, token[1:len(token)-1], "other")
		case token == "true" || token == "false":
			values = append(values, true, false)
		case token == "now":
			c.try(path{root: "now"}, policytest.Noon.Add(12*time.Hour), policytest.Noon.Add(5*24*time.Hour))
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
