package health

import (
	"context"
	"errors"
)

// What a check may come to.
const (
	OK          = "ok"
	Unavailable = "unavailable" // can't be reached, or did not answer in time
	Absent      = "missing"     // can be asked, and what is needed is not there
	Changing    = "starting or stopping"
)

var (
	// ErrAbsent is wrapped by a probe that finds something missing.
	ErrAbsent = errors.New("missing")
	// ErrChanging is wrapped by a probe of a process that does not serve yet, or
	// not any more.
	ErrChanging = errors.New("starting or stopping")
)

// Check is one thing that a process needs.
type Check struct {
	Name string
	// Advisory checks are shown, but the process is ready without them.
	// Default: it is not.
	Advisory bool
	// Probe returns nil if all is well. It must be safe for concurrent use, and
	// should end when its context does; it is not waited for if it does not.
	Probe func(context.Context) error
}

// Readiness says which checks passed.
type Readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // by name; OK, Unavailable, Absent or Changing
}

// Ready runs checks side by side, until ctx ends at the latest. Each failure
// is told to failed, one after the other; nil tells nobody.
func Ready(ctx context.Context, checks []Check, failed func(check string, err error)) Readiness {
	type result struct {
		Check
		err error
	}
	results := make(chan result, len(checks))
	r := Readiness{Ready: true, Checks: make(map[string]string, len(checks))}
	for _, c := range checks {
		r.Checks[c.Name] = Unavailable // until it answers
		go func() { results <- result{c, c.Probe(ctx)} }()
	}
	for range checks {
		select {
		case done := <-results:
			r.Checks[done.Name] = word(done.err)
			if done.err != nil && failed != nil {
				failed(done.Name, done.err)
			}
		case <-ctx.Done():
		}
	}
	for _, c := range checks {
		r.Ready = r.Ready && (c.Advisory || r.Checks[c.Name] == OK)
	}
	return r
}

func word(err error) string {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrAbsent):
		return Absent
	case errors.Is(err, ErrChanging):
		return Changing
	}
	return Unavailable
}
