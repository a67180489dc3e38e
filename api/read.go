package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/sdk/client"
)

// readyTimeout bounds the checks of /readyz, which run side by side.
const readyTimeout = 2 * time.Second

func (s *Server) listAudit(c *gin.Context) error {
	ctx := c.Request.Context()
	q := store.EntryQuery{Kind: audit.Kind(c.Query("kind")), Cursor: c.Query("cursor")}
	var err error
	if q.Limit, err = limitParam(c); err != nil {
		return err
	}
	if prefix := c.Query("request_id"); prefix != "" {
		if q.Call, err = s.o.Store.Resolve(ctx, prefix); err != nil {
			return fromStore(err)
		}
	}
	found, err := s.o.Store.Entries(ctx, q)
	if err != nil {
		return fromStore(err)
	}
	return replyPage(c, found.Items, found.Total, found.Next)
}

func (s *Server) listTools(c *gin.Context) error {
	tools, err := s.o.Store.Tools(c.Request.Context())
	if err != nil {
		return fromStore(err)
	}
	return replyPage(c, tools, len(tools), "")
}

func (s *Server) index(c *gin.Context) error {
	var b strings.Builder
	b.WriteString("Pawl holds risky tool calls until a person lets them go.\n\n")
	for _, r := range s.routes() {
		path := strings.NewReplacer(":id", "{id}", ":decision", "{decision_id}").Replace(r.path)
		fmt.Fprintf(&b, "%-4s %-45s %s\n", r.method, path, r.what)
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(b.String()))
	return nil
}

func (s *Server) healthz(c *gin.Context) error {
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

const unavailable = "unavailable"

// readiness says which needs are met.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // "ok" or "unavailable"
}

func (s *Server) readyz(c *gin.Context) error {
	checks := map[string]func(context.Context) error{
		"store": s.o.Store.Ping,
		"temporal": func(ctx context.Context) error {
			_, err := s.o.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		},
	}
	if s.o.Ready != nil {
		checks["service"] = s.o.Ready
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(checks))
	out := readiness{Ready: true, Checks: map[string]string{}}
	for name, check := range checks {
		out.Checks[name] = unavailable // until it answers
		go func() { results <- result{name, check(ctx)} }()
	}
	for range checks {
		select {
		case r := <-results:
			if r.err == nil {
				out.Checks[r.name] = "ok"
			} else {
				s.o.Logger.WarnContext(ctx, "not ready", "check", r.name, "error", r.err)
			}
		case <-ctx.Done():
		}
	}
	for _, v := range out.Checks {
		out.Ready = out.Ready && v != unavailable
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
		c.Header("Retry-After", retryAfter)
	}
	return reply(c, status, out)
}
