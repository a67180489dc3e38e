package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"go.temporal.io/api/operatorservice/v1"
)

// countEvents counts what calls leave in Temporal's history.
func (b *bench) countEvents(ctx context.Context) (err error) {
	b.say("events per call")
	s := &site{name: "one process", eager: true}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := b.folder(s)
	if err != nil {
		return err
	}
	config, err := stackConfig(dir)
	if err != nil {
		return err
	}
	tools, err := s.tools.functions()
	if err != nil {
		return err
	}
	for _, ordinary := range []bool{false, true} {
		config.OrdinarySteps = ordinary
		if err := b.countOn(ctx, s, stack.Options{Config: config, Tools: tools}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) countOn(ctx context.Context, s *site, o stack.Options) (err error) {
	running, err := stack.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Close()) }()
	s.temporal, s.store = running.Client, running.Store
	w := newBare(s.temporal, local)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	if o.OrdinarySteps {
		return errors.Join(
			b.count(ctx, s, allowed, "allowed, ordinary_steps", nil),
			b.count(ctx, s, gated, "gated, ordinary_steps", nil),
		)
	}
	if err := errors.Join(
		b.count(ctx, s, bare, "bare", nil),
		b.count(ctx, s, allowed, "allowed", &bound{AtMost: 13}),
		b.count(ctx, s, gated, "gated", &bound{AtMost: 25}),
	); err != nil {
		return err
	}
	// A worker looks once, when it is made, for the search attributes.
	running.StopWorker()
	if _, err := s.temporal.OperatorService().RemoveSearchAttributes(ctx, &operatorservice.RemoveSearchAttributesRequest{
		Namespace: o.Namespace, SearchAttributes: []string{approval.SearchStatus, approval.SearchTool, approval.SearchAgent},
	}); err != nil {
		return fmt.Errorf("removing the search attributes: %w", err)
	}
	if err := running.StartWorker(ctx); err != nil {
		return err
	}
	return b.count(ctx, s, gated, "gated, no search attributes", &bound{AtMost: 25})
}

// count runs some calls and reads how long their histories became.
func (b *bench) count(ctx context.Context, s *site, k kind, what string, expected *bound) error {
	var events, bytes []float64
	for range 10 {
		id, err := s.run(ctx, k, 1)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		d, err := s.temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			return err
		}
		events = append(events, float64(d.GetWorkflowExecutionInfo().GetHistoryLength()))
		bytes = append(bytes, float64(d.GetWorkflowExecutionInfo().GetHistorySizeBytes()))
	}
	b.report.median("events", s.name, what, "events", events, expected)
	b.report.median("events", s.name, what+", history", "bytes", bytes, nil)
	return nil
}
