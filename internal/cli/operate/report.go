// Package operate holds the commands that run Pawl itself (worker, api), and those that help with
// it.
package operate

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.worker(), a.serve(), a.setup(), a.doctor(), a.notify(), a.store()}
}

// What setup and doctor say about one thing.
const (
	stateOK      = "ok"
	stateDone    = "done"          // setup did it
	stateThere   = "already there" // setup had nothing to do
	stateToDo    = "to do"         // setup would, without --dry-run
	stateMissing = "missing"
	stateFailed  = "failed"
	stateSkipped = "skipped" // not asked for, or what it needs failed
)

type finding struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"` // what to do
}

// bad reports that somebody has to do something.
func (f finding) bad() bool { return f.State == stateMissing || f.State == stateFailed }

func found(name, state, format string, a ...any) finding {
	return finding{Name: name, State: state, Detail: fmt.Sprintf(format, a...)}
}

// failed is a finding about an error. The error's text comes from elsewhere.
func failed(name string, err error, advice string) finding {
	return finding{Name: name, State: stateFailed, Detail: err.Error(), Advice: advice}
}

// unasked are the findings about what Temporal could not be asked.
func unasked() []finding {
	const why = "Temporal did not answer"
	return []finding{found("namespace", stateSkipped, why), found("search attributes", stateSkipped, why)}
}

func (f finding) advise(advice string) finding {
	f.Advice = advice
	return f
}

func (f finding) line() string {
	indent := "\n" + strings.Repeat(" ", 15)
	text := fmt.Sprintf("%-13s  %-18s  %s", f.State, f.Name, strings.ReplaceAll(f.Detail, "\n", indent))
	if f.Advice != "" {
		text += indent + "→ " + strings.ReplaceAll(f.Advice, "\n", indent+"  ")
	}
	return approval.DisplayLines(strings.TrimRight(text, " "), 0) + "\n"
}

// report prints findings as JSON, or nothing if each was printed already, and is the command's exit
// code.
func (a *app) report(findings []finding) error {
	well := true
	for _, f := range findings {
		well = well && !f.bad()
	}
	var err error
	if a.Output == cli.OutputJSON {
		err = a.PrintValue(struct {
			OK     bool      `json:"ok"`
			Checks []finding `json:"checks"`
		}{well, findings})
	}
	return cli.ErrorUnless(well, err)
}
