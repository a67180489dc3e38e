package access

import (
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
)

// each does one thing to all of these IDs, and tells of each. It goes on after one that is not
// there: the others are to be stopped.
func each[T any](ids []string, one func(id string) (T, error), tell func(T) error) ([]T, error) {
	var errs []error
	done := []T{}
	for _, id := range ids {
		x, err := one(id)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", approval.Display(id, 80), err))
			continue
		}
		done = append(done, x)
		errs = append(errs, tell(x))
	}
	return done, errors.Join(errs...)
}
