package path

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
	"golang.org/x/text/unicode/norm"
)

// Names are the arguments and labels that hold file paths.
var Names = []string{
	"path", "file", "filepath", "file_path", "filename", "target", "directory", "dir", "root",
}

// words are those that make the name of another argument one of a path: new_path, destination.
var words = []string{
	"path", "paths", "file", "files", "filepath", "filename", "filenames", "dir", "dirs", "directory",
	"directories", "folder", "folders", "root", "target", "targets", "source", "src", "destination",
	"dest", "dst", "from", "to", "cwd", "workdir", "location", "output",
}

const maxPaths = 1000 // in all

// Paths are the paths in a call's arguments and labels. Make them with Of.
type Paths []source

// source is an argument or label that holds paths, or a text that could be one.
type source struct {
	name  string // as remarks call it
	paths []*reading
	wrong string // what it is instead of paths
	// loose are the lines of a text under any other name that begin as paths do: the places that it
	// certainly names. A relative one could be anything, and says nothing.
	loose []*reading
	other bool // its name is none of Names
}

// Of reads every argument and label that holds paths, and every text in the arguments, at any depth
// and also as a field's name, that could be one.
func Of(args map[string]any, labels map[string]string) Paths {
	var c collector
	c.object(args, false)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		switch folded := strictjson.Fold(name); {
		case !slices.Contains(Names, folded):
		case name != folded:
			c.found = append(c.found, source{name: "the label " + folded, wrong: inOtherCase})
		default:
			c.found = append(c.found, c.named("the label "+name, labels[name]))
		}
	}
	return c.found
}

type collector struct {
	found Paths
	count int // of the paths that were read
}

// object goes through an object's fields. inPath is whether it stands in one whose name is that of a
// path.
func (c *collector) object(object map[string]any, inPath bool) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		v, folded := object[name], strictjson.Fold(name)
		switch {
		case !slices.Contains(Names, folded):
			c.other(name, inPath && couldBePath(name)) // {"/etc/x": "content"}
			c.other(v, inPath || hasWord(name))
		case name != folded: // some tools take Path for path
			c.found = append(c.found, source{name: folded, wrong: inOtherCase})
		default:
			c.found = append(c.found, c.named(name, v))
		}
	}
}

// named reads an argument or label whose name is one of Names.
func (c *collector) named(name string, v any) source {
	s := source{name: name}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		s.wrong = "is an empty list"
	}
	for _, e := range list {
		text, ok := e.(string)
		switch {
		case s.wrong != "":
			return s
		case !ok:
			s.wrong = "is neither text nor a list of texts"
		default:
			s.paths, s.wrong = c.read(s.paths, text)
		}
	}
	return s
}

// What arguments hold instead of paths.
const (
	tooMany     = "holds too many paths"
	inOtherCase = "is there in another case"
)

func (c *collector) read(paths []*reading, text string) (_ []*reading, wrong string) {
	if c.count++; c.count > maxPaths {
		return paths, tooMany
	}
	return append(paths, read(text)), ""
}

// other reads what stands under another name.
func (c *collector) other(v any, inPath bool) {
	switch v := v.(type) {
	case map[string]any:
		c.object(v, inPath)
	case []any:
		for _, e := range v {
			c.other(e, inPath)
		}
	case string:
		if c.count <= maxPaths && (inPath || couldBePath(v)) {
			c.text(v, inPath)
		}
	}
}

func (c *collector) text(text string, inPath bool) {
	s := source{name: "a text in the arguments", other: true}
	if s.paths, s.wrong = c.read(nil, text); s.wrong == "" && inPath && !isLink(text) {
		s.loose = s.paths
	}
	if s.loose != nil {
		c.found = append(c.found, s)
		return
	}
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n\"'")
		if s.wrong == "" && anchored.MatchString(norm.NFKC.String(line)) {
			s.loose, s.wrong = c.read(s.loose, line)
		}
	}
	c.found = append(c.found, s)
}

var (
	// separated finds what makes a text a path to some system, beside its place: a separator, also as
	// an escape, and what is replaced by a path.
	separated = regexp.MustCompile("[/\\\\`]|\\$[\\pL_{(]|(?i:%2f|%5c|^file:)|^[~.]")
	// anchored finds lines that begin at a place: /x, \x, ~/x, ~ana, ../x, C:\x, file:x.
	anchored = regexp.MustCompile(`^([/\\]|~[\w.-]*([/\\]|$)|\.\.([/\\]|$)|[A-Za-z]:[/\\]|` +
		`(?i:file:)|%(?i:2f|5c))`)
	schemed  = regexp.MustCompile(`^[A-Za-z][\w+.-]*://`)
	nameWord = regexp.MustCompile(`\p{Lu}?\p{Ll}+|\p{Lu}+`)
)

func couldBePath(text string) bool { return separated.MatchString(norm.NFKC.String(text)) }

// isLink reports whether a text is the URL of something that is no file.
func isLink(text string) bool {
	return schemed.MatchString(text) && !strings.HasPrefix(strings.ToLower(text), "file:")
}

// hasWord reports whether a name has a word that tells of a path: newPath, new_path, NEW_PATH.
func hasWord(name string) bool {
	return slices.ContainsFunc(nameWord.FindAllString(name, -1), func(word string) bool {
		return slices.Contains(words, strings.ToLower(word))
	})
}

const (
	outside = "is elsewhere"
	noPath  = "no argument or label names a path"
	counts  = ", which counts as a match"
)

// names reports whether an argument or label of Names holds paths.
func (ps Paths) names() bool {
	return slices.ContainsFunc(ps, func(s source) bool { return !s.other })
}

// SomeUnder is the reading of deny and require_approval: whether any path could be under one of the
// prefixes, and how.
func (ps Paths) SomeUnder(prefixes Prefixes) (held bool, say string) {
	if !ps.names() {
		return true, noPath + counts
	}
	for _, s := range ps {
		if s.wrong != "" {
			return true, s.name + " " + s.wrong + counts
		}
		paths := s.paths
		if s.other {
			paths = s.loose
		}
		for _, path := range paths {
			for i := range prefixes {
				if how := prefixes[i].mayHold(path, len(ps) == 1); how != "" {
					return true, s.name + " " + how
				}
			}
		}
	}
	return false, "no path is under it"
}

// AllUnder is the reading of allow: whether every path, and every text that could be one, is under
// one of the prefixes for sure, or what keeps one from it.
func (ps Paths) AllUnder(prefixes Prefixes) (held bool, say string) {
	if !ps.names() {
		return false, noPath
	}
	for _, s := range ps {
		if s.wrong != "" {
			return false, s.name + " " + s.wrong
		}
		for _, path := range s.paths {
			if whyNot := prefixes.outside(path); whyNot != "" {
				return false, s.name + " " + whyNot
			}
		}
	}
	return true, "every path, and every text that could be one, is under its path_prefix"
}

// OfTexts are the paths in the texts of one argument.
func OfTexts(name string, texts []string) Paths {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	var c collector
	return Paths{c.named(name, list)}
}

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
	if drive.MatchString(text) || strings.Contains(text, `\`) {
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
