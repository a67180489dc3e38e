package backend

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter is a WHERE clause of conditions that must all hold, and its arguments.
type Filter struct {
	conditions []string
	Args       []any
}

func (f Filter) clone() Filter { return Filter{slices.Clone(f.conditions), slices.Clone(f.Args)} }

// add takes a condition, with %s where each of its values goes.
func (f *Filter) add(condition string, values ...any) {
	names := make([]any, len(values))
	for i, value := range values {
		f.Args = append(f.Args, value)
		names[i] = "$" + strconv.Itoa(len(f.Args))
	}
	f.conditions = append(f.conditions, fmt.Sprintf(condition, names...))
}

// equal asks for a value; an empty one does not restrict.
func (f *Filter) equal(column, value string) {
	if value != "" {
		f.in(column, []string{value})
	}
}

// within asks for times from since on and of before until; a zero one does not restrict.
func (f *Filter) within(column string, since, until time.Time) {
	if !since.IsZero() {
		f.add(column+" >= %s", since)
	}
	if !until.IsZero() {
		f.add(column+" < %s", until)
	}
}

// ofCall asks for values in the row of the call that an entry is about, in List.Sift; empty ones do not
// restrict.
// It looks each row up: a join might read all calls.
func (f *Filter) ofCall(columns [][2]string) {
	var wanted []string
	var values []any
	for _, c := range columns {
		switch column, value := c[0], c[1]; {
		case value == "":
		case !Storable(value):
			f.add("false")
			return
		default:
			wanted, values = append(wanted, "c."+column+" = %s"), append(values, value)
		}
	}
	if len(wanted) > 0 {
		f.add("(SELECT "+strings.Join(wanted, " AND ")+" FROM pawl.calls AS c WHERE c.id = looked.call)", values...)
	}
}

// in asks for one of some values. A single one is an equality, whose rows an index has in order.
func (f *Filter) in(column string, values []string) {
	var known []any
	for _, value := range values {
		if Storable(value) {
			known = append(known, value)
		}
	}
	switch len(known) {
	case 0:
		f.add("false")
	case 1:
		f.add(column+" = %s", known...)
	default:
		f.add(column+" IN (%s"+strings.Repeat(", %s", len(known)-1)+")", known...)
	}
}

// SQL is the clause, empty without conditions.
func (f Filter) SQL() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}
