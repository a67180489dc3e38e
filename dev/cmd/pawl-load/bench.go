package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
)

// scenario is one thing to measure.
type scenario struct {
	name, short string
	measure     func(*bench, context.Context, *setup) error // on each setup, or
	alone       func(*bench, context.Context) error         // by itself
}

var scenarios []scenario

// Not where it is declared: the report names the scenarios, which write it.
func init() {
	scenarios = []scenario{
		{name: "calls", short: "guarded calls beside workflows that nobody guards", measure: (*bench).compare},
		{name: "decision", short: "from a reviewer's decision until the tool begins", measure: (*bench).decide},
		{
			name: "events", alone: (*bench).events,
			short: "starts and events with 500 who listen, beside starts with nobody",
		},
		{
			name: "memory", alone: (*bench).memory,
			short: "memory with calls that wait: a worker's and the dev stack's",
		},
	}
}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func scenarioHelp() string {
	var b strings.Builder
	for _, s := range scenarios {
		fmt.Fprintf(&b, "  %-10s %s\n", s.name, s.short)
	}
	return b.String()
}

// bench is one run.
type bench struct {
	o                   options
	self, pawl, pawlDev string
	progress            io.Writer
	began               time.Time
	report              *report

	server       string // Postgres; empty: none
	stopPostgres func()
	fail         context.CancelCauseFunc
}

func newBench(o options, progress io.Writer) (*bench, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(o.data); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: --data %s is not a folder", errUsage, o.data)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the programs beside this one: %w", err)
	}
	b := &bench{
		o: o, self: self, pawl: o.pawl, pawlDev: o.pawlDev,
		progress: progress, report: &report{}, fail: func(error) {},
	}
	for _, bin := range []struct {
		path       *string
		name, flag string
	}{{&b.pawl, "pawl", "--pawl-bin"}, {&b.pawlDev, "pawl-dev", "--dev-bin"}} {
		if *bin.path == "" {
			if *bin.path, err = programs.Beside(bin.name); err != nil {
				return nil, err
			}
		}
		if *bin.path, err = filepath.Abs(*bin.path); err != nil {
			return nil, err
		}
		if _, err := os.Stat(*bin.path); err != nil {
			return nil, fmt.Errorf("%w: build it with `make build`, or say where it is with %s", err, bin.flag)
		}
	}
	return b, nil
}

func (b *bench) chosen() []scenario {
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool {
		return len(b.o.scenarios) > 0 && !slices.Contains(b.o.scenarios, s.name)
	})
}

// say says on standard error what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%6s  %s\n", time.Since(b.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// run measures. After an error, and after Ctrl-C, the report holds what was measured until then.
func (b *bench) run(ctx context.Context) (err error) {
	ctx, b.fail = context.WithCancelCause(ctx)
	defer b.fail(nil)
	defer func() {
		if b.stopPostgres != nil {
			b.stopPostgres()
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause // what else failed followed from it
		}
	}()
	b.began = time.Now()
	b.report.Machine = inspect(ctx, b.o.data)
	for _, path := range []string{b.pawl, b.pawlDev} {
		if of := commitOf(path); of != unknown && of != b.report.Machine.Commit {
			b.report.note("%s is of another commit: %s.", filepath.Base(path), of)
		}
	}
	chosen := b.chosen()
	if slices.ContainsFunc(chosen, func(s scenario) bool { return s.measure != nil || s.name == "events" }) {
		if err := b.findPostgres(ctx); err != nil {
			return err
		}
	}
	if err := b.onSetups(ctx, chosen); err != nil {
		return err
	}
	for _, s := range chosen {
		if s.alone == nil {
			continue
		}
		if err := s.alone(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.say("done")
	return nil
}

// onSetups measures on one setup after the other.
func (b *bench) onSetups(ctx context.Context, chosen []scenario) error {
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(s scenario) bool { return s.measure == nil })
	if len(chosen) == 0 {
		return nil
	}
	opens := []func() (*setup, error){
		func() (*setup, error) { return b.oneProcess(ctx) },
		func() (*setup, error) {
			return b.separate(ctx, parts{name: "separate processes, SQLite", calls: true})
		},
	}
	if b.server != "" {
		opens = append(opens, func() (*setup, error) {
			return b.separate(ctx, parts{name: "separate processes, Postgres", calls: true, postgres: true})
		})
	}
	for _, open := range opens {
		s, err := open()
		if err != nil {
			return err
		}
		for _, c := range chosen {
			if err = c.measure(b, ctx, s); err != nil {
				err = fmt.Errorf("%s, %s: %w", c.name, s.name, err)
				break
			}
		}
		if err = errors.Join(err, s.close()); err != nil {
			return err
		}
	}
	return nil
}
