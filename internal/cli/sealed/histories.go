package sealed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/pawlhq/pawl/audit/crosscheck"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/temporal"
	"github.com/pawlhq/pawl/store"
)

// dialTimeout bounds the connection to Temporal.
const dialTimeout = 10 * time.Second

// compare compares a store with the histories of Temporal's workflows.
func (v *verifyCommand) compare(ctx context.Context, s store.Store) (r crosscheck.Report, err error) {
	log := slog.New(slog.NewTextHandler(v.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	o, _, err := temporal.Encrypting(log, v.PayloadKeys)
	if err != nil {
		return r, err
	}
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.DialContext(dialing, o)
	if err != nil {
		return r, temporal.NoAnswer(o, err)
	}
	defer c.Close()
	retention, err := health.Retention(ctx, c.WorkflowService(), o.Namespace)
	if err != nil {
		return r, fmt.Errorf("the namespace %q: %w", o.Namespace, err)
	}
	id, err := s.ID(ctx)
	if err == nil {
		err = health.SameStore(ctx, c, v.TaskQueue, id)
	}
	if err != nil {
		return r, err
	}
	if o.DataConverter == nil {
		o.DataConverter = converter.GetDefaultDataConverter()
	}
	return crosscheck.Run(ctx, crosscheck.Options{
		Store: s, Temporal: c, Converter: o.DataConverter, TaskQueue: v.TaskQueue, Retention: retention,
		Progress: v.progress("calls compared so far: %d"),
	})
}

func describeCompared(r crosscheck.Report) string {
	var b strings.Builder
	if r.OK {
		fmt.Fprintf(&b, "ok: Temporal agrees with the store\n")
	} else {
		fmt.Fprintf(&b, "NOT OK: Temporal and the store disagree: %d\n", r.Disagreements)
	}
	row := func(name string, count int64, text string) {
		if count > 0 {
			fmt.Fprintf(&b, "  %-12s %d %s\n", name, count, text)
		}
	}
	fmt.Fprintf(&b, "  %-12s %d in the store, %d workflows in Temporal\n", "calls", r.Calls, r.Workflows)
	fmt.Fprintf(&b, "  %-12s %d whole\n", "compared", r.Compared)
	row("open", r.Open, "are under way, and were compared as far as they are")
	row("gone", r.Gone, "ended so long ago that Temporal does not have them any more")
	row("erased", r.Erased, "have no details any more: their status and permit were compared")
	row("not admitted", r.NotAdmitted, "workflows have not got into the store")
	for _, f := range r.Findings {
		mark := "!"
		if f.Known {
			mark = "-"
		}
		fmt.Fprintf(&b, "%s %s  %s\n    %s\n", mark, cli.Cell(f.CallID, 80), f.Kind, cli.Cell(f.Message, 600))
	}
	if len(r.Findings) == crosscheck.MaxFindings {
		fmt.Fprintf(&b, "only the first %d are shown\n", crosscheck.MaxFindings)
	}
	return b.String()
}
