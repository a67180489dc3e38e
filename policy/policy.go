package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// File is the source of one layer.
type File struct {
	Name string // as problems and verdicts call it; its base is the default layer name
	Data []byte // YAML
}

// Set is a compiled policy. It never changes and is safe for concurrent use. Make one with Compile
// or Load.
type Set struct {
	layers     []*layer // by name
	digest     string
	redact     []string // of every layer that is for all calls
	warnings   yamlfile.Problems
	unexecuted yamlfile.Problems
}

// ReadFiles reads the files at paths. If some can't be read, the error is yamlfile.Problems, and
// the others are returned all the same, so that every problem of every file can be told at once.
func ReadFiles(paths ...string) ([]File, error) {
	var problems yamlfile.Problems
	var files []File
	for _, path := range paths {
		if data, ok := yamlfile.ReadFile(path, &problems); ok {
			files = append(files, File{Name: path, Data: data})
		}
	}
	return files, problems.Err()
}

// Load reads and compiles the files at paths. The error is yamlfile.Problems and holds every
// problem of every file.
func Load(paths ...string) (*Set, error) {
	files, err := ReadFiles(paths...)
	unread, _ := errors.AsType[yamlfile.Problems](err)
	set, problems := compile(files)
	if err := append(append(unread, problems...), set.unexecuted...).Err(); err != nil {
		return nil, err
	}
	return set, nil
}

// Compile compiles files, one layer each. No files make a set under which everything needs
// approval. The error is yamlfile.Problems and holds every problem of every file.
func Compile(files ...File) (*Set, error) {
	set, problems := compile(files)
	if err := append(problems, set.unexecuted...).Err(); err != nil {
		return nil, err
	}
	return set, nil
}

// Inspect is Compile for those who only look at a policy: it also takes rules that require what
// this version does not execute, and Set.Unexecuted names them. Such a set is not for running
// calls; those that it requires too much for would end blocked.
func Inspect(files ...File) (*Set, error) {
	set, problems := compile(files)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return set, nil
}

// Check returns everything Compile would find wrong, and the warnings, by place. Nothing is wrong
// where every problem is a warning.
func Check(files ...File) yamlfile.Problems {
	set, problems := compile(files)
	return yamlfile.Sort(append(problems, set.unexecuted...))
}

// Warnings are about what the files may say, but hardly mean.
func (s *Set) Warnings() yamlfile.Problems { return slices.Clone(s.warnings) }

// Unexecuted are the problems for which Compile refuses a set that Inspect takes: requirements that
// this version of Pawl does not execute.
func (s *Set) Unexecuted() yamlfile.Problems { return slices.Clone(s.unexecuted) }

// compile reads files. The set is of use only if no problem is an error.
func compile(files []File) (*Set, yamlfile.Problems) {
	var problems, unexecuted yamlfile.Problems
	r := reader{
		problems: &problems, unexecuted: &unexecuted, names: map[string]string{},
		conditions: map[string]*condition{}, patterns: map[string]*pattern{}, groups: map[string]group{},
		compareSteps: maxCompareSteps,
	}
	s := &Set{}
	for _, f := range files {
		s.layers = append(s.layers, r.readLayer(File{Name: f.Name, Data: bytes.Clone(f.Data)}))
	}
	r.checkGroups()
	if len(files) > 0 && len(r.observing) == len(files) {
		r.observing[0].Warn("no layer decides: every call needs approval",
			"let one layer decide, by leaving out observe: true")
	}
	s.warnings, s.unexecuted = problems.Warnings(), yamlfile.Sort(unexecuted)
	slices.SortFunc(s.layers, func(a, b *layer) int { return cmp.Compare(a.name, b.name) })
	s.digest = digest(s.layers)
	s.redactAlways()
	return s, problems
}

// digest covers what verdicts depend on: each layer's name and bytes. Lengths keep one layer's end
// from being read as the next one's beginning.
func digest(layers []*layer) string {
	h := sha256.New()
	h.Write([]byte("pawl policy v1\x00"))
	for _, l := range layers {
		for _, part := range [][]byte{[]byte(l.name), l.source.Data} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Digest is SHA-256, in hex, over the layers' names and the files' bytes. It depends neither on the
// files' order nor on where they lie.
func (s *Set) Digest() string { return s.digest }

// Redacts reports whether the policy hides values of any call.
func (s *Set) Redacts() bool {
	return slices.ContainsFunc(s.layers, func(l *layer) bool {
		return len(l.redact) > 0 || slices.ContainsFunc(l.rules, func(r *rule) bool { return len(r.redact) > 0 })
	})
}

// Sources returns the files the set was compiled from, by layer name. Compiling them again gives an
// equal set.
func (s *Set) Sources() []File {
	files := make([]File, len(s.layers))
	for i, l := range s.layers {
		files[i] = File{Name: l.source.Name, Data: bytes.Clone(l.source.Data)}
	}
	return files
}

// AllowsByArguments reports whether a rule lets calls of the tool run for what their arguments are.
func (s *Set) AllowsByArguments(tool string) bool {
	return slices.ContainsFunc(s.layers, func(l *layer) bool {
		return !l.observe && slices.ContainsFunc(l.rules, func(r *rule) bool {
			byArguments := len(r.fields) > 0 || r.when != nil && r.when.args
			return r.kind == approval.VerdictAllow && byArguments &&
				slices.ContainsFunc(r.names, func(n string) bool { return glob(n).match(tool) })
		})
	})
}

// DependsOnTime reports whether a verdict may hang on when a call is judged.
func (s *Set) DependsOnTime() bool {
	return slices.ContainsFunc(s.layers, func(l *layer) bool {
		return slices.ContainsFunc(l.rules, func(r *rule) bool { return r.when != nil && r.when.now })
	})
}

// rule is one rule of a layer, whatever form it is written in. Rules never change after compiling.
type rule struct {
	layer  *layer
	line   int
	where  string   // file:line:column
	form   form     // what kind of rule it is
	names  []string // of tools, exact or patterns
	match  *matcher // nil: every call
	fields []field  // of a section's entry
	when   *condition
	absent bool // what a call leaves out counts as a match
	broken bool // its conditions have a problem: there are others than are here

	kind        approval.VerdictKind
	audited     bool
	risk        approval.Risk
	timeout     approval.Duration // the rule's or its layer's; 0: not stated
	ownTimeout  bool              // it is the rule's
	validFor    approval.Duration // 0: not stated
	collapse    bool              // identical calls that wait are one request
	redact      []string
	requirement *approval.Requirement // nil: one approval
	short       string                // for PolicyRef.Rule
}

// form is how a rule is written, as it is shown.
type form string

const (
	formTool      form = "tool" // an entry of rules
	formDeny      form = "deny"
	formRequire   form = "require_approval"
	formAllow     form = "allow"
	formUnmatched form = "unmatched"
	formClassify  form = "classify"
)

// conditional reports whether the rule is not for every call of its tools.
func (r *rule) conditional() bool {
	return !r.match.all() || len(r.fields) > 0 || r.when != nil || r.broken
}
