package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	pawl "github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// setup is one running Pawl, the worker of unguarded workflows beside it, and the tools.
type setup struct {
	name     string
	temporal client.Client
	store    store.Reader
	api      *pawl.Client
	url      string // of the dev stack's API
	eager    bool   // unguarded and guarded workflows alike go straight to a worker of this process
	tools    tools
	worker   *part // where it is one
	dev      *part // with everything in it, likewise

	closing []func() error // in the order of opening
}

// onClose remembers what is to be done at the end, the last first.
func (s *setup) onClose(f func() error) { s.closing = append(s.closing, f) }

func (s *setup) close() error {
	var errs []error
	for len(s.closing) > 0 {
		last := len(s.closing) - 1
		errs = append(errs, s.closing[last]())
		s.closing = s.closing[:last]
	}
	return errors.Join(errs...)
}

func quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// oneProcess runs everything here: Temporal, both workers, API and who calls.
func (b *bench) oneProcess(ctx context.Context) (s *setup, err error) {
	s = &setup{name: "one process, SQLite", eager: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	dir, err := b.folder(s)
	if err != nil {
		return s, err
	}
	policy, _, err := files(dir, "http://127.0.0.1/")
	if err != nil {
		return s, err
	}
	config := stack.Default()
	config.Data, config.Policy = filepath.Join(dir, "data"), []string{policy}
	config.APIListen, config.TemporalListen, config.NoUI = "127.0.0.1:0", "127.0.0.1:0", true
	functions, err := s.tools.functions()
	if err != nil {
		return s, err
	}
	b.say("starting Temporal, workers and API in this process")
	running, err := stack.Start(ctx, stack.Options{Config: config, Tools: functions})
	if err != nil {
		return s, err
	}
	s.onClose(running.Close)
	s.temporal, s.store = running.Client, running.Store
	w := newUnguarded(s.temporal, local)
	if err := w.Start(); err != nil {
		return s, err
	}
	s.onClose(func() error { w.Stop(); return nil })
	s.api, err = pawl.New(pawl.Options{URL: running.API, Reviewer: "pawl-load"})
	return s, err
}

// parts says what runs as processes of their own, beside Temporal and a worker.
type parts struct {
	name     string
	postgres bool
	calls    bool // the API and the worker of unguarded workflows, too
}

// separate runs each part as a process of its own.
func (b *bench) separate(ctx context.Context, p parts) (s *setup, err error) {
	s = &setup{name: p.name}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	dir, err := b.folder(s)
	if err != nil {
		return s, err
	}
	database := "sqlite://" + filepath.Join(dir, "pawl.db")
	if p.postgres {
		if database, err = b.newDatabase(ctx, s); err != nil {
			return s, err
		}
	}
	url, stop, err := s.tools.serve()
	if err != nil {
		return s, err
	}
	s.onClose(stop)
	policy, tools, err := files(dir, url)
	if err != nil {
		return s, err
	}

	b.say("starting Temporal, workers and API as processes of their own (%s)", p.name)
	env := programs.Environment()
	start := func(program string, args ...string) (*part, child.Addresses, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = dir, env
		return b.spawn(ctx, s, cmd)
	}
	_, dev, err := start(b.pawlDev, "--data", filepath.Join(dir, "data"), "--temporal-listen", "127.0.0.1:0",
		"--no-ui", "--no-api", "--no-worker")
	if err != nil {
		return s, err
	}
	env = append(env,
		"TEMPORAL_ADDRESS="+dev.Temporal, "TEMPORAL_NAMESPACE="+dev.Namespace, "PAWL_DATABASE_URL="+database)
	s.worker, _, err = start(b.pawl, "worker", "--policy", policy, "--tools", tools, "--log-level", "error")
	if err != nil {
		return s, err
	}
	if p.calls {
		_, api, err := start(b.pawl, "api", "--listen", "127.0.0.1:0", "--log-level", "error")
		if err != nil {
			return s, err
		}
		if s.api, err = pawl.New(pawl.Options{URL: api.API, Reviewer: "pawl-load"}); err != nil {
			return s, err
		}
		if _, _, err = start(b.self, unguardedCommand, dev.Temporal, url); err != nil {
			return s, err
		}
	}
	return s, s.connect(ctx, dev, database)
}

// connect makes clients of a setup's Temporal and store.
func (s *setup) connect(ctx context.Context, at child.Addresses, database string) (err error) {
	o := client.Options{HostPort: at.Temporal, Namespace: at.Namespace, Logger: quiet()}
	if s.temporal, err = client.DialContext(ctx, o); err != nil {
		return err
	}
	s.onClose(func() error { s.temporal.Close(); return nil })
	opened, err := openStore(ctx, database)
	if err != nil {
		return err
	}
	s.store = opened
	s.onClose(opened.Close)
	return nil
}

// devStack runs the dev stack, with all of its parts, as a process of its own: on SQLite, or in a new
// database of a Postgres server. restart ends it, starts it anew on its data, and returns how long
// that start took.
func (b *bench) devStack(ctx context.Context, name, server string, more ...string) (
	s *setup, restart func() (time.Duration, error), err error) {
	s = &setup{name: name}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	dir, err := b.folder(s)
	if err != nil {
		return s, nil, err
	}
	url, stop, err := s.tools.serve()
	if err != nil {
		return s, nil, err
	}
	s.onClose(stop)
	policy, tools, err := files(dir, url)
	if err != nil {
		return s, nil, err
	}
	data := filepath.Join(dir, "data")
	database := "sqlite://" + filepath.Join(data, "pawl.db")
	if server != "" {
		if database, err = b.newDatabase(ctx, s); err != nil {
			return s, nil, err
		}
		more = append(more, "--database-url", database)
	}
	start := func() (at child.Addresses, err error) {
		cmd := exec.Command(b.pawlDev, "--data", data, "--policy", policy, "--tools", tools,
			"--temporal-listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0")
		cmd.Args = append(cmd.Args, more...)
		cmd.Dir, cmd.Env = dir, programs.Environment()
		if s.dev, at, err = b.spawn(ctx, s, cmd); err == nil {
			s.url = at.API
			s.api, err = administrator(at.API, data)
		}
		return at, err
	}
	b.say("starting the dev stack")
	at, err := start()
	if err != nil {
		return s, nil, err
	}
	restart = func() (time.Duration, error) {
		if err := s.dev.end(); err != nil {
			return 0, err
		}
		from := time.Now()
		_, err := start()
		return time.Since(from), err
	}
	return s, restart, s.connect(ctx, at, database)
}

// part is a process of a setup.
type part struct {
	*child.Process
	ending chan struct{} // closed once it is asked to end
	once   sync.Once
}

// end ends it, once.
func (p *part) end() (err error) {
	p.once.Do(func() {
		close(p.ending)
		if p.End(context.Background()) {
			err = fmt.Errorf("%s did not end in time, and was killed", p.Name())
		}
	})
	return err
}

// spawn starts one part of a setup and waits until it serves. It ends with the setup; should it end
// of itself, the run does, too.
func (b *bench) spawn(ctx context.Context, s *setup, cmd *exec.Cmd) (*part, child.Addresses, error) {
	started, err := child.Start(cmd, child.Options{})
	if err != nil {
		return nil, child.Addresses{}, err
	}
	p := &part{Process: started, ending: make(chan struct{})}
	s.onClose(p.end)
	at, err := p.Ready(ctx)
	if err != nil {
		return nil, at, err
	}
	go func() {
		select {
		case <-p.Done:
			b.fail(fmt.Errorf("%s ended in the middle of the run (%v):\n%s", p.Name(), p.Err(), p.Log))
		case <-p.ending:
		}
	}()
	return p, at, nil
}

// folder makes a setup's folder, which goes when the setup does.
func (b *bench) folder(s *setup) (string, error) {
	dir, err := os.MkdirTemp(b.o.data, "pawl-load-")
	if err != nil {
		return "", fmt.Errorf("a folder for the data: %w; choose another place with --data", err)
	}
	s.onClose(func() error { return os.RemoveAll(dir) })
	return dir, nil
}

// start starts a workflow of any kind, in the same way.
func (s *setup) start(ctx context.Context, queue, workflow string, input any) (client.WorkflowRun, error) {
	return s.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: approval.NewID(), TaskQueue: queue, EnableEagerStart: s.eager,
	}, workflow, input)
}
