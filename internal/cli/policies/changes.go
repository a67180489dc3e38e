package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

// fileChange is a file of one policy or of two. Its names differ where it was renamed.
type fileChange struct {
	was, will   string // empty: it is not there
	before, now string // its text
}

func (c fileChange) name() string { return cmp.Or(c.was, c.will) }

// fileChanges pairs the files of two policies: by their names, and those that are left by what is in
// them.
func fileChanges(was, will []rest.PolicyLayer) []fileChange {
	var changes, gone []fileChange
	fresh := slices.Clone(will)
	for _, l := range was {
		i := slices.IndexFunc(fresh, func(f rest.PolicyLayer) bool { return f.Name == l.Name })
		if i < 0 {
			gone = append(gone, fileChange{was: l.Name, before: l.Text})
			continue
		}
		changes = append(changes, fileChange{l.Name, l.Name, l.Text, fresh[i].Text})
		fresh = slices.Delete(fresh, i, i+1)
	}
	for _, c := range gone {
		best, most := -1, 0.0
		for i, f := range fresh {
			if share := commonShare(c.before, f.Text); share > most {
				best, most = i, share
			}
		}
		if most > 0.5 {
			c.will, c.now = fresh[best].Name, fresh[best].Text
			fresh = slices.Delete(fresh, best, best+1)
		}
		changes = append(changes, c)
	}
	for _, f := range fresh {
		changes = append(changes, fileChange{will: f.Name, now: f.Text})
	}
	slices.SortStableFunc(changes, func(x, y fileChange) int { return strings.Compare(x.name(), y.name()) })
	return changes
}

// commonShare is how much of the longer of two texts the other one has, too: 1 for equal texts.
// Lines are counted, but for empty ones.
func commonShare(a, b string) float64 {
	if a == b {
		return 1
	}
	count := map[string]int{}
	lines, others, common := 0, 0, 0
	for line := range strings.Lines(a) {
		if line = strings.TrimSpace(line); line != "" {
			count[line]++
			lines++
		}
	}
	for line := range strings.Lines(b) {
		if line = strings.TrimSpace(line); line != "" {
			others++
			if count[line] > 0 {
				count[line]--
				common++
			}
		}
	}
	return float64(common) / float64(max(lines, others, 1))
}

// policyChanges shows how one policy's files differ from another's, as programmers know it.
func (a *app) policyChanges(was, will []rest.PolicyLayer) (string, error) {
	var b strings.Builder
	for _, c := range fileChanges(was, will) {
		from, to := approval.Display(c.name(), 0), approval.Display(cmp.Or(c.will, c.was), 0)
		if c.was != c.will && c.before == c.now {
			fmt.Fprintf(&b, "%s is renamed to %s, and its text stays\n", from, to)
			continue
		}
		before, after := "active", "new"
		if c.was == "" {
			before = "not there"
		}
		if c.will == "" {
			after = "gone"
		}
		text, err := udiff.ToUnified(from+" ("+before+")", to+" ("+after+")",
			c.before, udiff.Lines(c.before, c.now), udiff.DefaultContextLines)
		if err != nil {
			return "", fmt.Errorf("comparing %s: %w", from, err)
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
