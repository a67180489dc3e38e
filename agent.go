package pawl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/agent"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"
)

// Defaults of Options.
const (
	DefaultDrain   = 30 * time.Second
	DefaultRunning = 100
)

// Options configure an Agent. Only Agent is needed.
type Options struct {
	// Agent names the agent, everywhere: to reviewers, in the policy, and as owner of the tools it
	// guards. All processes of one agent use one name and guard the same functions. Required; at most
	// 189 bytes.
	Agent string
	// Team and Session go into every call that has none of its own. Default: none.
	Team, Session string
	// TaskQueue is where Pawl's workers take calls. Default: approval.TaskQueue.
	TaskQueue string
	// PayloadKeys is a keyring file: with it Connect encrypts what the agent sends by Temporal, its
	// functions' results and errors too, and reads what Pawl's workers encrypted. Default: the file
	// that PAWL_PAYLOAD_KEYS names, else everything is plain. New refuses it: its client has a codec
	// already, by Configure of package codec, or none.
	PayloadKeys string
	// Approver decides, in this process, the agent's calls that wait for people: for local work,
	// without a second terminal. Only an API on a loopback address that authenticates nobody takes
	// such decisions, and records them as unauthenticated. Default: none.
	Approver Approver
	// API is where decisions of Approver go, on a loopback address. Default: client.DefaultURL of
	// package client.
	API string
	// Reviewer is the name under which they are recorded. Default: the agent's name and "(in
	// process)".
	Reviewer string
	// OnWait is called once, from a goroutine of its own, for each call that somebody in this process
	// has waited for since a second; of more than a hundred at a time it gets only a part. Default: a
	// line on standard error if the call waits for people, or if Pawl does not say what for; with an
	// Approver, nothing.
	OnWait func(Waiting)
	// Drain is how long Close waits for functions that run. Default: DefaultDrain.
	Drain time.Duration
	// Running is how many guarded functions run at once in this process; what comes on top waits, also
	// in other processes. Default: DefaultRunning.
	Running int
	// Logger gets what can't be returned as an error: that Temporal is away, that a tool was refused.
	// Default: nothing is logged.
	Logger *slog.Logger
}

func (o *Options) validate() error {
	o.TaskQueue = cmp.Or(o.TaskQueue, approval.TaskQueue)
	o.Drain = cmp.Or(o.Drain, DefaultDrain)
	o.Running = cmp.Or(o.Running, DefaultRunning)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.OnWait == nil {
		o.OnWait = func(Waiting) {}
		if o.Approver == nil {
			o.OnWait = func(w Waiting) { _, _ = io.WriteString(os.Stderr, w.notice()) }
		}
	}
	switch {
	case o.Agent == "":
		return approval.Errorf(approval.CodeInvalid, "pawl: Options.Agent is missing: name the agent")
	case o.Drain < 0:
		return approval.Errorf(approval.CodeInvalid, "pawl: Options.Drain %v is negative", o.Drain)
	case o.Running < 0:
		return approval.Errorf(approval.CodeInvalid, "pawl: Options.Running %d is negative", o.Running)
	}
	if err := approval.CheckName("agent's task queue", approval.AgentQueue(o.Agent)); err != nil {
		return fmt.Errorf("pawl: Options.Agent: %w", err)
	}
	// What goes into every call must be valid in a call.
	probe := approval.Call{
		Tool: "probe", Agent: o.Agent, Team: o.Team, Session: o.Session, Requester: requesterOf(o.Agent),
	}
	probe.Normalize()
	if err := probe.Validate(); err != nil {
		return fmt.Errorf("pawl: Options: %w", err)
	}
	return nil
}

// Agent guards functions, and starts, waits for and continues guarded calls. Make one for each
// process, and close it. It is safe for concurrent use.
type Agent struct {
	o       Options
	b       agent.Backend
	runtime *agent.Runtime
	reviews *reviews // nil without an approver
	causes  agent.Causes
}

