package yamlfile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/rest"
)

// Problem is one thing wrong in a file.
type Problem = rest.FileProblem

// What a hostile file of nothing but mistakes can cost. Warnings have a bound of their own: they
// must not crowd an error out, and so let a file load.
const (
	maxProblems = 1000
	maxWarnings = 100
)

// Problems collects what is wrong in one file or in several. As an error it shows one problem a
// line. The zero value is ready to use.
type Problems []Problem

// Add notes a problem. Beyond the first 1,000 problems, and the first 100 warnings, none are kept.
func (ps *Problems) Add(p Problem) {
	if len(*ps) >= maxProblems+maxWarnings+2 {
		return
	}
	most, same := maxProblems, 0
	if p.Warning {
		most = maxWarnings
	}
	for _, other := range *ps {
		if other.Warning == p.Warning {
			same++
		}
	}
	switch {
	case same < most:
		*ps = append(*ps, p)
	case same == most:
		*ps = append(*ps, Problem{
			File: p.File, Message: "there are more problems than are shown", Hint: "correct the others first",
			Warning: p.Warning,
		})
	}
}

// Err returns nil where no problem is more than a warning. Otherwise it returns Problems without
// the warnings, sorted by place, each standing once.
func (ps Problems) Err() error {
	if errs := ps.sorted(false); len(errs) > 0 {
		return errs
	}
	return nil
}

// Warnings returns the warnings, sorted by place, each standing once. The list is never nil.
func (ps Problems) Warnings() Problems { return ps.sorted(true) }

// Sort orders problems by place, and drops those that stand twice.
func Sort(ps Problems) Problems {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message), cmp.Compare(a.Hint, b.Hint),
		)
	})
	return slices.Compact(ps)
}

func (ps Problems) sorted(warnings bool) Problems {
	return Sort(slices.DeleteFunc(append(Problems{}, ps...), func(p Problem) bool {
		return p.Warning != warnings
	}))
}

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
