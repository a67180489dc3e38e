package review

import (
	"cmp"
	"context"
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

func (a *app) waitFields(s *cli.Sheet, w *rest.Waiting) {
	if w == nil {
		return
	}
	s.Field("Waits for", w.For)
	if w.Until != nil {
		s.Field("Until", a.until(*w.Until))
	}
}

// until writes a time, and how far it is.
func (a *app) until(t time.Time) string {
	left := t.Sub(a.Now())
	if left <= 0 {
		return cli.Timestamp(t) + " (passed)"
	}
	return cli.Timestamp(t) + " (in " + cli.Span(left) + ")"
}

// warnings writes what is in a call's way, every line marked. It goes below everything else, where
// people look when the text stops.
func (a *app) warnings(v client.View) string {
	if v.Waiting == nil {
		return ""
	}
	s := a.NewSheet()
	if now := v.PolicyNow; now != nil {
		s.Warn("THE POLICY HAS CHANGED: " + now.Reason)
	}
	for _, p := range v.Waiting.Problems {
		s.Warn("WARNING (" + cli.Cell(p.Code, 40) + "): " + p.Message)
	}
	return s.String()
}

// noteProblems says below a list what keeps its calls, or any, from going on. It asks two questions
// however long the list is, and what nobody answers in time is left out: the list itself does not
// depend on it.
func (a *app) noteProblems(ctx context.Context, c *client.Client, views []client.View) {
	ctx, cancel := context.WithTimeout(ctx, problemsTimeout)
	defer cancel()
	if r, err := c.Readiness(ctx); err == nil {
		cause := "" // what the next one of these needs, and misses
		for _, name := range []string{"temporal", "namespace", "worker", "store"} {
			state := r.Checks[name]
			if state == "" || state == rest.CheckOK || cause != "" && name != "store" {
				continue
			}
			a.Note("warning: %s", cmp.Or(r.Detail[name], name+" "+string(state)))
			cause = name
		}
	}
	listed := map[string]bool{}
	for _, v := range views {
		if !v.Status.Ended() {
			listed[v.Tool] = true
		}
	}
	if len(listed) == 0 {
		return
	}
	tools, err := c.Tools(ctx)
	if err != nil {
		return
	}
	unserved := map[string][]string{} // tools by queue
	for _, t := range tools.Items {
		// The workers' own queue is the readiness check "worker".
		if listed[t.Name] && t.Served != nil && !*t.Served && t.Queue != approval.TaskQueue {
			unserved[t.Queue] = append(unserved[t.Queue], cli.Cell(t.Name, 80))
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(unserved)) {
		a.Note("warning: nobody polls the task queue %q of: %s. If such a call is approved now, it expires "+
			"unless the process that serves the queue comes back",
			approval.Display(queue, 100), strings.Join(unserved[queue], ", "))
	}
}
