// Package api serves Pawl over HTTP: agents start calls and fetch outcomes, reviewers list requests
// and decide, operators read the audit log.
//
// Everything that happens to a call happens in its workflow: a handler sends a signal, then asks
// the workflow what became of it. Lists come from the store, which holds redacted values only; what
// one call is doing comes from Temporal. The package keeps no state of its own, so any number of
// processes may serve the same namespace and store.
//
// # Who is who
//
// Callers send a bearer token; [Options].Auth makes a principal of it, and one table says which
// role may do what on which route. Requester, team, agent and reviewer are the principal's: a
// request that says something else is refused.
//
// Without Auth nobody is authenticated, so only loopback addresses are served, and records say so:
// every caller is the requester [auth.LocalSubject], and a reviewer is whoever the header
// X-Pawl-Reviewer names.
//
// # Errors
//
// Every error is application/problem+json with a stable "code". Decisions that did not count also
// say their "outcome".
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/api/denials"
	"github.com/pawlhq/pawl/api/events"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// Defaults of Options.
const (
	DefaultQueryBudget = 2 * time.Second
	DefaultMaxWait     = time.Minute
)

const (
	// rpcTimeout bounds one exchange with Temporal. The SDK uses half of a deadline it can see and
	// keeps trying until then, so this is ten seconds of patience with a Temporal that restarts.
	rpcTimeout = 20 * time.Second
	// drainTimeout is how long requests under way may take at shutdown.
	drainTimeout = 15 * time.Second
)

// Temporal is what the API needs of a Temporal client. A client.Client is one; it retries what can
// be retried until the context ends.
type Temporal interface {
	calls.Temporal
	CheckHealth(ctx context.Context, request *client.CheckHealthRequest) (*client.CheckHealthResponse, error)
	OperatorService() operatorservice.OperatorServiceClient
}

// Store is what the API needs of a store. It writes policies that are applied, tokens, and
// decisions that were refused here: over a read-only handle it refuses to.
type Store interface {
	store.Reader
	store.Policies
	store.Tokens
	store.Keys
	store.Sessions
	Append(ctx context.Context, entries ...audit.Entry) error
	LastCheckpoint(ctx context.Context) (store.Checkpoint, error)
	Checkpoints(ctx context.Context, after int64, most int) ([]store.Checkpoint, error)
	Nodes(ctx context.Context, level int, from, to int64) ([]audit.Hash, error)
	Erase(ctx context.Context, p store.EraseParams) (erased []string, err error)
	// Ping fails when the store can't be used now.
	Ping(ctx context.Context) error
}

// Options configure a Server.
type Options struct {
	// Temporal starts, signals and asks workflows. Required.
	Temporal Temporal
	// Store serves lists. Required.
	Store Store
	// Auth tells who sends a request. Default: nobody is authenticated, everybody may do everything,
	// and only loopback addresses are served.
	Auth auth.Authenticator
	// Login leads browsers to an OpenID Connect issuer and back, if Auth is set. It needs a PublicURL
	// with https. Default: people sign in with tokens.
	Login session.Issuer
	// Signer signs the decisions of those whom Auth knows. Default: they are not signed, and where
	// only signed ones count, nobody can decide.
	Signer *auth.Signer
	// Exposure says how others than this machine may reach the API, if Auth is set. Default: they may
	// not.
	Exposure Exposure
	// Limits bound what one requester may ask for, if Auth is set.
	Limits Limits
	// Namespace is the Temporal client's. Default: client.DefaultNamespace.
	Namespace string
	// Converter is the Temporal client's data converter: it reads what calls were started with.
	// Default: the SDK's.
	Converter converter.DataConverter
	// TaskQueue is where calls are started. Default: approval.TaskQueue.
	TaskQueue string
	// EagerStart asks Temporal to hand a new call straight to a worker that runs in this process on
	// the same client. Default: false.
	EagerStart bool
	// Hosts are names under which the API may be addressed, beside localhost and the loopback
	// addresses: "name" stands for the listener's port or none, "name:port" for that port. Default:
	// none.
	Hosts []string
	// PublicURL is where people reach the page that shows requests; see approval.CheckPublicURL.
	// Default: none, and answers hold no addresses.
	PublicURL string
	// QueryBudget is how long a workflow may take to say its state, and Temporal to say what the call
	// waits for; then the answer says what is known without it. Default: DefaultQueryBudget.
	QueryBudget time.Duration
	// MaxWait is the longest a request may wait for a call to end; longer waits are cut to it.
	// Default: DefaultMaxWait.
	MaxWait time.Duration
	// Ready is one more condition of /readyz, shown there as "service". It must be safe for concurrent
	// use. Default: none.
	Ready func(ctx context.Context) error
	// Codec offers to Temporal's UI and command line to decode payloads, under /codec/. Default: nil,
	// it is not served.
	Codec *CodecOptions
	// Callers serves those who run tools themselves. Default: nil, and this API refuses their calls, as
	// it may not write what that takes.
	Callers Callers
	// Logger gets one Debug line for each request, and the causes that answers leave out. Default:
	// nothing is logged.
	Logger *slog.Logger
}

