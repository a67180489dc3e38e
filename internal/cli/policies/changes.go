package policies

import (
	"fmt"
	"slices"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

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
