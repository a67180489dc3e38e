package pawl

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"go.temporal.io/sdk/client"
)

// oneCall is a Temporal with one call, which does not end.
type oneCall struct {
	client.Client
	agent.Backend
}

func (oneCall) End(ctx context.Context, _, _ string, wait bool) (approval.Outcome, error) {
	if wait {
		<-ctx.Done()
	}
	return approval.Outcome{}, agent.ErrPending
}

func (oneCall) State(context.Context, string) (approval.State, error) {
	return approval.State{}, agent.ErrPending
}

func (oneCall) Close() {}

// The connections to the API end with the agent.
func TestApproverLeavesNoConnection(t *testing.T) {
	asked, closed := make(chan struct{}, 100), make(chan struct{}, 100)
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"items":[{"id":"c","tool":"search","status":"pending","digest":"d","args":{},"created_at":"2026-01-02T03:04:05Z"}],"total":1,"next_cursor":null}`))
	}))
	api.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	api.Start()
	defer api.Close()
	never := ApproverFunc(func(context.Context, approval.View) (Decision, error) {
		asked <- struct{}{} // the answer was read, so the connection is idle
		return Decision{}, nil
	})
	a, err := New(oneCall{}, Options{Agent: "a", Approver: never, API: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	call, err := a.Continue(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	call.Done()
	<-asked
	a.Close()
	<-closed
}
