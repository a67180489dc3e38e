package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/child"
)

const (
	// asking is how many of the agent's calls wait for people under
	// examples/policy.yaml, and settle how long they are waited for, since
	// another policy may let some run.
	asking = 4
	settle = 5 * time.Second
	glance = 100 * time.Millisecond
)

// demo runs the stack and the agent. Its methods are for one goroutine.
type demo struct {
	options
	out io.Writer

	addresses
	session  string
	pawl     *client.Client
	told     bool          // how to decide
	requests []client.View // of this run's agent
}

// addresses is the line that pawl-dev prints when everything serves.
type addresses struct {
	API       string `json:"api"`
	UI        string `json:"ui"`
	Namespace string `json:"namespace"`
}

var errStackEnded = errors.New("pawl-dev ended by itself; what it said last is above")

// run returns when everything it started has ended. ctx ends it in order, hard
// at once.
func (d *demo) run(ctx, hard context.Context) (err error) {
	stack, err := child.Start(child.Options{Path: d.devBin, Args: d.stackArgs()})
	if err != nil {
		return fmt.Errorf("starting the stack: %w", err)
	}
	defer func() {
		end(hard, stack)
		if stack.Err() != nil && err == nil {
			err = fmt.Errorf("pawl-dev did not stop cleanly: %w", stack.Err())
		}
	}()
	if d.addresses, err = ready(ctx, stack); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		<-stack.Done
		stop(errStackEnded)
	}()

	agent, err := d.startAgent()
	if err != nil {
		return err
	}
	agentErr := d.follow(ctx, hard, agent)
	if ctx.Err() == nil {
		d.epilogue(agentErr == nil)
		if !d.exit {
			<-ctx.Done()
		}
	} else if agentErr != nil {
		agentErr = errInterrupted
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStackEnded) {
		return cause
	}
	return agentErr
}

func end(hard context.Context, p *child.Process) {
	if p.End(hard) {
		fmt.Fprintf(os.Stderr, "pawl-demo: %s did not end in time, and was killed\n", p.Name())
	}
}

func (d *demo) stackArgs() []string {
	args := []string{"--data", d.data}
	for _, f := range [][2]string{
		{"--config", d.config}, {"--api-listen", d.apiListen},
		{"--temporal-listen", d.temporalListen}, {"--ui-listen", d.uiListen},
	} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	return args
}

// ready waits for the stack to serve. What it prints later is of no use.
func ready(ctx context.Context, stack *child.Process) (addresses, error) {
	defer func() {
		go func() {
			for range stack.Lines {
			}
		}()
	}()
	select {
	case line, ok := <-stack.Lines:
		if !ok {
			return addresses{}, errors.New("the stack did not start; pawl-dev says why above")
		}
		var a addresses
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.API == "" {
			return a, errors.New("pawl-dev's first line is not the addresses that it serves: is it as new as this program?")
		}
		return a, nil
	case <-ctx.Done():
		return addresses{}, errInterrupted
	}
}

func (d *demo) startAgent() (agent *child.Process, err error) {
	if d.pawl, err = client.New(client.Options{URL: d.API, UserAgent: "pawl-demo"}); err != nil {
		return nil, err
	}
	d.session = "demo-" + strings.ToLower(rand.Text()[:8])
	agent, err = child.Start(child.Options{Path: d.agentBin, Args: []string{
		"--api", d.API, "--session", d.session, "--production-timeout", d.productionTimeout.String(),
	}})
	if err != nil {
		return nil, fmt.Errorf("starting the agent: %w", err)
	}
	return agent, nil
}

// follow shows what the agent says until it has ended. When ctx ends it is
// asked to.
func (d *demo) follow(ctx, hard context.Context, agent *child.Process) error {
	defer context.AfterFunc(ctx, func() { end(hard, agent) })()
	d.prologue(agent.PID())
	for line := range agent.Lines {
		// The agent ends the list of what it asks for with an empty line.
		if line == "" && !d.told && ctx.Err() == nil {
			d.told = true
			d.explain(ctx)
		}
		fmt.Fprintln(d.out, line)
	}
	<-agent.Done
	if agent.Err() != nil {
		return fmt.Errorf("the agent ended early: %w", agent.Err())
	}
	return nil
}

// explain tells how to decide the calls that wait.
func (d *demo) explain(ctx context.Context) {
	var err error
	if d.requests, err = d.listed(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "pawl-demo: can't list what waits: %s\n", approval.Display(err.Error(), 500))
		return
	}
	earlier := 0
	if page, err := d.pawl.Requests(ctx, client.RequestQuery{}); err == nil {
		earlier = len(slices.DeleteFunc(page.Items, func(v client.View) bool { return v.Session == d.session }))
	}
	d.instructions(earlier)
}

// listed returns the agent's requests in the order of the story.
func (d *demo) listed(ctx context.Context) ([]client.View, error) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	patience := time.After(settle)
	for {
		page, err := d.pawl.Requests(ctx, client.RequestQuery{Session: d.session, Status: "all"})
		if err != nil {
			return nil, err
		}
		if len(page.Items) < asking {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-patience:
			}
		}
		slices.SortFunc(page.Items, func(a, b client.View) int {
			return slices.Index(story, a.Tool) - slices.Index(story, b.Tool)
		})
		return page.Items, nil
	}
}
