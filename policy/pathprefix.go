package policy

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// prefix is one path_prefix. Both of its places are clean.
type prefix struct {
	shown  string
	style  style
	exact  place
	loose  place
	inside bool // it ends in a separator: the directory itself is not meant
}

func readPrefix(text, shown string) prefix {
	p := prefix{shown: shown}
	if hasDrive(text) || strings.Contains(text, `\`) {
		p.style = windows
	}
	p.inside = strings.HasSuffix(text, "/") || p.style == windows && strings.HasSuffix(text, `\`)
	p.exact = p.style.split(text).clean()
	p.loose, _ = p.style.loosely(blur(text))
	p.loose = p.loose.clean()
	return p
}

// takes says whether a path is under the prefix whoever reads it, or why not.
func (p *prefix) takes(path *pathText) (bool, string) {
	exact, doubt := path.exact[p.style], path.doubts[p.style]
	switch {
	case doubt != "":
		return false, doubt
	case exact.base != p.exact.base || !startsWith(exact.names, p.exact.names):
		return false, elsewhere
	}
	return !p.inside || len(exact.names) > len(p.exact.names), elsewhere
}

// mayTake says in what way a path could be under the prefix, or nothing. alone
// is whether it stands in the only field that holds a path: else a relative one
// could be relative to what another one says.
func (p *prefix) mayTake(path *pathText, alone bool) string {
	if path.doubt != "" {
		return path.doubt + counts
	}
	unsure := ""
	for _, at := range path.loose[p.style] {
		under, sure := p.loose.mayHold(at, alone)
		switch {
		case under && sure:
			return "is under " + p.shown
		case under && (at.base == here || at.base == lost):
			unsure = "is relative and could lead to " + p.shown + counts
		case under:
			unsure = "could lead to " + p.shown + counts
		}
	}
	return unsure
}

// spot is one place in a call where paths stand.
type spot struct {
	name  string // as remarks call it
	paths []*pathText
	wrong string // what it is instead of paths
}

// paths returns every argument and label that holds paths, in an order of its
// own. They are read once for all rules.
func (in *input) paths() []spot {
	if in.spotted {
		return in.spots
	}
	in.spotted = true
	args, _ := in.arguments()
	inCase := map[string]bool{} // some tools take Path for path
	for name := range args {
		if lower := fold(name); lower != name {
			inCase[lower] = true
		}
	}
	for _, name := range pathNames {
		if v, ok := args[name]; ok {
			in.spots = append(in.spots, readSpot(name, v))
		}
		if inCase[name] {
			in.spots = append(in.spots, spot{name: name, wrong: "is there in another case"})
		}
	}
	for _, name := range pathNames {
		if v, ok := in.call.Labels[name]; ok {
			in.spots = append(in.spots, readSpot("the label "+name, v))
		}
	}
	return in.spots
}

func readSpot(name string, v any) spot {
	s := spot{name: name}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	switch {
	case len(list) == 0:
		s.wrong = "is an empty list"
	case len(list) > maxPaths:
		s.wrong = "holds too many paths"
	}
	for _, e := range list {
		text, ok := e.(string)
		switch {
		case s.wrong != "":
			return s
		case !ok:
			s.wrong = "is neither text nor a list of texts"
		default:
			s.paths = append(s.paths, readPath(text))
		}
	}
	return s
}

const (
	elsewhere = "is elsewhere"
	noPath    = "no argument or label names a path"
	counts    = ", which counts as a match"
)

// someUnder is the reading of deny and require_approval: whether any path could
// be under one of the prefixes, and how.
func (f *field) someUnder(in *input) (held bool, say string) {
	spots := in.paths()
	if len(spots) == 0 {
		return true, noPath + counts
	}
	for _, s := range spots {
		if s.wrong != "" {
			return true, s.name + " " + s.wrong + counts
		}
		for _, path := range s.paths {
			for i := range f.prefixes {
				if how := f.prefixes[i].mayTake(path, len(spots) == 1); how != "" {
					return true, s.name + " " + how
				}
			}
		}
	}
	return false, "no path is under it"
}

// allUnder is the reading of allow: whether every path is under one of the
// prefixes for sure, or what keeps one from it.
func (f *field) allUnder(in *input) (held bool, say string) {
	spots := in.paths()
	if len(spots) == 0 {
		return false, noPath
	}
	for _, s := range spots {
		if s.wrong != "" {
			return false, s.name + " " + s.wrong
		}
		for _, path := range s.paths {
			if whyNot := f.outside(path); whyNot != "" {
				return false, s.name + " " + whyNot
			}
		}
	}
	return true, "every path is under its path_prefix"
}

func (f *field) outside(path *pathText) (whyNot string) {
	whyNot = elsewhere
	for i := range f.prefixes {
		held, why := f.prefixes[i].takes(path)
		if held {
			return ""
		}
		whyNot = why
	}
	return whyNot
}

// readPrefixes reads path_prefix.
func readPrefixes(v yamlfile.Value, kind approval.VerdictKind) field {
	f := field{text: "path_prefix", op: underPath}
	var shown []string
	for _, e := range oneOrMore(v) {
		text, ok := e.Text()
		if !ok {
			continue
		}
		p := readPrefix(text, quote(text))
		f.prefixes = append(f.prefixes, p)
		shown = append(shown, p.shown)
		p.warn(e, text, kind)
	}
	f.text += " " + brief(shown)
	return f
}

// warn warns of what the prefix is hardly meant to say.
func (p *prefix) warn(v yamlfile.Value, text string, kind approval.VerdictKind) {
	inside := readPath(p.exact.join("x"))
	held, whyNot := p.takes(inside)
	doubt := inside.doubt
	if _, escaped := unescape(text); escaped {
		doubt = escapes
	} else if slices.ContainsFunc(p.loose.names, expands) {
		doubt = replaced
	}
	last := text[len(text)-1]
	switch {
	case strings.Contains(text, "*"):
		v.Warn("this is compared as it stands: * is no pattern here", "write the directory alone: everything in it is under it")
	case kind == approval.VerdictAllow && !held:
		v.Warn("no path is let through under this prefix: it "+whyNot, "write the whole path of a directory: /srv/workspace")
	case kind != approval.VerdictAllow && doubt != "":
		v.Warn("the prefix "+doubt+": paths that are written in another way are not under it", "write the whole path of a directory: /srv/workspace")
	case last == '-' || last == '_':
		v.Warn("names are compared whole: /srv/app-1 is not under /srv/app-", "write the directory, or a condition: when: args.path.startsWith(\"…\")")
	}
}
