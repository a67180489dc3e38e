// Package health looks whether what Pawl needs around it is there: Temporal, its namespace and
// search attributes, and workers that poll. The API's readiness, the worker's, `pawl doctor` and
// `pawl setup` all go by it.
package health

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Alive is how long ago a worker may have polled at last. A poll waits for a minute at most, so a
// worker that lives has polled within that; Temporal itself remembers dead ones for five minutes.
const Alive = 90 * time.Second

// Attributes are the search attributes that a namespace should have, sorted. Calls do without those
// that are missing.
var Attributes = []string{approval.SearchAgent, approval.SearchStatus, approval.SearchTool}

// AttributeType is the type of all of them.
const AttributeType = enums.INDEXED_VALUE_TYPE_KEYWORD

// MissingAttributes returns the names of Attributes that the namespace does not have, or has with
// another type, sorted.
func MissingAttributes(
	ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string,
) ([]string, error) {
	r := &operatorservice.ListSearchAttributesRequest{Namespace: namespace}
	answer, err := operator.ListSearchAttributes(ctx, r)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range Attributes {
		if answer.GetCustomAttributes()[name] != AttributeType {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// Polled reports whether a worker polls the task queue for workflow tasks or activity tasks:
// whether one did within Alive.
func Polled(
	ctx context.Context, service workflowservice.WorkflowServiceClient,
	namespace, queue string, kind enums.TaskQueueType,
) (bool, error) {
	answer, err := service.DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueue.TaskQueue{Name: queue}, TaskQueueType: kind,
	})
	if err != nil {
		return false, err
	}
	return Polls(answer.GetPollers()), nil
}

// Polls reports whether one of a task queue's pollers is alive, for those who ask Temporal
// themselves.
func Polls(pollers []*taskqueue.PollerInfo) bool {
	return slices.ContainsFunc(pollers, func(p *taskqueue.PollerInfo) bool {
		return time.Since(p.GetLastAccessTime().AsTime()) < Alive
	})
}

// Namespace returns an error that wraps ErrMissing if Temporal does not know the namespace, another
// if it does not say.
func Namespace(ctx context.Context, service workflowservice.WorkflowServiceClient, namespace string) error {
	_, err := Retention(ctx, service, namespace)
	return err
}

// Retention is how long a namespace keeps workflows that have ended. Its errors are Namespace's.
func Retention(
	ctx context.Context, service workflowservice.WorkflowServiceClient, namespace string,
) (time.Duration, error) {
	request := &workflowservice.DescribeNamespaceRequest{Namespace: namespace}
	answer, err := service.DescribeNamespace(ctx, request)
	if errors.As(err, new(*serviceerror.NamespaceNotFound)) || errors.As(err, new(*serviceerror.NotFound)) {
		return 0, fmt.Errorf("namespace: %w", ErrMissing)
	}
	return answer.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(), err
}

// SearchAttributes returns an error that wraps ErrMissing, and names them, if MissingAttributes
// finds any.
func SearchAttributes(
	ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string,
) error {
	missing, err := MissingAttributes(ctx, operator, namespace)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("search attributes %s: %w", strings.Join(missing, ", "), ErrMissing)
	}
	return err
}

// ErrOtherStore: the calls of the task queue are kept in another store. With this one they could be
// judged anew, and their tools run again.
var ErrOtherStore = errors.New("the task queue's calls are kept in another store")

// ErrUnreadable: this process and the workers of the task queue do not encrypt payloads alike.
var ErrUnreadable = errors.New("this process can't read what the task queue's workers write: " +
	"all need the same keyring (--payload-keys, PAWL_PAYLOAD_KEYS), or none")

// Describer looks at workflows; a client.Client is one.
type Describer interface {
	DescribeWorkflow(ctx context.Context, workflowID, runID string) (*client.WorkflowExecutionDescription, error)
}

// SameStore looks whether a task queue's calls are kept in the store with this ID. Nobody may have
// begun to keep any: then they are. Errors: ErrOtherStore, ErrUnreadable, and what Temporal says.
func SameStore(ctx context.Context, temporal Describer, queue, id string) error {
	theirs, kept, err := keptIn(ctx, temporal, queue)
	switch {
	case err != nil:
		return err
	case kept && theirs != id:
		return fmt.Errorf("%w: those of %q in %.8s…, this is %.8s…. "+
			"Use the store that they started with, or another task queue. If that store is gone for good, "+
			"terminate the workflow %s in Temporal: calls that wait can't continue as they were",
			ErrOtherStore, queue, approval.Display(theirs, 40), id, approval.StoreWorkflowID(queue))
	}
	return nil
}

// SamePayloads looks whether this process reads what the workers of a task queue write. Where no
// worker has been yet, it does. Errors: ErrUnreadable, and what Temporal says.
func SamePayloads(ctx context.Context, temporal Describer, queue string) error {
	_, _, err := keptIn(ctx, temporal, queue)
	return err
}

// keptIn returns the ID of the store that the queue's calls are kept in, if there is one.
func keptIn(ctx context.Context, temporal Describer, queue string) (id string, kept bool, err error) {
	d, err := temporal.DescribeWorkflow(ctx, approval.StoreWorkflowID(queue), "")
	var unknown *serviceerror.NotFound
	switch {
	case errors.As(err, &unknown):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("looking up the task queue's store: %w", err)
	case !calls.IsOpen(d.Status):
		return "", false, nil
	}
	if err := d.GetMemoValue(approval.MemoStore, &id); err != nil {
		return "", false, fmt.Errorf("looking up the task queue's store: %w: %w", ErrUnreadable, err)
	}
	return id, true, nil
}

