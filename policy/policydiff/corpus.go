package policydiff

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/pawlhq/pawl/policy/policytest"
)

// Given goes through cases that are at hand.
func Given(cases []policytest.Case) iter.Seq2[policytest.Case, error] {
	return func(yield func(policytest.Case, error) bool) {
		for _, c := range cases {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Lister returns the payloads of one page of the audit entries of a kind, and the cursor of the
// next page: empty after the last one.
type Lister func(ctx context.Context, kind, cursor string) (page []json.RawMessage, next string, err error)

// Recorded goes through the calls in an audit log, as they were asked for: those that were allowed
// or had to wait for people, then those that were blocked. It ends with an error where list fails
// or ctx ends. Values that were redacted are missing from the calls; see policytest.Case.Redacted.
func Recorded(ctx context.Context, list Lister) iter.Seq2[policytest.Case, error] {
	return func(yield func(policytest.Case, error) bool) {
		for _, kind := range policytest.EntryKinds {
			for cursor, more := "", true; more; more = cursor != "" {
				payloads, next, err := list(ctx, kind, cursor)
				if err != nil {
					yield(policytest.Case{}, err)
					return
				}
				for _, payload := range payloads {
					if err := context.Cause(ctx); err != nil {
						yield(policytest.Case{}, err)
						return
					}
					if c, ok := policytest.FromEntry(payload); ok && !yield(c, nil) {
						return
					}
				}
				cursor = next
			}
		}
	}
}