// Connect dials Temporal as its environment variables and configuration file say (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, …; default localhost:7233), and makes an agent on that
// connection, which Close closes. It fails if nobody answers there, if the namespace is missing, or
// if Pawl's workers encrypt payloads and this process does not, or with other keys. It is the one
// constructor that reads the environment; New does not.
func Connect(ctx context.Context, o Options) (*Agent, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, fmt.Errorf("pawl: settings of Temporal: %w", err)
	}
	options.Logger = sdklog.NewStructuredLogger(o.Logger)
	if path := cmp.Or(o.PayloadKeys, strings.TrimSpace(os.Getenv("PAWL_PAYLOAD_KEYS"))); path != "" {
		keys, err := codec.Load(path)
		if err == nil {
			err = keys.Configure(&options)
		}
		if err != nil {
			return nil, fmt.Errorf("pawl: %w", err)
		}
	}
	b, err := agent.Connect(ctx, options, o.TaskQueue)
	where := cmp.Or(options.HostPort, client.DefaultHostPort)
	if errors.Is(err, health.ErrMissing) {
		return nil, fmt.Errorf("pawl: Temporal at %s has no namespace %s: "+
			"create it with `pawl setup`, or set TEMPORAL_NAMESPACE: %w",
			where, approval.Display(cmp.Or(options.Namespace, client.DefaultNamespace), 200), err)
	}
	if errors.Is(err, health.ErrUnreadable) {
		return nil, fmt.Errorf("pawl: task queue %s at Temporal %s: %w",
			approval.Display(o.TaskQueue, 200), where, err)
	}
	if err != nil {
		return nil, fmt.Errorf("pawl: no answer from Temporal at %s (set TEMPORAL_ADDRESS): %w", where, err)
	}
	a, err := newAgent(b, o)
	if err != nil {
		b.Close()
	}
	return a, err
}

// New makes an agent on a Temporal client, which stays the caller's to close, after the agent. It
// contacts nobody.
func New(c client.Client, o Options) (*Agent, error) {
	if c == nil {
		return nil, approval.Errorf(approval.CodeInvalid, "pawl: New needs a Temporal client: see Connect")
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.PayloadKeys != "" {
		return nil, approval.Errorf(approval.CodeInvalid,
			"pawl: Options.PayloadKeys is for Connect: configure the client of New with the keyring, by package codec")
	}
	return newAgent(agent.On(c, o.TaskQueue), o)
}

// newAgent makes an agent of options that are valid.
func newAgent(b agent.Backend, o Options) (*Agent, error) {
	a := &Agent{o: o, b: b}
	if o.Approver != nil {
		reviews, err := newReviews(a)
		if err != nil {
			return nil, err
		}
		a.reviews = reviews
	}
	a.runtime = agent.New(b, agent.Options{
		Agent: o.Agent, Drain: o.Drain, Running: o.Running, Logger: o.Logger, Unpublished: unpublished,
		Waiting: func(id string, s approval.State, err error) {
			o.OnWait(Waiting{ID: id, Tool: s.Tool, Status: s.Status, Deadline: s.Deadline, Err: err})
		},
	})
	return a, nil
}

// Serve publishes the functions that are guarded so far and runs what was approved of them until
// ctx ends. Agents that call need no Serve: their first call does the same. It is for agents that
// only serve, and for those that come back: calls that were approved while they were away run now.
// Running goes on until Close. Serve returns nil when ctx ends, and an error if a tool is refused
// (*PublishError) or the agent closed (ErrClosed). Where no Pawl worker runs it waits for one.
func (a *Agent) Serve(ctx context.Context) error {
	if err := a.open(); err != nil {
		return err
	}
	a.begin()
	return a.runtime.Serve(ctx)
}

// Close takes no more work, waits for guarded functions that run here, at most Options.Drain, and
// then ends every waiting (*PendingError with ErrClosed). Calls go on without the agent; after it
// came back, Continue finds them.
func (a *Agent) Close() { a.runtime.Close() }

// begin starts what a waiting call needs in this process.
func (a *Agent) begin() {
	a.runtime.Begin()
	if a.reviews != nil {
		a.reviews.begin()
	}
}

func (a *Agent) open() error {
	if a.runtime.Context().Err() != nil {
		return ErrClosed
	}
	return nil
}

// requester is who asks, as far as idempotency keys go. It is not proven: the agent writes to
// Temporal itself.
func (a *Agent) requester() string { return requesterOf(a.o.Agent) }

func requesterOf(agent string) string { return "agent:" + agent }
