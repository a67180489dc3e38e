package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/dev/sample"
	"github.com/pawlhq/pawl/dev/temporal"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/worker"
)

// Options is a Config and what a program adds to it.
type Options struct {
	Config
	Logger *slog.Logger // default: discard
	Tools  []*tool.Tool // beside those of the configuration

	MaxWait time.Duration // the longest that a request to the API may wait. Default: api.DefaultMaxWait

	// Progress is told what the stack is doing while it starts and stops, and of changed policy files,
	// from another goroutine. Default: nobody.
	Progress func(step string)
}

// Stack is everything, running. Its methods are for one goroutine.
type Stack struct {
	Client   client.Client
	Store    store.Store
	Temporal string // host:port
	API, UI  string // URLs; empty where not served

	o         Options
	policy    *active.Policy
	tools     []*tool.Tool
	keys      *codec.Keyring          // nil: payloads are plain
	newKeys   bool                    // made in this start, though the data are older
	converter converter.DataConverter // of Client; nil: the SDK's
	server    *temporal.Server
	worker    *worker.Worker
	listener  net.Listener
	stopFiles context.CancelFunc // of the policy files' watcher
	watched   chan struct{}      // closed when that has ended
	ready     atomic.Bool
	stopping  atomic.Bool
	api       chan error // what the API's server ended with
	stopAPI   context.CancelFunc
}

// Start brings everything up, and returns when everything serves. Files are read and ports taken
// before anything runs, so that what is wrong with them is said at once. If ctx ends meanwhile,
// what was started is stopped again.
func Start(ctx context.Context, o Options) (s *Stack, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	s = &Stack{o: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := s.readFiles(); err != nil {
		return s, err
	}
	if !o.NoAPI {
		if err := s.listen(); err != nil {
			return s, err
		}
	}

	o.Progress(fmt.Sprintf("Starting Temporal (%d history shards, data in %s) …", o.HistoryShards, o.Data))
	if err := s.startTemporal(ctx); err != nil {
		return s, err
	}
	o.Progress("Opening Pawl's store …")
	if err := s.openStore(ctx); err != nil {
		return s, err
	}
	if err := s.startPolicy(ctx); err != nil {
		return s, fmt.Errorf("policy:\n%w", err)
	}
	if !o.NoWorker {
		o.Progress(fmt.Sprintf("Starting the worker (tools: %d) …", len(s.tools)))
		if err := s.StartWorker(ctx); err != nil {
			return s, err
		}
	}
	if !o.NoAPI {
		if err := s.ensureAdmin(ctx); err != nil {
			return s, err
		}
		if err := s.serveAPI(ctx); err != nil {
			return s, err
		}
	}
	s.ready.Store(true)
	return s, nil
}

// StorePath is the file of Pawl's own store, unless that is in Postgres.
func (s *Stack) StorePath() string { return filepath.Join(s.o.Data, "pawl.db") }

// openStore leaves s.Store nil if it fails: a nil pointer in it would not be.
func (s *Stack) openStore(ctx context.Context) error {
	if s.o.DatabaseURL == "" {
		db, err := sqlite.Open(ctx, sqlite.Options{Path: s.StorePath(), Logger: s.o.Logger})
		if err == nil {
			s.Store = db
		}
		return err
	}
	db, err := postgres.Open(ctx, postgres.Options{URL: s.o.DatabaseURL})
	if err == nil {
		s.Store = db
	}
	return err
}

// ToolLog is the file that the sample tools write to.
func (s *Stack) ToolLog() string { return filepath.Join(s.o.Data, "sample-tools.log") }

func (s *Stack) readFiles() error {
	if _, err := policy.Load(s.o.Policy...); err != nil {
		return fmt.Errorf("policy:\n%w", err)
	}
	if err := os.MkdirAll(s.o.Data, 0o700); err != nil {
		return fmt.Errorf("data directory: %w; choose another with --data", err)
	}
	if err := s.readKeys(); err != nil {
		return err
	}
	s.tools = append(s.tools, s.o.Tools...)
	if s.o.SampleTools {
		samples, err := sample.Tools(s.ToolLog())
		if err != nil {
			return err
		}
		s.tools = append(s.tools, samples...)
	}
	if s.o.Config.Tools != "" {
		fromFile, err := worker.LoadTools(s.o.Config.Tools, os.LookupEnv)
		if err != nil {
			return fmt.Errorf("tools:\n%w", err)
		}
		s.tools = append(s.tools, fromFile...)
	}
	if _, err := tool.NewRegistry(s.tools...); err != nil {
		return fmt.Errorf("tools, of the tools file and of Pawl's samples: %w", err)
	}
	return nil
}

func (s *Stack) listen() error {
	var err error
	if s.listener, err = (api.Exposure{}).Listen(s.o.APIListen, s.o.Auth == AuthTokens); err != nil {
		return fmt.Errorf("%w; choose another address with --api-listen", err)
	}
	s.API = "http://" + s.listener.Addr().String()
	return nil
}

func (s *Stack) startTemporal(ctx context.Context) error {
	// The cache of workflows is one for the process. The server has workers of its own, the first of
	// which makes it, so Pawl's worker comes too late to choose its size.
	sdkworker.SetStickyWorkflowCacheSize(worker.DefaultWorkflowCache)
	ui, endpoint := s.o.UIListen, ""
	if s.o.NoUI {
		ui = ""
	}
	if s.keys != nil && s.API != "" {
		endpoint = s.API + "/codec"
	}
	var err error
	s.server, err = temporal.Start(ctx, temporal.Options{
		DataDir: s.o.Data, Listen: s.o.TemporalListen, UIListen: ui, CodecEndpoint: endpoint,
		Namespace: s.o.Namespace, Retention: s.o.TemporalRetention, HistoryShards: s.o.HistoryShards,
		SearchAttributes: map[string]enums.IndexedValueType{
			approval.SearchStatus: enums.INDEXED_VALUE_TYPE_KEYWORD,
			approval.SearchTool:   enums.INDEXED_VALUE_TYPE_KEYWORD,
			approval.SearchAgent:  enums.INDEXED_VALUE_TYPE_KEYWORD,
		},
		Logger: s.serverLogger(ctx),
	})
	if err != nil {
		return err
	}
	s.Temporal, s.UI = s.server.FrontendAddr(), s.server.UIURL()
	o := client.Options{
		HostPort: s.Temporal, Namespace: s.o.Namespace, Logger: sdklog.NewStructuredLogger(s.o.Logger),
		// The server is in this process: there is no network to spare.
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}},
	}
	if s.keys != nil {
		if err := s.keys.Configure(&o); err != nil {
			return err
		}
	}
	worker.PrepareClient(&o)
	s.converter = o.DataConverter
	if s.Client, err = client.DialContext(ctx, o); err != nil {
		return err
	}
	return s.checkNewKeys(ctx)
}

