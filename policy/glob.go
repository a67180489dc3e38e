package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// glob is a pattern over a whole name: * stands for any run of characters, dots and none at all
// included, ? for exactly one. Everything else is itself.
type glob string

func isGlob(s string) bool { return strings.ContainsAny(s, "*?") }

func (g glob) match(name string) bool {
	ok, _ := g.try(name)
	return ok
}

// try is match, and counts its steps: at most len(name) * len(pattern), whatever they are. Where a
// run goes on too short, only the last * is given more.
func (g glob) try(name string) (ok bool, steps int) {
	p, n := 0, 0
	star, resume := -1, 0 // behind the last * in the pattern, and where its run may end next
	for n < len(name) {
		steps++
		r, size := utf8.DecodeRuneInString(name[n:])
		switch {
		case p < len(g) && g[p] == '*':
			p++
			star, resume = p, n
			continue
		case p < len(g) && g[p] == '?':
			p, n = p+1, n+size
			continue
		case p < len(g):
			if want, wide := utf8.DecodeRuneInString(string(g[p:])); want == r && wide == size {
				p, n = p+wide, n+size
				continue
			}
		}
		if star < 0 {
			return false, steps
		}
		_, size = utf8.DecodeRuneInString(name[resume:])
		resume += size
		p, n = star, resume
	}
	for p < len(g) && g[p] == '*' {
		p++
	}
	return p == len(g), steps
}

// maxCompareSteps bounds what comparing patterns with each other takes of loading one set, in
// steps: some tenths of a second.
const maxCompareSteps = 10_000_000

// covers reports whether g certainly matches every name that other matches. It may miss some that
// do, and does when what is left for comparing is spent.
func (g glob) covers(other glob, left *int) bool {
	// Read as a name, a wildcard of other is a character that only g's own wildcards take. One ? of g
	// takes no *.
	if *left <= 0 || strings.Contains(string(g), "?") {
		return g == other
	}
	ok, steps := g.try(string(other))
	*left -= steps
	return ok
}

// globs matches what any of its patterns matches.
type globs []glob

func (gs globs) match(name string) bool {
	return slices.ContainsFunc(gs, func(g glob) bool { return g.match(name) })
}

// matchFolded is match for names that are the same where plain is.
func (gs globs) matchFolded(name string) bool {
	return slices.ContainsFunc(gs, func(g glob) bool { return glob(plain(string(g))).match(plain(name)) })
}
