package verify

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/audit/tree"
	"golang.org/x/mod/sumdb/tlog"
)

// expected is a checkpoint of this log, or of another one, that was seen before.
type expected struct {
	origin  string
	at      tlog.Tree
	ours    bool // a key of this log signed it
	from    string
	differs bool // the tree had another root at that size
}

// expect notes what was seen before.
func (v *verifier) expect() error {
	keys := v.o.AnyName
	if keys == nil {
		keys = v.o.Known
	}
	add := func(signed, from string) (foreign bool, err error) {
		origin, t, foreign, err := open(signed, keys)
		if err == nil && t.N > 0 {
			v.expected = append(v.expected, expected{origin: origin, at: t, ours: !foreign, from: from})
		}
		return foreign, err
	}
	for _, signed := range v.o.State {
		if _, err := add(signed, "that this verifier saw before"); err != nil {
			return fmt.Errorf("the checkpoint that was seen before: %w", err)
		}
	}
	for _, other := range v.o.Others {
		foreign, err := add(other.Signed, "in "+other.From)
		if err == nil && foreign {
			err = errors.New("none of the keys that were given signed it")
		}
		if err != nil {
			return fmt.Errorf("the checkpoint in %s: %w", other.From, err)
		}
	}
	slices.SortFunc(v.expected, func(a, b expected) int { return cmp.Compare(a.at.N, b.at.N) })
	return nil
}

// goesOn looks whether the log goes on from a checkpoint that was seen before.
func (v *verifier) goesOn(x expected) error {
	size, now := v.tree.Size(), v.report.Origin
	at, renamed := tree.Renamed(v.renames, x.origin, now)
	later := ""
	if renamed {
		later = fmt.Sprintf(". The log was renamed to %q after %d entries", now, at)
	}
	switch {
	case !x.ours && !renamed && x.origin != now:
		return nil // it is of another log
	case v.o.Renamed && x.origin != now && len(v.renames) > 0: // also where the backup lacks that name
		v.report.accepted = append(v.report.accepted, x.origin)
		return nil
	case !renamed && x.origin != now && now != "":
		return v.fail(Forked, nil, nil, "the checkpoint %s is of the log %q, signed by the same key, and no entry of "+
			"this log, %q, says that it was renamed. Logs that share a key are not told apart", x.from, x.origin, now)
	case x.at.N <= size && !x.differs:
		return nil
	case x.at.N > size:
		return v.fail(RolledBack, nil, &size, "it and what follows is missing: the checkpoint %s is of %d entries, "+
			"and %d are there%s", x.from, x.at.N, size, later)
	}
	return v.fail(Forked, nil, nil, "the first %d entries are not those of the checkpoint %s%s", x.at.N, x.from, later)
}