// serverLogger passes Temporal's own log on from the level asked for, until the server is being
// stopped: then its parts complain of each other's absence.
func (s *Stack) serverLogger(starting context.Context) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(strings.ToUpper(s.o.TemporalLogLevel))) // validated
	return slog.New(filter{s.o.Logger.Handler(), func(l slog.Level) bool {
		return l >= level && !s.stopping.Load() && (s.ready.Load() || starting.Err() == nil)
	}})
}

// filter is a handler that passes on what pass says.
type filter struct {
	slog.Handler
	pass func(slog.Level) bool
}

func (f filter) Enabled(ctx context.Context, l slog.Level) bool {
	return f.pass(l) && f.Handler.Enabled(ctx, l)
}

func (f filter) WithAttrs(a []slog.Attr) slog.Handler {
	return filter{f.Handler.WithAttrs(a), f.pass}
}

func (f filter) WithGroup(name string) slog.Handler {
	return filter{f.Handler.WithGroup(name), f.pass}
}

// StartWorker starts the worker, or starts it again.
func (s *Stack) StartWorker(ctx context.Context) error {
	sealer, err := s.sealer(ctx)
	if err != nil {
		return err
	}
	w, err := worker.New(ctx, worker.Options{
		Client: s.Client, Namespace: s.o.Namespace, PayloadKeys: s.keys,
		Store: s.Store, Policy: s.policy, Tools: s.tools,
		OrdinarySteps: s.o.OrdinarySteps, Decisions: s.o.counting(), PublicURL: s.o.PublicURL,
		Sealer: sealer, Logger: s.o.Logger,
	})
	if errors.Is(err, health.ErrUnreadable) && s.keys == nil {
		return fmt.Errorf("%w; in the dev stack that is --encrypt, or encrypt: true", err)
	}
	if err != nil {
		return err
	}
	if err := w.Start(); err != nil {
		return fmt.Errorf("starting the worker: %w", err)
	}
	s.worker = w
	return nil
}

// StopWorker lets running tools end and stops the worker.
func (s *Stack) StopWorker() {
	if s.worker != nil {
		s.worker.Stop()
		s.worker = nil
	}
}

func (s *Stack) serveAPI(starting context.Context) error {
	codec, err := s.codec()
	if err != nil {
		return err
	}
	signer, err := s.signer(starting)
	if err != nil {
		return err
	}
	callers, err := worker.NewCallers(starting, s.Store, s.policy, s.o.Logger)
	if err != nil {
		return err
	}
	server, err := api.New(api.Options{
		Callers: callers,
		Codec:   codec, Signer: signer, Temporal: s.Client, Namespace: s.o.Namespace, Store: s.Store,
		Converter: s.converter, Auth: s.authenticator(), PublicURL: s.o.PublicURL, MaxWait: s.o.MaxWait,
		Logger: s.o.Logger, EagerStart: !s.o.NoWorker,
		Ready: func(context.Context) error {
			if !s.ready.Load() {
				return errors.New("the stack is starting or stopping")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, s.stopAPI = context.WithCancel(context.Background())
	s.api = make(chan error, 1)
	go func() {
		s.api <- server.Serve(ctx, s.listener)
		close(s.api)
	}()
	return nil
}

// Wait blocks until ctx ends, which is no error, or a part of the stack does.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.api:
		return fmt.Errorf("the API ended: %w", err)
	case err := <-s.server.Failed():
		return err
	}
}

// Close stops everything, in the order in which nothing is lost: no new calls, running tools end,
// then the server and the files. It may be called once.
func (s *Stack) Close() error {
	s.stopping.Store(true)
	s.ready.Store(false)
	var errs []error
	if s.stopAPI != nil {
		s.o.Progress("Stopping the API …")
		s.stopAPI()
		errs = append(errs, <-s.api)
	} else if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	if s.worker != nil {
		s.o.Progress("Waiting for running tools " +
			"(Ctrl-C again stops at once, and what runs ends outcome_unknown) …")
		s.StopWorker()
	}
	if s.stopFiles != nil {
		s.stopFiles()
		<-s.watched
	}
	if s.policy != nil {
		s.policy.Close()
	}
	if s.Client != nil {
		s.Client.Close()
	}
	if s.server != nil {
		s.o.Progress("Stopping Temporal …")
		errs = append(errs, s.server.Stop())
	}
	if s.Store != nil {
		errs = append(errs, s.Store.Close())
	}
	return errors.Join(errs...)
}
