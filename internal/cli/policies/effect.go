package policies

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	udiff "github.com/aymanbagabas/go-udiff"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/rest"
)

// effectTime bounds how long recorded calls are compared. Compiling both policies comes on top:
// seconds, for the largest.
const effectTime = 5 * time.Second

// policyEffect is what a new policy does to the calls that were recorded lately.
type policyEffect struct {
	old, new *policy.Set
	report   policydiff.Report
	cut      bool  // there are more calls than were compared in time
	err      error // why that is unknown: the calls, or this Pawl can't read one of the policies
}

func (a *app) effectOf(
	ctx context.Context, from lister, was rest.ActivePolicy, will []rest.PolicyLayer,
) (e policyEffect) {
	if e.old, e.err = compileLayers(was.Layers, was.Digest); e.err != nil {
		return e
	}
	if e.new, e.err = policy.Inspect(admin.Files(will)...); e.err != nil {
		return e
	}
	limited, cancel := context.WithTimeout(ctx, effectTime)
	defer cancel()
	recent := entriesSince(from, a.Now().Add(-recordedFor))
	e.report, e.err = policydiff.Diff(e.old, e.new, policydiff.Recorded(limited, recent))
	if e.err != nil && limited.Err() != nil && ctx.Err() == nil {
		e.cut, e.err = true, nil
	}
	return e
}

// clear reports whether calls were compared, and none of them is judged less strictly than before.
func (e policyEffect) clear() bool { return e.err == nil && e.report.Clear() }

func (e policyEffect) json() any {
	if e.err != nil {
		return struct {
			Error string `json:"error"`
		}{e.err.Error()}
	}
	return struct {
		diffDoc
		Cut bool `json:"cut,omitempty"`
	}{diffJSON(e.old, e.new, e.report), e.cut}
}

// printEffect says what the new policy does to recorded calls, or why that is unknown.
func (a *app) printEffect(e policyEffect) error {
	if e.err != nil {
		a.Note("warning: Pawl can't say which calls are judged less strictly: %v", e.err)
		return nil
	}
	if e.report.Calls == 0 {
		a.Note("warning: nothing was compared: no call was recorded in the last %d days; "+
			"'pawl policy diff --calls' compares over suites", recordedDays)
	} else {
		heading := fmt.Sprintf("\nOver the calls recorded in the last %d days:\n", recordedDays)
		if err := a.Print(heading + a.differences(e.report)); err != nil {
			return err
		}
	}
	a.noteRedacted(e.report)
	if e.cut {
		a.Note("warning: the comparison stopped after %v; 'pawl policy diff --recorded' compares over all "+
			"recorded calls", effectTime)
	}
	return nil
}

// policyChanges shows how one policy's files differ from another's, as programmers know it.
func (a *app) policyChanges(was, will []rest.PolicyLayer) (string, error) {
	type change struct{ name, from, to, old, new string }
	var changes []change
	find := func(layers []rest.PolicyLayer, name string) (string, bool) {
		i := slices.IndexFunc(layers, func(l rest.PolicyLayer) bool { return l.Name == name })
		if i < 0 {
			return "", false
		}
		return layers[i].Text, true
	}
	for _, l := range was {
		text, stays := find(will, l.Name)
		c := change{l.Name, "active", "new", l.Text, text}
		if !stays {
			c.to = "gone"
		}
		changes = append(changes, c)
	}
	for _, l := range will {
		if _, there := find(was, l.Name); !there {
			changes = append(changes, change{l.Name, "not there", "new", "", l.Text})
		}
	}
	slices.SortStableFunc(changes, func(x, y change) int { return strings.Compare(x.name, y.name) })
	var b strings.Builder
	for _, c := range changes {
		name := approval.Display(c.name, 0)
		text, err := udiff.ToUnified(name+" ("+c.from+")", name+" ("+c.to+")",
			c.old, udiff.Lines(c.old, c.new), udiff.DefaultContextLines)
		if err != nil {
			return "", fmt.Errorf("comparing %s: %w", name, err)
		}
		b.WriteString(a.paintDiff(approval.DisplayLines(strings.ReplaceAll(text, "\r\n", "\n"), 0)))
	}
	return b.String(), nil
}

// paintDiff marks what goes and what comes. The text is safe already.
func (a *app) paintDiff(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "-"):
			lines[i] = a.Paint(cli.Red, line)
		case strings.HasPrefix(line, "+"):
			lines[i] = a.Paint(cli.Green, line)
		}
	}
	return strings.Join(lines, "\n")
}