func (o *Options) validate() error {
	switch {
	case o.Temporal == nil:
		return errors.New("api: Options.Temporal is missing")
	case o.Store == nil:
		return errors.New("api: Options.Store is missing")
	case o.QueryBudget < 0:
		return fmt.Errorf("api: Options.QueryBudget %v is negative", o.QueryBudget)
	case o.MaxWait < 0:
		return fmt.Errorf("api: Options.MaxWait %v is negative", o.MaxWait)
	}
	if err := o.Exposure.Check(); err != nil {
		return err
	}
	if err := o.Limits.validate(); err != nil {
		return err
	}
	if o.PublicURL != "" {
		if err := approval.CheckPublicURL(o.PublicURL); err != nil {
			return fmt.Errorf("api: Options.PublicURL: %w", err)
		}
	}
	if o.Login != nil && (o.Auth == nil || !strings.HasPrefix(o.PublicURL, "https://")) {
		return errors.New("api: Options.Login needs Auth, and a PublicURL with https://")
	}
	if o.Codec != nil {
		if err := o.Codec.validate(); err != nil {
			return err
		}
	}
	for _, h := range o.Hosts {
		if err := checkHost(h); err != nil {
			return err
		}
	}
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	o.TaskQueue = cmp.Or(o.TaskQueue, approval.TaskQueue)
	o.QueryBudget = cmp.Or(o.QueryBudget, DefaultQueryBudget)
	o.MaxWait = cmp.Or(o.MaxWait, DefaultMaxWait)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return nil
}

// Callers is what an API needs to serve those who run tools themselves, and those who find out what
// became of a call; package worker makes one.
type Callers interface {
	// StartCaller judges a call once more and lets its caller run the tool; start is its
	// approval.HashStartID. A call that may not run any more comes back ended. Errors: those of
	// store.Calls.Start.
	StartCaller(
		ctx context.Context, id string, call approval.Call, start string, by approval.Actor,
	) (store.Record, error)
	// ReportLate keeps a report about a call that has ended.
	ReportLate(ctx context.Context, id string, call approval.Call, report approval.SentReport) error
	// Settle keeps what a person says became of a call; call is what Temporal has of it, maybe
	// nothing. Errors: those of store.Calls.Settle.
	Settle(ctx context.Context, id string, call approval.Call, said audit.Settled) (store.Record, error)
	// OfferOwn replaces the list of a source of tools that an agent runs itself. Errors with
	// approval.CodeInvalid are about a tool that can't be used.
	OfferOwn(ctx context.Context, agent, source string, tools []store.OwnTool) (taken []string, err error)

	Attach(ctx context.Context, alike string) (id string, err error) // as of store.Callers
	Renew(ctx context.Context, id string) error
	Release(ctx context.Context, id string) error
	Deliver(ctx context.Context, id string) error
	AlikeKey(ctx context.Context) ([]byte, error)
}

