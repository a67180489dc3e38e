package policies

import (
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
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
