package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/child"
)

const (
	// gatedCalls is how many of the agent's calls wait for people under examples/policy.yaml, and
	// patience how long they are waited for, since another policy may let some run.
	gatedCalls = 7
	patience   = 5 * time.Second
	pollPause  = 100 * time.Millisecond
)

// demo runs the stack and the agent. Its methods are for one goroutine.
type demo struct {
	options
	out io.Writer

	child.Addresses // of the stack

	session   string
	pawl      *client.Client
	explained bool          // how to decide
	requests  []client.View // of this run's agent
}

var errStackEnded = errors.New("pawl-dev ended by itself; what it said last is above")

// run returns when everything it started has ended. ctx ends it in order, hard at once.
func (d *demo) run(ctx, hard context.Context) (err error) {
	cmd := exec.Command(d.devBin, d.stackArgs()...)
	cmd.Stderr = os.Stderr
	stack, err := child.Start(cmd, child.Options{})
	if err != nil {
		return fmt.Errorf("starting the stack: %w", err)
	}
	defer func() {
		end(hard, stack)
		if stack.Err() != nil && err == nil {
			err = fmt.Errorf("pawl-dev did not stop cleanly: %w", stack.Err())
		}
	}()
	if d.Addresses, err = stack.Ready(ctx); err != nil {
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case errors.Is(err, child.ErrEnded):
			return errors.New("the stack did not start; pawl-dev says why above. " +
				"The demo takes --api-listen, --temporal-listen, --ui-listen and --data, too: " +
				`make demo DEMO="--ui-listen 127.0.0.1:0"`)
		}
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		<-stack.Done
		stop(errStackEnded)
	}()

	agent, lines, err := d.startAgent()
	if err != nil {
		return err
	}
	agentErr := d.follow(ctx, hard, agent, lines)
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

// startAgent returns the agent and what it writes to standard output.
func (d *demo) startAgent() (agent *child.Process, lines io.Reader, err error) {
	if d.pawl, err = client.New(client.Options{URL: d.API, UserAgent: "pawl-demo"}); err != nil {
		return nil, nil, err
	}
	d.session = "demo-" + strings.ToLower(rand.Text()[:8])
	cmd := exec.Command(d.agentBin, "--api", d.API, "--session", d.session,
		"--production-timeout", d.productionTimeout.String())
	lines, out := io.Pipe()
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if agent, err = child.Start(cmd, child.Options{}); err != nil {
		return nil, nil, fmt.Errorf("starting the agent: %w", err)
	}
	go func() {
		<-agent.Done
		out.Close()
	}()
	return agent, lines, nil
}

// follow shows what the agent says until it has ended. When ctx ends it is asked to.
func (d *demo) follow(ctx, hard context.Context, agent *child.Process, output io.Reader) error {
	defer context.AfterFunc(ctx, func() { end(hard, agent) })()
	d.prologue(agent.PID())
	for lines := bufio.NewScanner(output); lines.Scan(); {
		line := lines.Text()
		// The agent ends the list of what it asks for with an empty line.
		if line == "" && !d.explained && ctx.Err() == nil {
			d.explained = true
			d.explain(ctx)
		}
		fmt.Fprintln(d.out, line)
	}
	_, _ = io.Copy(io.Discard, output) // after a line that was too long
	if err := agent.Err(); err != nil {
		return fmt.Errorf("the agent ended early: %w", err)
	}
	return nil
}

// explain says how to decide the calls that wait.
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
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	enough := time.After(patience)
	for {
		page, err := d.pawl.Requests(ctx, client.RequestQuery{Session: d.session, Status: "all"})
		if err != nil {
			return nil, err
		}
		if len(page.Items) < gatedCalls {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-enough:
			}
		}
		slices.SortFunc(page.Items, func(a, b client.View) int {
			return slices.Index(story, a.Tool) - slices.Index(story, b.Tool)
		})
		return page.Items, nil
	}
}
