package path

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Prefix is a path under which others are looked for. Make one with NewPrefix.
type Prefix struct {
	text   string
	shown  string
	style  style
	exact  place // clean, as loose is
	loose  place
	inside bool // it ends in a separator: the directory itself is not meant
}

// Prefixes are alternatives: any will do.
type Prefixes []Prefix

// NewPrefix reads a prefix, whatever it says; Weakness tells what is hardly meant. It is not empty.
func NewPrefix(text string) Prefix {
	p := Prefix{text: text, shown: `"` + approval.Display(text, 40) + `"`}
	if hasDrive(text) || strings.Contains(text, `\`) {
		p.style = windows
	}
	p.inside = strings.HasSuffix(text, "/") || p.style == windows && strings.HasSuffix(text, `\`)
	p.exact = p.style.split(text).clean()
	p.loose, _ = p.style.loosely(blur(text))
	p.loose = p.loose.clean()
	return p
}

// String is the prefix in quotes, fit to show.
func (p Prefix) String() string { return p.shown }

// holds says whether the path is under the prefix whoever reads it, or why not.
func (p *Prefix) holds(path *reading) (bool, string) {
	exact, doubt := path.exact[p.style], path.doubts[p.style]
	switch {
	case doubt != "":
		return false, doubt
	case exact.base != p.exact.base || !startsWith(exact.names, p.exact.names):
		return false, outside
	}
	return !p.inside || len(exact.names) > len(p.exact.names), outside
}

// mayHold says in what way a path could be under the prefix, or nothing. alone is whether it stands
// in the only field that holds a path: else a relative one could be relative to what another one
// says.
func (p *Prefix) mayHold(path *reading, alone bool) string {
	if path.doubt != "" {
		return path.doubt + counts
	}
	unsure := ""
	for _, at := range path.loose[p.style] {
		under, sure := p.loose.mayHold(at, alone)
		switch {
		case under && sure:
			return "is under " + p.shown
		case under && (at.base == workDir || at.base == aboveDir):
			unsure = "is relative and could lead to " + p.shown + counts
		case under:
			unsure = "could lead to " + p.shown + counts
		}
	}
	return unsure
}

// outside says of a path why it is under none of the prefixes for sure, or nothing.
func (ps Prefixes) outside(path *reading) (whyNot string) {
	whyNot = outside
	for i := range ps {
		held, why := ps[i].holds(path)
		if held {
			return ""
		}
		whyNot = why
	}
	return whyNot
}

// Weakness says what the prefix is hardly meant to say, and what to write instead, or nothing.
// allows is whether it is read exactly.
func (p Prefix) Weakness(allows bool) (what, hint string) {
	inside := read(p.exact.join("x"))
	held, whyNot := p.holds(inside)
	doubt := inside.doubt
	if _, escaped := unescape(p.text); escaped {
		doubt = escapes
	} else if slices.ContainsFunc(p.loose.names, expands) {
		doubt = replaced
	}
	const whole = "write the whole path of a directory: /srv/workspace"
	switch {
	case strings.Contains(p.text, "*"):
		return "this is compared literally: * is not a wildcard here",
			"write the directory alone: everything in it is under it"
	case allows && !held:
		return "no path is let through under this prefix: it " + whyNot, whole
	case !allows && doubt != "":
		return "the prefix " + doubt + ": paths that are written in another way are not under it", whole
	case strings.HasSuffix(p.text, "-"), strings.HasSuffix(p.text, "_"):
		return "names are compared whole: /srv/app-1 is not under /srv/app-",
			"write the directory, or a condition: when: args.path.startsWith(\"…\")"
	}
	return "", ""
}
