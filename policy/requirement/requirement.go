// Package requirement is the table of the words by which a rule says how people approve: what each
// part of a requirement is called, and how two requirements are added up, compared and described.
// The rest goes by it: policy reads the words from files, each by the type of its part; approval
// says which of them this version executes (approval.Executed).
//
// A new word is a field of approval.Requirement and a row in words.
package requirement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Names are the words, in the table's order.
func Names() []string {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = w.name
	}
	return names
}

// Part is a pointer to what a word says in r, for instance a *bool; nil if there is no such word.
func Part(r *approval.Requirement, name string) any {
	for _, w := range words {
		if w.name == name {
			return w.part(r)
		}
	}
	return nil
}

// Clone shares nothing with r.
func Clone(r *approval.Requirement) *approval.Requirement {
	c := *r
	for _, w := range words {
		w.clone(&c)
	}
	return &c
}

// Sum is what meets both a and b: everything that either demands, and nothing that one of them does
// not permit, but for escalations, of which it has those of both. It shares nothing with them.
func Sum(a, b *approval.Requirement) *approval.Requirement {
	sum, b := Clone(a), Clone(b)
	for _, w := range slices.Backward(words) { // decisions goes by what people were asked for before
		w.join(sum, b)
	}
	return sum
}

// Compare adds to shifts in what new asks people for less than old, or for more.
func Compare(shifts *Shifts, old, new *approval.Requirement) {
	for _, w := range words {
		w.compare(shifts, old, new)
	}
}

// Describe says what people must do, a line for each demand. nil demands nothing.
func Describe(r *approval.Requirement) []string {
	var lines []string
	if r != nil {
		for _, w := range words {
			lines = append(lines, w.describe(r)...)
		}
	}
	return lines
}

// word is a row of the table.
type word struct {
	name     string
	part     func(*approval.Requirement) any
	clone    func(*approval.Requirement)            // in place
	join     func(sum, other *approval.Requirement) // sum is one of the two before, and their sum afterwards
	compare  func(shifts *Shifts, old, new *approval.Requirement)
	describe func(*approval.Requirement) []string
}

// row is a word that looks at one part of a requirement only, of the type T.
type row[T any] struct {
	name    string
	part    func(*approval.Requirement) *T
	clone   func(T) T // nil: there is nothing to share
	join    func(a, b T) T
	compare func(shifts *Shifts, name string, old, new T) // nil: neither is laxer
	// describe says what is asked of people, and nothing for what holds without the word, too.
	describe func(T) []string
}

func (r row[T]) word() word {
	return word{
		name: r.name,
		part: func(of *approval.Requirement) any { return r.part(of) },
		clone: func(of *approval.Requirement) {
			if r.clone != nil {
				*r.part(of) = r.clone(*r.part(of))
			}
		},
		join: func(sum, other *approval.Requirement) {
			*r.part(sum) = r.join(*r.part(sum), *r.part(other))
		},
		compare: func(shifts *Shifts, old, new *approval.Requirement) {
			if r.compare != nil {
				r.compare(shifts, r.name, *r.part(old), *r.part(new))
			}
		},
		describe: func(of *approval.Requirement) []string { return r.describe(*r.part(of)) },
	}
}

// Shift is one respect in which a verdict changes. Its texts are fit to show.
type Shift struct {
	Field string `json:"field"` // as the verdict's JSON calls it, and more where that is not enough
	Old   string `json:"old"`
	New   string `json:"new"`
	Laxer bool   `json:"laxer"` // else stricter
}

func (s Shift) String() string { return fmt.Sprintf("%s: %s → %s", s.Field, s.Old, s.New) }

// Shifts collects them.
type Shifts []Shift

const none = "none"

// Add adds a shift.
func (s *Shifts) Add(field, old, new string, laxer bool) {
	*s = append(*s, Shift{field, old, new, laxer})
}

// Rank compares ranks of which the higher is the stricter.
func (s *Shifts) Rank(field string, old, new int, oldText, newText string) {
	if old != new {
		s.Add(field, oldText, newText, new < old)
	}
}

// Count compares numbers.
func (s *Shifts) Count(field string, old, new int, moreIsLaxer bool) {
	if old != new {
		s.Add(field, fmt.Sprint(old), fmt.Sprint(new), new > old == moreIsLaxer)
	}
}

// Flag compares what makes a verdict laxer, or else stricter, by being there.
func (s *Shifts) Flag(field string, old, new, laxer bool) {
	if old != new {
		s.Add(field, fmt.Sprint(old), fmt.Sprint(new), new == laxer)
	}
}

// Limit compares lengths of time of which the longer is the laxer.
func (s *Shifts) Limit(field string, old, new approval.Duration) {
	if old != new {
		s.Add(field, old.Short(), new.Short(), new > old)
	}
}

// Names compares lists of names of which more are stricter.
func (s *Shifts) Names(field string, old, new []string, same func(a, b string) bool) {
	without := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(name string) bool {
			return slices.ContainsFunc(b, func(other string) bool { return same(name, other) })
		})
	}
	if lost := without(old, new); len(lost) > 0 {
		s.Add(field, shown(lost), none, true)
	}
	if added := without(new, old); len(added) > 0 {
		s.Add(field, none, shown(added), false)
	}
}

func shown(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = approval.Display(name, 80)
	}
	return strings.Join(out, ", ")
}
