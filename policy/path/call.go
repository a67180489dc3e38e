package path

import "github.com/pawlhq/pawl/strictjson"

// Names are the arguments and labels that hold file paths.
var Names = []string{
	"path", "file", "filepath", "file_path", "filename", "target", "directory", "dir", "root",
}

const maxPaths = 1000 // in one list

// Paths are the paths in a call's arguments and labels. Make them with Of.
type Paths []source

// source is an argument or label that holds paths.
type source struct {
	name  string // as remarks call it
	paths []*reading
	wrong string // what it is instead of paths
}

// Of reads every argument and label that holds paths, in an order of its own.
func Of(args map[string]any, labels map[string]string) Paths {
	var out Paths
	inCase := map[string]bool{} // some tools take Path for path
	for name := range args {
		if lower := strictjson.Fold(name); lower != name {
			inCase[lower] = true
		}
	}
	for _, name := range Names {
		if v, ok := args[name]; ok {
			out = append(out, readSource(name, v))
		}
		if inCase[name] {
			out = append(out, source{name: name, wrong: "is there in another case"})
		}
	}
	for _, name := range Names {
		if v, ok := labels[name]; ok {
			out = append(out, readSource("the label "+name, v))
		}
	}
	return out
}

func readSource(name string, v any) source {
	s := source{name: name}
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
			s.paths = append(s.paths, read(text))
		}
	}
	return s
}

const (
	outside = "is elsewhere"
	noPath  = "no argument or label names a path"
	counts  = ", which counts as a match"
)

// SomeUnder is the reading of deny and require_approval: whether any path could be under one of the
// prefixes, and how.
func (ps Paths) SomeUnder(prefixes Prefixes) (held bool, say string) {
	if len(ps) == 0 {
		return true, noPath + counts
	}
	for _, s := range ps {
		if s.wrong != "" {
			return true, s.name + " " + s.wrong + counts
		}
		for _, path := range s.paths {
			for i := range prefixes {
				if how := prefixes[i].mayHold(path, len(ps) == 1); how != "" {
					return true, s.name + " " + how
				}
			}
		}
	}
	return false, "no path is under it"
}

// AllUnder is the reading of allow: whether every path is under one of the prefixes for sure, or
// what keeps one from it.
func (ps Paths) AllUnder(prefixes Prefixes) (held bool, say string) {
	if len(ps) == 0 {
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
	return true, "every path is under its path_prefix"
}