// Server is the API. It is an http.Handler, safe for concurrent use.
type Server struct {
	o       Options
	calls   *calls.Client
	pollers *cache[queue, bool]
	tools   *cache[struct{}, map[string]present.Tool] // by name
	queues  *cache[struct{}, map[string]string]
	policy  active.Reader

	sessions *session.Sessions // nil where nobody is authenticated

	checks  []health.Check // of /readyz
	ready   *cache[struct{}, rest.Readiness]
	engine  *gin.Engine
	events  *events.Hub
	access  map[string]access   // by method and path, as the engine has it
	methods map[string][]string // of routes without parameters, by path

	pace     health.Pace                // of the log's lines about faults
	writes   *cache[struct{}, struct{}] // fails while the store can't be used
	failures *failures
	denials  *denials.Log
	quotas   *quotas
}

// New makes a Server. It fails on options that can't work and contacts nobody.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		o: o,
		calls: calls.New(calls.Options{
			Temporal: o.Temporal, Namespace: o.Namespace, TaskQueue: o.TaskQueue, EagerStart: o.EagerStart,
			Converter: o.Converter, Timeout: rpcTimeout, Query: o.QueryBudget,
		}),
		failures: newFailures(), quotas: newQuotas(o.Limits, o.Store, o.Logger),
		events: events.New(o.Store, o.Logger), denials: denials.New(o.Store.Append, o.Logger),
	}
	if o.Auth != nil {
		s.sessions = session.New(o.Store, o.Auth, o.Logger)
	}
	s.pollers, s.queues = newCache(s.isPolled), newCache(s.toolQueues)
	s.tools = newCache(s.readPresentable)
	s.writes = newCache(func(ctx context.Context, _ struct{}) (struct{}, error) {
		return struct{}{}, o.Store.Ping(ctx)
	})
	s.checks = s.readiness()
	s.ready = newCache(func(ctx context.Context, _ struct{}) (rest.Readiness, error) {
		return health.Look(ctx, o.Logger, &s.pace, s.checks...), nil
	})

	gin.SetMode(gin.ReleaseMode) // otherwise gin prints every route to stdout
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.ForwardedByClientIP = false
	// IDs may hold any character, so paths are matched as they were sent and parameters are unescaped
	// by pathParam: gin would turn + into a space.
	e.UseEscapedPath = true
	e.UnescapePathValues = false
	if err := e.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	e.Use(s.logRequest, s.recoverPanic, s.checkSource, s.authorize, s.readBody)
	e.NoRoute(s.answer(func(c *gin.Context) error {
		return newProblem(http.StatusNotFound, rest.CodeNoRoute, "Nothing is served here; GET / lists what is.")
	}))
	e.NoMethod(s.answer(func(c *gin.Context) error {
		// Gin also names the methods of routes whose parameter could be this path's last word.
		if own := s.methods[c.Request.URL.EscapedPath()]; own != nil {
			c.Header("Allow", strings.Join(own, ", "))
		}
		return newProblem(http.StatusMethodNotAllowed, rest.CodeNoMethod,
			"This path takes "+c.Writer.Header().Get("Allow")+".")
	}))
	s.register(e)
	s.engine = e
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.o.Codec != nil && strings.HasPrefix(r.URL.Path, codecPath) {
		s.serveCodec(w, r)
		return
	}
	s.engine.ServeHTTP(w, r)
}

// stoppingKey finds, in a request's context, the context that ends when the server begins to stop.
type stoppingKey struct{}

func stopping(ctx context.Context) context.Context {
	if c, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		return c
	}
	return context.Background()
}

// Serve answers requests from l until ctx ends; then requests that wait are answered at once with
// what is known, others may finish, and Serve returns nil. It closes l. It refuses a listener that
// others than this machine can reach, unless Options.Auth and Options.Exposure fit that.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.denials.Close()
	l, err := s.o.Exposure.guard(l, s.o.Auth != nil, s.o.Logger)
	if err != nil {
		return err
	}
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      s.o.MaxWait + 45*time.Second, // a wait, and the exchanges with Temporal around it
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), stoppingKey{}, ctx)
		},
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("api: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := hs.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("api: requests were still under way %v after shutdown began: %w",
			drainTimeout, err), hs.Close())
	}
	return nil
}
