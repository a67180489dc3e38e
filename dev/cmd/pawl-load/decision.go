package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	pawl "github.com/pawlhq/pawl/client"
)

// pause lets a call that has just begun to wait come to rest: people take seconds, too.
const pause = 30 * time.Millisecond

// decide measures how long it takes from a decision until the tool begins.
func (b *bench) decide(ctx context.Context, s *setup) error {
	ways := []struct {
		name string
		send func(context.Context, approval.View) error
	}{
		{"API request sent → tool begins", func(ctx context.Context, v approval.View) error {
			_, err := s.api.Decide(ctx, v.ID, pawl.Decision{Kind: approval.Approve, Digest: v.Digest})
			return err
		}},
		{"signal sent → tool begins", s.signal},
	}
	took := make([][]float64, len(ways))
	b.say("%s: from the decision to the tool, one at a time", s.name)
	for began := time.Now(); len(took[0]) < 3 || time.Since(began) < b.o.duration; {
		for i, way := range ways {
			d, err := s.untilBegun(ctx, way.send)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			took[i] = append(took[i], ms(d))
		}
	}
	for i, way := range ways {
		b.report.latency("decision", s.name, way.name, took[i])
	}
	return nil
}

// untilBegun measures one call, from when send is called until its tool begins.
func (s *setup) untilBegun(
	ctx context.Context, send func(context.Context, approval.View) error,
) (time.Duration, error) {
	run, err := s.request(ctx, toolSend)
	if err != nil {
		return 0, err
	}
	began := s.tools.watch(run.GetID())
	v, err := s.awaitPending(ctx, run.GetID(), 1)
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	from := time.Now()
	if err := send(ctx, v); err != nil {
		return 0, err
	}
	if err := executed(ctx, run); err != nil {
		return 0, err
	}
	return (<-began).Sub(from), nil
}
