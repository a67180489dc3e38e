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
	return []*cobra.Command{a.worker(), a.serve(), a.setup(), a.doctor()}
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

// skipped are findings about what could not be checked.
func skipped(why string, names ...string) (findings []finding) {
	for _, name := range names {
		findings = append(findings, found(name, stateSkipped, "%s", why))
	}
	return findings
}

func (f finding) advise(advice string) finding {
	f.Advice = advice
	return f
}

func (f finding) line() string {
	text := fmt.Sprintf("%-13s  %-18s  %s", f.State, f.Name, f.Detail)
	if f.Advice != "" {
		text += "\n" + strings.Repeat(" ", 15) + "→ " + f.Advice
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
	if a.Output == cli.OutputJSON {
		if err := a.PrintValue(struct {
			OK     bool      `json:"ok"`
			Checks []finding `json:"checks"`
		}{well, findings}); err != nil {
			return err
		}
	}
	if !well {
		return cli.ExitWith(cli.ExitError)
	}
	return nil
}
