package pawl

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

type shut struct{ *lake }

func (shut) Close() {}

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
	l := newLake()
	l.open("c")
	a, err := NewWith(shut{l}, Options{Agent: "a", Approver: never, API: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	a.watch.join("c", "")
	a.asking.begin()
	<-asked
	a.Close()
	<-closed
}
