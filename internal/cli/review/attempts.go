package review

import (
	"encoding/json"
	"fmt"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

// attempts shows what the agent tried before a call, and what it changed from one to the next. All of
// it is somebody else's text.
func attempts(s *cli.Sheet, v client.View) {
	for i, a := range v.Attempts {
		s.Field("Attempt", pastCall(a.PastCall))
		s.Quote("  Notes:", a.Notes)
		tool, next := v.Tool, "this call"
		if i+1 < len(v.Attempts) {
			tool, next = v.Attempts[i+1].Tool, "the next attempt"
		}
		var lines []string
		if a.Tool != tool {
			lines = append(lines, "- tool "+a.Tool, "+ tool "+tool)
		}
		for _, c := range a.Changed {
			lines = append(lines, change(c)...)
		}
		if a.MoreChanged > 0 {
			lines = append(lines, fmt.Sprintf("and %d more changes", a.MoreChanged))
		}
		if len(lines) == 0 {
			lines = []string{"nothing"}
		}
		s.Quote("  Changed by "+next+":", strings.Join(lines, "\n"))
	}
	for _, p := range v.Previous {
		s.Field("Same before", pastCall(p))
		s.Quote("  Notes:", p.Notes)
	}
}

func pastCall(p rest.PastCall) string {
	text := p.ID + ", " + strings.ReplaceAll(string(p.Status), "_", " ")
	if p.By != "" {
		text += ", decided by " + p.By
	}
	return text + ", " + cli.Timestamp(p.At)
}

// change is one change as lines that begin with - and +. Texts of several lines are compared line by
// line.
func change(c rest.Change) []string {
	path := c.Path
	if path == "" {
		path = "all arguments"
	}
	if c.Hidden {
		path += " (hidden in part or whole: it may have changed)"
		if string(c.Was) == string(c.Now) {
			return []string{"? " + path}
		}
	}
	var was, now string
	texts := json.Unmarshal(c.Was, &was) == nil && json.Unmarshal(c.Now, &now) == nil
	if texts && strings.Contains(was+now, "\n") {
		unified := strings.TrimSuffix(udiff.Unified("before", "after", was, now), "\n")
		return append([]string{"  " + path + ":"}, strings.Split(unified, "\n")...)
	}
	var lines []string
	if len(c.Was) > 0 {
		lines = append(lines, "- "+path+": "+approval.Display(string(c.Was), 0))
	}
	if len(c.Now) > 0 {
		lines = append(lines, "+ "+path+": "+approval.Display(string(c.Now), 0))
	}
	return lines
}
