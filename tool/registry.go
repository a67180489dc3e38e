package tool

import (
	"errors"
	"maps"
	"slices"

	"github.com/pawlhq/pawl/approval"
)

// Registry holds the tools of one worker or agent by name. It is immutable and safe for concurrent
// use.
type Registry struct {
	byName map[string]*Tool
}

// NewRegistry refuses nil tools and names that stand twice, all of them in one error.
func NewRegistry(tools ...*Tool) (*Registry, error) {
	r := &Registry{byName: make(map[string]*Tool, len(tools))}
	var problems []error
	for i, t := range tools {
		switch {
		case t == nil:
			problems = append(problems, approval.Errorf(approval.CodeInvalid, "tool %d of the registry is nil", i+1))
		case r.byName[t.name] != nil:
			problems = append(problems, approval.Errorf(approval.CodeInvalid,
				"tool %s is registered twice", quote(t.name)))
		default:
			r.byName[t.name] = t
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return r, nil
}

// Lookup returns the tool of this name.
func (r *Registry) Lookup(name string) (*Tool, bool) {
	t, ok := r.byName[name]
	return t, ok
}

// All returns the tools, sorted by name.
func (r *Registry) All() []*Tool {
	all := make([]*Tool, 0, len(r.byName))
	for _, name := range slices.Sorted(maps.Keys(r.byName)) {
		all = append(all, r.byName[name])
	}
	return all
}
