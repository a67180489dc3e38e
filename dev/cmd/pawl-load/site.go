package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pawlhq/pawl/approval"
	pawl "github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// site is one running Pawl, the floor's worker beside it, and the tools' inside.
type site struct {
	name     string
	temporal client.Client
	store    store.Reader
	api      *pawl.Client
	eager    bool // bare and guarded workflows alike go straight to a worker of this process
	tools    probe
	worker   *child.Process // where it is one

	closing []func() error // in the order of opening
}

// onClose remembers what is to be done at the end, the last first.
func (s *site) onClose(f func() error) { s.closing = append(s.closing, f) }

func (s *site) close() error {
	var errs []error
	for len(s.closing) > 0 {
		last := len(s.closing) - 1
		errs = append(errs, s.closing[last]())
		s.closing = s.closing[:last]
	}
	return errors.Join(errs...)
}

func quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// stackConfig is a stack of this process that disturbs no other.
func stackConfig(dir string) (stack.Config, error) {
	c := stack.Default()
	c.Data = filepath.Join(dir, "data")
	c.APIListen, c.TemporalListen, c.NoUI = "127.0.0.1:0", "127.0.0.1:0", true
	policy, _, err := files(dir, "http://127.0.0.1/")
	c.Policy = []string{policy}
	return c, err
}

// oneProcess runs everything here: Temporal, worker, API, the floor's worker
// and who calls.
func (b *bench) oneProcess(ctx context.Context) (s *site, err error) {
	s = &site{name: "one process, SQLite", eager: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	dir, err := b.folder(s)
	if err != nil {
		return s, err
	}
	config, err := stackConfig(dir)
	if err != nil {
		return s, err
	}
	tools, err := s.tools.functions()
	if err != nil {
		return s, err
	}
	b.say("starting Temporal, worker and API in this process")
	running, err := stack.Start(ctx, stack.Options{Config: config, Tools: tools})
	if err != nil {
		return s, err
	}
	s.onClose(running.Close)
	s.temporal, s.store = running.Client, running.Store
	w := newBare(s.temporal, local)
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
	calls    bool     // the API and the floor's worker, too
	worker   []string // further flags of the worker
}

// separate runs each part as a process of its own.
func (b *bench) separate(ctx context.Context, p parts) (s *site, err error) {
	s = &site{name: p.name}
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

	b.say("starting Temporal, worker and API as processes of their own (%s)", p.name)
	env := environment()
	dev, err := b.spawn(ctx, s, dir, env, b.pawlDev, "--data", filepath.Join(dir, "data"), "--temporal-listen", "127.0.0.1:0",
		"--no-ui", "--no-api", "--no-worker")
	if err != nil {
		return s, err
	}
	env = append(env, "TEMPORAL_ADDRESS="+dev.Temporal, "TEMPORAL_NAMESPACE="+dev.Namespace, "PAWL_DATABASE_URL="+database)
	w, err := b.spawn(ctx, s, dir, env, b.pawl,
		append([]string{"worker", "--policy", policy, "--tools", tools, "--log-level", "error"}, p.worker...)...)
	if err != nil {
		return s, err
	}
	s.worker = w.process
	if p.calls {
		api, err := b.spawn(ctx, s, dir, env, b.pawl, "api", "--listen", "127.0.0.1:0", "--log-level", "error")
		if err != nil {
			return s, err
		}
		if s.api, err = pawl.New(pawl.Options{URL: api.API, Reviewer: "pawl-load"}); err != nil {
			return s, err
		}
		if _, err = b.spawn(ctx, s, dir, env, b.self, bareCommand, dev.Temporal, url); err != nil {
			return s, err
		}
	}
	if s.temporal, err = client.DialContext(ctx, client.Options{HostPort: dev.Temporal, Namespace: dev.Namespace, Logger: quiet()}); err != nil {
		return s, err
	}
	s.onClose(func() error { s.temporal.Close(); return nil })
	opened, err := openStore(ctx, database, true)
	if err != nil {
		return s, err
	}
	s.store = opened
	s.onClose(opened.Close)
	return s, nil
}

// folder makes a site's folder, which goes when the site does.
func (b *bench) folder(s *site) (string, error) {
	dir, err := os.MkdirTemp(b.o.data, "pawl-load-")
	if err != nil {
		return "", fmt.Errorf("a folder for the data: %w; choose another place with --data", err)
	}
	s.onClose(func() error { return os.RemoveAll(dir) })
	return dir, nil
}

// start starts a workflow of either kind, in the same way.
func (s *site) start(ctx context.Context, queue, workflow string, input any) (client.WorkflowRun, error) {
	return s.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: approval.NewID(), TaskQueue: queue, EnableEagerStart: s.eager,
	}, workflow, input)
}
