package policies

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/rest"
)

type diffChange struct {
	Name   string             `json:"name"`
	Place  string             `json:"place,omitempty"`
	Tool   string             `json:"tool"`
	Laxer  bool               `json:"laxer"`
	Shifts []policydiff.Shift `json:"shifts"`
	Old    approval.Verdict   `json:"old"`
	New    approval.Verdict   `json:"new"`
}

type diffDoc struct {
	Old      string       `json:"old"` // digests
	New      string       `json:"new"`
	Calls    int          `json:"calls"`    // compared
	Redacted int          `json:"redacted"` // of those, the ones that were recorded without some values
	Laxer    int          `json:"laxer"`
	Stricter int          `json:"stricter"`
	Changes  []diffChange `json:"changes"`
}

func diffJSON(old, new *policy.Set, r policydiff.Report) diffDoc {
	doc := diffDoc{
		Old: old.Digest(), New: new.Digest(), Calls: r.Calls, Redacted: r.Redacted,
		Laxer: len(r.Laxer()), Stricter: len(r.Stricter()), Changes: []diffChange{},
	}
	for _, c := range r.Changes {
		made := diffChange{
			Name: c.Case.Name, Place: c.Case.Place, Tool: c.Case.Call.Tool, Laxer: c.Laxer(),
			Shifts: c.Shifts, Old: c.Old, New: c.New,
		}
		doc.Changes = append(doc.Changes, made)
	}
	return doc
}

// Bounds of what is shown of changes that are alike. -o json has all of them.
const (
	maxTools    = 20
	maxExamples = 3 // calls of one tool
)

func (a *app) differences(r policydiff.Report) string {
	var b strings.Builder
	for _, g := range r.Groups() {
		word := a.Paint(cli.Yellow, "stricter")
		if g.Laxer() {
			word = a.Paint(cli.Red, "LAXER !!")
		}
		fmt.Fprintf(&b, "%s %s of %s\n", word, cli.Plural(g.Calls(), "call"), cli.Plural(len(g.Tools), "tool"))
		for _, s := range g.Shifts {
			line, mark := approval.Display(s.String(), 500), "-"
			if s.Laxer {
				line, mark = a.Paint(cli.Red, line), "!"
			}
			fmt.Fprintf(&b, "       %s %s\n", mark, line)
		}
		for i, t := range g.Tools {
			if i == maxTools {
				fmt.Fprintf(&b, "         and %s more\n", cli.Plural(len(g.Tools)-i, "tool"))
				break
			}
			a.examples(&b, t)
		}
	}
	laxer, stricter := len(r.Laxer()), len(r.Stricter())
	switch {
	case laxer+stricter == 0:
		fmt.Fprintf(&b, "no difference over %s\n", cli.Plural(r.Calls, "call"))
	case laxer == 0:
		fmt.Fprintf(&b, "%s: %d stricter, none laxer\n", cli.Plural(r.Calls, "call"), stricter)
	default:
		marked := a.Paint(cli.Red, fmt.Sprintf("%d LAXER", laxer))
		fmt.Fprintf(&b, "%s: %s, %d stricter\n", cli.Plural(r.Calls, "call"), marked, stricter)
	}
	return b.String()
}

func (a *app) examples(b *strings.Builder, t policydiff.ToolChanges) {
	tool := a.Paint(cli.Bold, cli.Cell(t.Tool, 0))
	fmt.Fprintf(b, "         %s, %s\n", tool, cli.Plural(len(t.Changes), "call"))
	rules := ""
	for i, c := range t.Changes {
		if i == maxExamples {
			fmt.Fprintf(b, "           and %d more\n", len(t.Changes)-i)
			break
		}
		// The place and name alone: the arguments of a real call may be secrets.
		fmt.Fprintf(b, "           %s\n", approval.Display(strings.TrimSpace(c.Case.Place+" "+c.Case.Name), 300))
		now := fmt.Sprintf("             old: %s\n             new: %s\n", ruleLine(c.Old), ruleLine(c.New))
		if now != rules {
			b.WriteString(now)
			rules = now
		}
	}
}

func ruleLine(v approval.Verdict) string {
	text := strings.TrimSpace(v.Policy.Layer + " " + v.Policy.Rule)
	if v.Policy.Why != "" {
		text += ", " + v.Policy.Why
	}
	return approval.Display(text, 300)
}

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
