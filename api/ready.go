package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/rest"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

func (s *Server) healthz(c *gin.Context) error {
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

// readyz says which needs are met. Without a worker, or without search attributes, the API is ready
// all the same: what it takes is kept by Temporal, and an API that says no to reviewers would only
// make an outage longer.
func (s *Server) readyz(c *gin.Context) error {
	ctx := c.Request.Context()
	var out rest.Readiness
	if s.o.Auth == nil {
		out = health.Look(ctx, s.o.Logger, &s.pace, s.checks...)
	} else { // anybody may ask, as often as they like
		var err error
		if out, err = s.ready.get(ctx, struct{}{}); err != nil {
			return err
		}
	}
	if principal(c).Subject == "" {
		out.Detail = nil // it names what only users need to know
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
		c.Header("Retry-After", retryAfter)
	}
	return reply(c, status, out)
}

func (s *Server) readiness() []health.Check {
	t, namespace, shown := s.o.Temporal, s.o.Namespace, approval.Display(s.o.Namespace, 0)
	checks := []health.Check{
		{
			Name: "store", Look: s.o.Store.Ping,
			Advice: "Pawl's store can't be used: check that its database runs, that its disk is neither full nor " +
				"read-only, that its file was not moved, and that this process may use it.",
		},
		{
			Name: "temporal", Look: func(ctx context.Context) error {
				_, err := t.CheckHealth(ctx, &client.CheckHealthRequest{})
				return err
			},
			Advice: "Temporal does not answer: check that it runs at TEMPORAL_ADDRESS. " +
				"Until then nothing can be started or decided.",
		},
		{
			Name: "namespace", Needs: "temporal", Look: func(ctx context.Context) error {
				return health.Namespace(ctx, t.WorkflowService(), namespace)
			},
			Missing: fmt.Sprintf("The namespace %q can't be found in Temporal: "+
				"'pawl setup' creates it, TEMPORAL_NAMESPACE names another.", shown),
			Advice: fmt.Sprintf("Temporal does not say whether it has the namespace %q: "+
				"check the credentials.", shown),
		},
		{
			Name: "search_attributes", Needs: "namespace", Optional: true,
			Look: func(ctx context.Context) error {
				return health.SearchAttributes(ctx, t.OperatorService(), namespace)
			},
			Advice: fmt.Sprintf("The search attributes %s, %s and %s can't be found in the namespace: "+
				"'pawl setup' adds them. Only lists in Temporal's own UI need them.",
				approval.SearchStatus, approval.SearchTool, approval.SearchAgent),
		},
		{
			Name: "worker", Needs: "namespace", Optional: true, Look: s.workerPolls,
			Advice: noWorker(s.o.TaskQueue),
		},
	}
	if s.o.Auth != nil {
		checks = append(checks, health.Check{
			Name: "authentication", Optional: true, Look: s.o.Auth.Ready,
			Advice: "Nobody can sign in with the OpenID Connect issuer now: " +
				"check that this process reaches it; the process's log says more.",
		})
	}
	if s.o.Ready != nil {
		checks = append(checks, health.Check{Name: "service",
			Look: s.o.Ready, Advice: "The service that this API is part of is starting or stopping."})
	}
	return checks
}

func (s *Server) workerPolls(ctx context.Context) error {
	polled, err := s.pollers.get(ctx, queue{s.o.TaskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW})
	if err == nil && !polled {
		err = fmt.Errorf("worker: %w", health.ErrMissing)
	}
	return err
}

// queue is a task queue, for workflows or for activities.
type queue struct {
	name string
	kind enumspb.TaskQueueType
}

// isPolled reports whether a worker polls a task queue.
func (s *Server) isPolled(ctx context.Context, q queue) (bool, error) {
	return health.Polled(ctx, s.o.Temporal.WorkflowService(), s.o.Namespace, q.name, q.kind)
}

// toolQueues returns the task queue of each tool.
func (s *Server) toolQueues(ctx context.Context, _ struct{}) (map[string]string, error) {
	tools, err := s.o.Store.Tools(ctx)
	queues := make(map[string]string, len(tools))
	for _, t := range tools {
		queues[t.Name] = t.Queue
	}
	return queues, err
}
