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

// Set is a compiled policy. It never changes and is safe for concurrent use.
// Make one with Compile or Load.
type Set struct {
	layers []layer // by name
	digest string
}

type layer struct {
	name   string
	source File
	redact []string
	rules  []*rule          // with none
	exact  map[string]*rule // by tool
	star   *rule            // tool: "*"; nil if the layer has none
	none   *rule            // what the layer says if no layer has a match
}

type rule struct {
	kind    approval.VerdictKind
	risk    approval.Risk
	timeout approval.Duration // the rule's or its layer's; 0: not stated
	redact  []string          // with those of every layer
	layer   string
	where   string // for PolicyRef.Rule
}

// ReadFiles reads the files at paths. If some can't be read, the error is
// yamlfile.Problems, and the others are returned all the same, so that every
// problem of every file can be told at once.
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

// Load reads and compiles the files at paths. The error is yamlfile.Problems
// and holds every problem of every file.
func Load(paths ...string) (*Set, error) {
	files, err := ReadFiles(paths...)
	problems, _ := errors.AsType[yamlfile.Problems](err)
	return compile(files, problems)
}

// Compile compiles files, one layer each. No files make a set under which
// everything needs approval. The error is yamlfile.Problems and holds every
// problem of every file.
func Compile(files ...File) (*Set, error) { return compile(files, nil) }

// Inspect is Compile for those who only look at a policy: it also takes rules
// that require what this version does not execute, and Set.Unexecuted names
// them. Such a set is not for running calls; those that it requires too much
// for would end blocked.
func Inspect(files ...File) (*Set, error) { return compile(files, nil) }

// Check returns everything Compile would find wrong, and the warnings, by
// place. Nothing is wrong where every problem is a warning.
func Check(files ...File) yamlfile.Problems {
	_, err := compile(files, nil)
	problems, _ := errors.AsType[yamlfile.Problems](err)
	return problems
}

// Warnings are what is allowed in the files, but hardly meant.
func (s *Set) Warnings() yamlfile.Problems { return nil }

// Unexecuted are the problems for which Compile refuses a set that Inspect
// takes: requirements that this version of Pawl does not execute.
func (s *Set) Unexecuted() yamlfile.Problems { return nil }

func compile(files []File, problems yamlfile.Problems) (*Set, error) {
	s := &Set{}
	names := map[string]string{} // layer name to the place that gave it
	for _, f := range files {
		r := reader{problems: &problems, file: File{Name: f.Name, Data: bytes.Clone(f.Data)}, names: names}
		s.layers = append(s.layers, r.layer())
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(s.layers, func(a, b layer) int { return cmp.Compare(a.name, b.name) })
	s.digest = digest(s.layers)
	spreadRedactions(s.layers)
	return s, nil
}

// spreadRedactions gives every rule the redactions of all layers.
func spreadRedactions(layers []layer) {
	var all []string
	for _, l := range layers {
		all = union(all, l.redact)
	}
	for _, l := range layers {
		for _, r := range l.rules {
			if len(r.redact) == 0 {
				r.redact = all // most rules name none: they share one list
			} else {
				r.redact = union(all, r.redact)
			}
		}
	}
}

// digest covers what verdicts depend on: each layer's name and bytes. Lengths
// keep one layer's end from being read as the next one's beginning.
func digest(layers []layer) string {
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

// Digest is SHA-256, in hex, over the layers' names and the files' bytes. It
// depends neither on the files' order nor on where they lie.
func (s *Set) Digest() string { return s.digest }

// Sources returns the files the set was compiled from, by layer name.
// Compiling them again gives an equal set.
func (s *Set) Sources() []File {
	files := make([]File, len(s.layers))
	for i, l := range s.layers {
		files[i] = File{Name: l.source.Name, Data: bytes.Clone(l.source.Data)}
	}
	return files
}
