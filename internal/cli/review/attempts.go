package review

import (
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/present"
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
		fmt.Fprintf(s, "  Changed by %s:\n", next)
		changes := present.Compare(a.Tool, tool, a.Changed)
		for _, b := range changes {
			if b.Name == nil {
				s.Lines(b)
			} else {
				s.Block(b)
			}
		}
		switch {
		case a.MoreChanged > 0:
			fmt.Fprintf(s, "  and %s\n", approval.Plural(a.MoreChanged, "more change"))
		case len(changes) == 0:
			s.WriteString("  nothing\n")
		}
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
