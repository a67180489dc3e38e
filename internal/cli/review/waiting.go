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

// noteProblems says below a list what keeps its calls, or any, from going on. It asks two questions
// however long the list is, and what nobody answers in time is left out: the list itself does not
// depend on it.
func (a *app) noteProblems(ctx context.Context, c *client.Client, views []client.View) {
	ctx, cancel := context.WithTimeout(ctx, problemsTimeout)
	defer cancel()
	if r, err := c.Readiness(ctx); err == nil {
		for _, name := range []string{"temporal", "namespace", "store", "worker"} {
			if state := r.Checks[name]; state != "" && state != rest.CheckOK {
				a.Note("warning: %s", cmp.Or(r.Detail[name], name+" "+string(state)))
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
