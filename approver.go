package pawl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/retry"
)

// Approver decides in the agent's own process: see Options.Approver. It is
// asked about one call at a time, and about each call once.
type Approver interface {
	// Review is shown a call as reviewers see it: redacted, with the digest
	// that its decision will be bound to. All texts in it are untrusted. ctx
	// ends when the call does. A Review that fails or panics decides nothing:
	// the call goes on waiting for other people, or for its deadline.
	Review(ctx context.Context, v approval.View) (Decision, error)
}

// Decision is what an Approver says. The zero value decides nothing.
type Decision struct {
	Kind  approval.DecisionKind // approval.Approve or approval.Reject
	Notes string                // why; the agent gets to read them
}

// ApproverFunc is a function as an Approver.
type ApproverFunc func(ctx context.Context, v approval.View) (Decision, error)

// Review calls f.
func (f ApproverFunc) Review(ctx context.Context, v approval.View) (Decision, error) {
	return f(ctx, v)
}

// askEvery is how often the API is asked what waits, while anything does.
const askEvery = 300 * time.Millisecond

// asking brings the agent's waiting calls before its approver.
type asking struct {
	agent    *Agent
	approver Approver
	api      *client.Client
	conns    *http.Transport // of api
	asked    map[string]bool // by call ID; owned by run

	once sync.Once
}

func newAsking(a *Agent) (*asking, error) {
	conns := &http.Transport{} // no proxy: the address is this machine's
	o := client.Options{
		URL: orElse(a.o.API, client.DefaultURL), Reviewer: orElse(a.o.Reviewer, a.o.Agent+" (in process)"),
		UserAgent: "pawl-sdk", HTTP: &http.Client{Transport: conns},
	}
	api, err := client.New(o)
	if err != nil {
		return nil, fmt.Errorf("pawl: Options.API: %w", err)
	}
	if !loopback(o.URL) {
		return nil, approval.Errorf(approval.CodeInvalid, "pawl: Options.API is not a loopback address: an approver inside the agent's process is for local work; elsewhere people decide by pawl approve or the API")
	}
	return &asking{agent: a, approver: a.o.Approver, api: api, conns: conns, asked: map[string]bool{}}, nil
}

func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// begin starts to look for calls that wait, if that has not happened yet.
func (k *asking) begin() {
	k.once.Do(func() {
		if k.agent.ctx.Err() == nil {
			go k.run() // ends with the agent, and with an approver that heeds its context
		}
	})
}

func (k *asking) run() {
	defer k.conns.CloseIdleConnections()
	ctx, warned := k.agent.ctx, false
	for retry.Sleep(ctx, askEvery) {
		mine := k.agent.watch.ids()
		for id := range k.asked {
			if !mine[id] {
				delete(k.asked, id)
			}
		}
		if len(mine) <= len(k.asked) {
			continue
		}
		page, err := k.api.Requests(ctx, client.RequestQuery{Agent: k.agent.o.Agent})
		if err != nil {
			if !warned && ctx.Err() == nil {
				k.agent.o.Logger.WarnContext(ctx, "the approver is not asked, since the API does not answer; trying again", "error", err)
			}
			warned = true
			continue
		}
		warned = false
		for i := len(page.Items) - 1; i >= 0; i-- { // oldest first
			if v := page.Items[i].View; mine[v.ID] && !k.asked[v.ID] && v.Status == approval.StatusPending {
				k.review(v)
			}
		}
	}
}

// review asks about one call and sends the decision, which is bound to the
// digest that was shown.
func (k *asking) review(v approval.View) {
	x := k.agent.watch.has(v.ID)
	if x == nil {
		return
	}
	ctx, cancel := context.WithCancel(k.agent.ctx)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-x.done:
			cancel()
		case <-over:
		}
	}()
	k.asked[v.ID] = true
	d, err := k.call(ctx, v)
	if err == nil && d.Kind != "" {
		_, err = k.api.Decide(ctx, v.ID, client.Decision{Kind: d.Kind, Digest: v.Digest, Notes: d.Notes})
	}
	var away *client.UnreachableError
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.As(err, &away):
		delete(k.asked, v.ID)
		fallthrough
	default:
		k.agent.o.Logger.WarnContext(ctx, "the approver did not decide a call", "id", v.ID, "error", err)
	}
}

func (k *asking) call(ctx context.Context, v approval.View) (d Decision, err error) {
	defer func() {
		if p := recover(); p != nil { // the value may hold what was shown
			d, err = Decision{}, fmt.Errorf("the approver panicked with a %T", p)
		}
	}()
	return k.approver.Review(ctx, v)
}
