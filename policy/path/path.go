package path

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pawlhq/pawl/strictjson"
	"golang.org/x/text/unicode/norm"
)

const (
	maxPath    = 4096 // bytes: Linux opens nothing that is longer
	maxDecoded = 3    // how often %-escapes are taken out of a path
)

// style is how a path is written.
type style int

const (
	posix   style = iota // / separates
	windows              // \ does, too, and there are drives
)

// place is a path taken apart: where it begins, and the names from there on.
type place struct {
	base  string
	names []string
}

// Where a path begins; else a drive (C:) or somebody's home (~, ~ana).
const (
	workDir  = ""   // wherever the tool works: the path is relative
	aboveDir = ".." // above that
	root     = "/"
	share    = "//" // of Windows: on another machine, or a place under another name
)

func (p place) absolute() bool {
	return p.base != workDir && p.base != aboveDir && p.base[0] != '~'
}

func (s style) split(path string) place {
	var p place
	if s == windows {
		path = strings.ReplaceAll(path, `\`, "/")
	}
	switch {
	case s == windows && strings.HasPrefix(path, share):
		p.base = share
	case s == windows && drive.MatchString(path):
		if strings.HasPrefix(path[2:], "/") { // C:x is relative, to C:'s own directory
			p.base = path[:2]
		}
		path = path[2:]
	case strings.HasPrefix(path, "/"):
		p.base = root
	case strings.HasPrefix(path, "~"):
		p.base, path, _ = strings.Cut(path, "/")
	}
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			p.names = append(p.names, name)
		}
	}
	return p
}

var drive = regexp.MustCompile(`^[A-Za-z]:`)

// clean takes every .. out.
func (p place) clean() place {
	out := place{base: p.base}
	for _, name := range p.names {
		switch {
		case name != "..":
			out.names = append(out.names, name)
		case len(out.names) > 0:
			out.names = out.names[:len(out.names)-1]
		case !p.absolute():
			out.base = aboveDir
		}
	}
	return out
}

// join is the path of what has some name in the place.
func (p place) join(name string) string {
	names := strings.Join(append(slices.Clip(p.names), name), "/")
	if p.base == workDir || p.base == root || p.base == share {
		return p.base + names
	}
	return p.base + "/" + names
}

func startsWith(names, first []string) bool {
	return len(names) >= len(first) && slices.Equal(names[:len(first)], first)
}

// couldStartWith is startsWith for names that somebody may take for patterns or variables: /et?,
// /$DIR.
func couldStartWith(names, first []string) bool {
	for i, want := range first {
		switch {
		case i == len(names):
			return false
		case expands(names[i]):
			return true
		case names[i] != want && !strings.ContainsAny(names[i], "*?["):
			return false
		}
	}
	return true
}

// expands reports whether a name may stand for several, one after the other.
func expands(name string) bool {
	return strings.ContainsAny(name, "$`{") || strings.Contains(name, "**") || strings.Count(name, "%") > 1
}

// couldHoldRun reports whether some names may stand in others, one after the
// other.
func couldHoldRun(names, run []string) bool {
	for i := range len(names) + 1 {
		if couldStartWith(names[i:], run) {
			return true
		}
	}
	return false
}

// mayHold reports whether a path could be under this one, and whether it is for
// sure, as far as texts tell.
func (p place) mayHold(path place, alone bool) (under, sure bool) {
	switch {
	case p.base == aboveDir || path.base == aboveDir:
		return !path.absolute() || couldHoldRun(path.names, p.names), false
	case p.base == path.base:
		sure = startsWith(path.names, p.names)
		return sure || couldStartWith(path.names, p.names) || p.base == workDir && !alone, sure
	case !path.absolute():
		return true, false
	case !p.absolute():
		return couldHoldRun(path.names, p.names), false
	case path.base == share:
		return true, false
	case path.base == root || p.base == root: // on whichever drive that is
		return couldStartWith(path.names, p.names), false
	}
	return false, false
}

// reading is a path of a call, read in every way.
type reading struct {
	exact  [2]place  // by style
	doubts [2]string // by style: why it is not exact

	loose [2][]place // by the style of the prefix they are compared with
	doubt string     // why the loose places are not all
}

func read(text string) *reading {
	p := &reading{}
	for s := range p.exact {
		p.exact[s], p.doubts[s] = style(s).exactly(text)
	}
	p.readLoosely(text)
	return p
}

// Why it can't be told where a path leads.
const (
	unseen   = "holds characters that can't be seen"
	tooLarge = "is too long"
	aURL     = "is a URL"
	linked   = "goes through links of the system"
	dots     = "holds a name of dots and spaces"
	escapes  = "holds %-escapes"
	replaced = "holds what some systems replace, as ~ or $"
)

func doubtful(path string) string {
	switch {
	case len(path) > maxPath:
		return tooLarge
	case !utf8.ValidString(path), strings.ContainsFunc(path, invisible):
		return unseen
	case len(path) >= 5 && strings.EqualFold(path[:5], "file:"):
		return aURL
	}
	return ""
}

// invisible are the characters that some systems cut a path off at, or leave
// out, and what stands for those that could not be read.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError
}

// exactly reads a path that everybody reads in the same way. Of others it says
// what they are. Even where the names are clear, .. leads to another place than
// they say if what goes before it is a link.
func (s style) exactly(path string) (place, string) {
	p := s.split(path)
	if doubt := doubtful(path); doubt != "" {
		return p, doubt
	}
	switch _, escaped := unescape(path); {
	case escaped:
		return p, escapes
	case strings.ContainsAny(path, "~$`"), strings.Count(path, "%") > 1:
		return p, replaced
	case s == posix && strings.Contains(path, `\`):
		return p, `holds \`
	case !p.absolute():
		return p, "is relative"
	case strings.ContainsFunc(path, lookalike):
		return p, "holds characters that look like others"
	case throughLinks(p):
		return p, linked
	}
	for _, name := range p.names {
		switch {
		case name == "..":
			return p, "holds .."
		case onlyDots(name):
			return p, dots
		case s == windows && strings.Contains(name, ":"):
			return p, "holds : in a name"
		}
	}
	return p, ""
}

func onlyDots(name string) bool { return strings.TrimRight(name, " .") == "" }

// lookalike are characters that some systems turn into one that means something in a path, as
// full-width ones.
func lookalike(r rune) bool {
	return r >= utf8.RuneSelf && strings.ContainsAny(norm.NFKC.String(string(r)), `/\.~%:`)
}

// throughLinks reports whether a path is by way of the links with which Linux gives the whole disk
// another name: /proc/self/root/etc is /etc.
func throughLinks(p place) bool {
	names := p.names
	return len(names) > 1 && (names[0] == "dev" && names[1] == "fd" ||
		names[0] == "proc" && slices.ContainsFunc([]string{"root", "cwd", "fd"}, func(link string) bool {
			return slices.Contains(names[1:], link)
		}))
}

// blur makes texts equal that name the same file on some system: case, ways to write one letter,
// full-width characters.
func blur(path string) string { return strictjson.Fold(strings.ToUpper(norm.NFKC.String(path))) }

// readLoosely finds the places that a path could be: as it stands and with its escapes taken out,
// with \ as a letter and as a separator, with .. as a name that is gone through and taken out.
func (p *reading) readLoosely(path string) {
	for range maxDecoded + 1 {
		if p.doubt = doubtful(path); p.doubt != "" {
			return
		}
		path = blur(path)
		for s := range p.loose {
			at, doubt := style(s).loosely(path)
			both := []place{at, at.clean()}
			if doubt == "" && slices.ContainsFunc(both, throughLinks) {
				doubt = linked
			}
			if doubt != "" {
				p.doubt = doubt
				return
			}
			p.loose[s] = append(p.loose[s], both...)
			if style(s) == windows && strings.Contains(path, `\`) {
				p.loose[posix] = append(p.loose[posix], both...)
			}
		}
		var escaped bool
		if path, escaped = unescape(path); !escaped {
			return
		}
	}
	p.doubt = "holds escapes of escapes"
}

// loosely reads a path that blur is done with. Windows leaves out dots and spaces at the end of a
// name, and what follows a colon.
func (s style) loosely(path string) (place, string) {
	p := s.split(path)
	if p.base == share && len(p.names) > 0 && (p.names[0] == "?" || strings.HasPrefix(path[2:], ".")) {
		return p, "names a device" // \\?\C:\, \\.\C:\
	}
	for i, name := range p.names {
		_, after, _ := strings.Cut(name, "~")
		if after != "" && after[0] >= '0' && after[0] <= '9' {
			return p, "holds a shortened name" // PROGRA~1
		}
		if s == windows {
			name, _, _ = strings.Cut(name, ":")
		}
		if name != ".." {
			if onlyDots(name) {
				return p, dots
			}
			p.names[i] = strings.TrimRight(name, " .")
		}
	}
	return p, ""
}

// unescape takes %-escapes out once, if there are any.
func unescape(path string) (string, bool) {
	var out []byte
	last := 0
	for i := 0; i+2 < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		if escaped, err := hex.DecodeString(path[i+1 : i+3]); err == nil {
			out = append(append(out, path[last:i]...), escaped...)
			i += 2
			last = i + 1
		}
	}
	return string(append(out, path[last:]...)), last > 0
}
