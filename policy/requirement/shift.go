package requirement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

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

// Demand compares what makes a verdict stricter by being there.
func (s *Shifts) Demand(field string, old, new bool) {
	if old != new {
		s.Add(field, fmt.Sprint(old), fmt.Sprint(new), old)
	}
}

// Freedom compares what makes a verdict laxer by being there.
func (s *Shifts) Freedom(field string, old, new bool) {
	if old != new {
		s.Add(field, fmt.Sprint(old), fmt.Sprint(new), new)
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
