package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/worker"
)

const (
	// maxNamed is how many calls a finding names.
	maxNamed = 5
	// maxLooked is how many open calls are looked for in Temporal.
	maxLooked = 1000
	// reconciled is when workers have ended the calls on which Temporal and the store disagree.
	reconciled = 20 * time.Minute
)

// named is a call that needs a person, and why.
type named struct{ id, why string }

// list makes a finding of calls, each in a line of its own: of at most 80 columns, as long as IDs are
// Pawl's own. more counts those that are not among them.
func list(what, state, summary string, of []named, more int) finding {
	var b strings.Builder
	b.WriteString(summary)
	for i, n := range of {
		if i == maxNamed {
			more += len(of) - maxNamed
			break
		}
		fmt.Fprintf(&b, "\n%s  %s", cell(n.id), cell(n.why))
	}
	if more > 0 {
		fmt.Fprintf(&b, "\nand %d more", more)
	}
	return finding{Name: what, State: state, Detail: b.String()}
}

// cell is a text in at most 31 columns, as an ID of Pawl's has: two of them fit a line.
func cell(text string) string {
	const most = 31
	shown := []rune(cli.Cell(text, 200))
	if len(shown) > most {
		return string(shown[:most-1]) + approval.CutMark
	}
	return string(shown)
}

// checkPeople lists what only a person can put right: calls of which nobody knows whether they ran, and
// those on which Temporal and the store disagree.
func (d *doctorCommand) checkPeople(ctx context.Context) []finding {
	if d.store == nil {
		return nil // checkStore has said so
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	findings := []finding{d.unsettled(ctx)}
	if d.temporal != nil {
		findings = append(findings, d.restored(ctx), d.disagreeing(ctx))
	}
	return findings
}

// unsettled lists requests of which nobody has said what became of them.
func (d *doctorCommand) unsettled(ctx context.Context) finding {
	const what = "unknown outcomes"
	page, err := d.store.Calls(ctx, store.CallQuery{
		Requests: true, Unsettled: true, Limit: maxNamed,
		Statuses: []approval.Status{approval.StatusOutcomeUnknown},
	})
	if err != nil {
		return failed(what, err, "")
	}
	if page.Total == 0 {
		return found(what, stateOK, "none that a person has to settle")
	}
	var of []named
	for _, v := range page.Items {
		of = append(of, named{v.ID, v.Tool})
	}
	return list(what, stateToDo, fmt.Sprintf("calls that may have run: %d", page.Total), of,
		page.Total-len(of)).advise("look at the tools' own records, then 'pawl settle ID'")
}

// restored reports whether the store seems to be restored, and lists what it lost that goes on.
func (d *doctorCommand) restored(ctx context.Context) finding {
	const what = "restored store"
	var unread []named
	err := worker.CheckRestored(ctx, d.temporal, d.options.Namespace, d.TaskQueue, d.store,
		func(id string, _ error) { unread = append(unread, named{id, "its row can't be read"}) })
	if errors.Is(err, worker.ErrRestored) {
		return finding{Name: what, State: stateFailed, Detail: "Temporal knows more of its calls"}.
			advise("see \"Backups and restores\" in docs/operations.md: workers\n" +
				"refuse this store until 'pawl store restored'")
	}
	var of []named
	if err == nil {
		err = worker.Lost(ctx, d.temporal, d.options.Namespace, d.TaskQueue, d.store, func(id, _ string) error {
			of = append(of, named{id, "goes on in Temporal"})
			return nil
		})
	}
	switch {
	case err != nil:
		return failed(what, err, "")
	case len(of) == 0 && len(unread) > 0:
		return list(what, stateFailed, fmt.Sprintf("calls that can't be compared: %d", len(unread)), unread, 0).
			advise("run 'pawl audit verify', and look at them in Temporal")
	case len(of) == 0:
		return found(what, stateOK, "it lacks no call that Temporal knows of")
	}
	said := fmt.Sprintf("calls that it does not have: %d", len(of))
	if len(unread) > 0 {
		said += fmt.Sprintf("; that can't be compared: %d", len(unread))
	}
	return list(what, stateFailed, said, append(of, unread...), 0).
		advise("workers end those that wait within ten minutes. Of the others\n" +
			"look whether they ran, and terminate their workflows")
}

// disagreeing lists calls that are open in the store and not in Temporal, of which workers should have
// found an end.
func (d *doctorCommand) disagreeing(ctx context.Context) finding {
	const what = "open calls"
	c := calls.New(calls.Options{
		Temporal: d.temporal, Namespace: d.options.Namespace, TaskQueue: d.TaskQueue, Timeout: d.Timeout,
	})
	var of []named
	looked, more := 0, false
	err := worker.Disagreeing(ctx, d.store, c, reconciled, func(p worker.Disagreement) (bool, error) {
		for _, id := range p.Ended {
			of = append(of, named{id, "its workflow has ended"})
		}
		for _, id := range p.Missing {
			of = append(of, named{id, "its workflow is gone"})
		}
		looked, more = looked+p.Looked, !p.Last
		return looked < maxLooked, nil
	})
	if err != nil {
		return failed(what, err, "")
	}
	if len(of) == 0 {
		said := found(what, stateOK, "Temporal has the workflows of all %d", looked)
		if more {
			said = found(what, stateOK, "Temporal has the newest %d", looked)
		}
		return said
	}
	return list(what, stateFailed, fmt.Sprintf("open here, and not in Temporal: %d", len(of)), of, 0).
		advise("workers end them within twenty minutes; if one runs, its log\n" +
			"says why it does not")
}
