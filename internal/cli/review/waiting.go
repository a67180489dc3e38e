package review

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

// problemsTimeout is how long a list looks for what is wrong around it.
const problemsTimeout = 3 * time.Second

// waitFields writes what an open call waits for.
func (a *app) waitFields(s *cli.Sheet, w *rest.Waiting) {
	if w == nil {
		return
	}
	s.Field("Waits for", w.For)
	if w.Until == nil {
		return
	}
	text := cli.Timestamp(*w.Until)
	if left := w.Until.Sub(a.Now()); left > 0 {
		text += " (in " + cli.Span(left) + ")"
	} else {
		text += " (passed)"
	}
	s.Field("Until", text)
}

// warnings writes what is in a call's way, every line marked. It goes below everything else, where
// people look when the text stops.
func (a *app) warnings(v client.View) string {
	if v.Waiting == nil {
		return ""
	}
	var b strings.Builder
	s := cli.Sheet{Wrapped: a.IsTerminal(a.Stdout)}
	for _, p := range v.Waiting.Problems {
		text := "WARNING (" + cli.Cell(p.Code, 40) + "): " + approval.Display(p.Message, 1000)
		for _, line := range s.Wrap(text, cli.LineWidth-3) {
			fmt.Fprintln(&b, a.Paint(cli.Red, "!! "+line))
		}
	}
	return b.String()
}

// findProblems returns what keeps the listed calls, or any, from going on. It asks two questions
// however long the list is, and what nobody answers in time is left out: the list itself does not
// depend on it.
func findProblems(ctx context.Context, c *client.Client, views []client.View) []string {
	ctx, cancel := context.WithTimeout(ctx, problemsTimeout)
	defer cancel()
	var found []string
	if r, err := c.Readiness(ctx); err == nil {
		for _, name := range []string{"temporal", "namespace", "store", "worker"} {
			if state := r.Checks[name]; state != "" && state != rest.CheckOK {
				found = append(found, cmp.Or(r.Detail[name], name+" "+string(state)))
			}
		}
	}
	listed := map[string]bool{}
	for _, v := range views {
		if !v.Status.Ended() {
			listed[v.Tool] = true
		}
	}
	if len(listed) == 0 {
		return found
	}
	tools, err := c.Tools(ctx)
	if err != nil {
		return found
	}
	unserved := map[string][]string{} // tools by queue
	for _, t := range tools.Items {
		// The workers' own queue is the readiness check "worker".
		if listed[t.Name] && t.Served != nil && !*t.Served && t.Queue != approval.TaskQueue {
			unserved[t.Queue] = append(unserved[t.Queue], cli.Cell(t.Name, 80))
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(unserved)) {
		found = append(found, fmt.Sprintf("nobody polls the task queue %q of: %s. If such a call is approved now, "+
			"it expires unless the process that serves the queue comes back",
			approval.Display(queue, 100), strings.Join(unserved[queue], ", ")))
	}
	return found
}

// noteProblems says below a list what findProblems finds.
func (a *app) noteProblems(ctx context.Context, c *client.Client, views []client.View) {
	for _, t := range findProblems(ctx, c, views) {
		a.Note("warning: %s", t)
	}
}