// ErrMissing: what was looked for answers, or was searched, and is not there.
var ErrMissing = errors.New("missing")

// Timeout is how long the checks of one Look may take, side by side. It is below what probes of
// orchestrators are usually given.
const Timeout = 2 * time.Second

// Check looks at one thing that a process needs, or should have.
type Check struct {
	Name string
	// Look returns nil, an error that wraps ErrMissing, or another. It must be safe for concurrent
	// use, also with itself: one that does not heed its context is left behind.
	Look func(context.Context) error
	// Advice says what is wrong and what to do. Anybody may read it, so it holds no addresses and no
	// secrets.
	Advice string
	// Missing is the advice instead where Look's error wraps ErrMissing; default Advice.
	Missing string
	// Needs names another check without which this one can't succeed. If that one fails, only its
	// advice is given.
	Needs string
	// Optional: the process is ready even if the check fails, and the answer says so.
	Optional bool
	// Says is what the answer says after the check ran, before the advice if it failed. Default: nothing.
	Says func() string
}

// Pace keeps a fault that lasts from filling the log. The zero value is ready; it is safe for
// concurrent use.
type Pace struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// pause is how long a fault is only of use for debugging after it was logged.
const pause = time.Minute

// Level is the level at which to log a fault: the one that is meant, or Debug if that fault was logged
// within a minute. Keys name faults; there must not be many.
func (p *Pace) Level(key string, meant slog.Level) slog.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, said := p.said[key]; said && time.Since(last) < pause {
		return slog.LevelDebug
	}
	if p.said == nil {
		p.said = map[string]time.Time{}
	}
	p.said[key] = time.Now()
	return meant
}

// Look makes all checks at once and returns after Timeout at the latest: what has not answered by
// then, or before ctx ends, is Unavailable. Why a check failed goes to the logger only, at its pace.
func Look(ctx context.Context, logger *slog.Logger, pace *Pace, checks ...Check) rest.Readiness {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	type answer struct {
		Check
		err error
	}
	answers := make(chan answer, len(checks))
	left := map[string]Check{}
	for _, c := range checks {
		left[c.Name] = c
		go func() { answers <- answer{c, c.Look(ctx)} }()
	}
	r := rest.Readiness{Ready: true, Checks: map[string]rest.CheckState{}, Detail: map[string]string{}}
	failed := func(c Check, err error) {
		r.Checks[c.Name], r.Detail[c.Name] = rest.CheckUnavailable, c.Advice
		if errors.Is(err, ErrMissing) {
			r.Checks[c.Name], r.Detail[c.Name] = rest.CheckMissing, cmp.Or(c.Missing, c.Advice)
		}
		r.Ready = r.Ready && c.Optional
		level := slog.LevelDebug
		if !c.Optional { // probes come every few seconds
			level = pace.Level(c.Name, slog.LevelWarn)
		}
		logger.Log(ctx, level, "a check of readiness failed", "check", c.Name, "error", err)
	}
	for len(left) > 0 {
		select {
		case a := <-answers:
			delete(left, a.Name)
			if a.err == nil {
				r.Checks[a.Name] = rest.CheckOK
			} else {
				failed(a.Check, a.err)
			}
			if a.Says != nil {
				r.Detail[a.Name] = strings.Trim(a.Says()+". "+r.Detail[a.Name], ". ")
			}
		case <-ctx.Done():
			for _, c := range left {
				failed(c, ctx.Err())
			}
			left = nil
		}
	}
	for _, c := range checks {
		if state := r.Checks[c.Needs]; state != "" && state != rest.CheckOK {
			delete(r.Detail, c.Name)
		}
	}
	return r
}

// fresh is how long a report holds, so that whoever can reach the port can't make the process
// hammer Temporal and the store.
const fresh = time.Second

var errChanging = errors.New("starting or stopping")

// Handler serves GET /healthz, which is 200 as long as the process lives, and GET /readyz, which is
// 200 if it is ready, else 503, with a rest.Readiness as JSON in both cases. It shows nothing
// secret, so other machines may reach it. It is safe for concurrent use.
type Handler struct {
	mux  *http.ServeMux
	log  *slog.Logger
	pace Pace

	mu     sync.Mutex // held while the checks run: who asks meanwhile gets that answer
	checks []Check
	last   rest.Readiness
	asked  time.Time
}

// NewHandler makes a Handler that is not ready until Use gives it checks. It logs why checks
// failed, which /readyz does not show.
func NewHandler(log *slog.Logger) *Handler {
	h := &Handler{mux: http.NewServeMux(), log: log}
	h.Pause()
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	h.mux.HandleFunc("GET /readyz", h.readyz)
	return h
}

// Use replaces the checks.
func (h *Handler) Use(checks ...Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks, h.asked = checks, time.Time{}
}

// Pause replaces the checks by one that fails: the process does not serve.
func (h *Handler) Pause() {
	h.Use(Check{
		Name: "process", Advice: "This process is starting or stopping.",
		Look: func(context.Context) error { return errChanging },
	})
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	report := h.report(r.Context())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !report.Ready {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report)
}

func (h *Handler) report(ctx context.Context) rest.Readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked.IsZero() || time.Since(h.asked) >= fresh {
		// Others get this answer, too: it does not end with who asked first.
		h.last = Look(context.WithoutCancel(ctx), h.log, &h.pace, h.checks...)
		h.asked = time.Now()
	}
	return h.last
}
