package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// Defaults of Options.Wait. Clients that end a call after a minute of silence get an answer before; of
// those that are known to go on as long as they see progress, none ends it before four minutes.
const (
	defaultWait  = 50 * time.Second
	extendedWait = 3*time.Minute + 30*time.Second
)

// extending are the clients, by the name that they give themselves, whose patience progress extends. Of
// Claude Desktop (60 s in some versions), Cursor and VS Code it is not known.
var extending = []string{"claude-code", "opencode"}

// Options configure a Gateway. Server, Upstream and API are needed.
type Options struct {
	// Server names the server in Pawl: its tool T is the tool Server.T there.
	Server string
	// Upstream is how to reach the server: see Child.
	Upstream Upstream
	// API makes the client of Pawl's API that asks for a caller with a token; empty: the caller's own
	// settings.
	API func(token string) (*client.Client, error)
	// Agent and Session go into every call. A call attaches to earlier ones with the same. Default: the
	// agent that the token is for, else "mcp"; and none.
	Agent, Session string
	// Wait is how long a client is let wait for people before it is told that its call is pending.
	// Default: 50 s, and 3 min 30 s for clients that are known to wait longer while they see progress.
	Wait time.Duration
	// ReportWithin is how long a tool may run before its outcome counts as unknown. Default:
	// approval.DefaultReportWithin.
	ReportWithin time.Duration
	// Pins is the file that keeps what the server said of its tools. Default: nothing outlasts the process.
	Pins string
	// Logger gets what goes wrong. Default: nobody.
	Logger *slog.Logger
}

// Upstream is how to reach a server.
type Upstream struct{ dial dial }

// Gateway guards one server.
type Gateway struct {
	o       Options
	pins    *pins
	offered atomic.Bool // the API lets callers run tools
}

// New makes a gateway. Errors have approval.CodeInvalid.
func New(o Options) (*Gateway, error) {
	if err := approval.CheckTool(o.Server); err != nil {
		return nil, approval.Errorf(approval.CodeInvalid, "the server's name: use letters, digits, _ . : / -")
	}
	err := cmp.Or(approval.CheckName("agent", o.Agent), approval.CheckName("session", o.Session))
	if err != nil {
		return nil, err
	}
	switch {
	case o.Upstream.dial == nil || o.API == nil:
		return nil, approval.Errorf(approval.CodeInvalid, "a gateway needs a server and an API")
	case o.Wait < 0:
		return nil, approval.Errorf(approval.CodeInvalid, "wait %v is negative", o.Wait)
	case o.ReportWithin < 0 || o.ReportWithin > approval.MaxReportWithin.Std():
		return nil, approval.Errorf(approval.CodeInvalid, "a run's time %v is not in (0, %v]",
			o.ReportWithin, approval.MaxReportWithin)
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	kept, err := readPins(o.Pins)
	if err != nil {
		return nil, err
	}
	return &Gateway{o: o, pins: kept}, nil
}

// patience is how long reports are sent when everything else has ended.
const patience = 15 * time.Second

// ServeStdio serves one client, by lines on in and out, until in ends, the server ends or ctx does. It
// returns an error if the server ended by itself.
func (g *Gateway) ServeStdio(ctx context.Context, in io.ReadCloser, out io.Writer) error {
	api, err := g.o.API("")
	if err != nil {
		return err
	}
	var mu sync.Mutex
	s, err := g.newSession(api, func(m message) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = out.Write(append(m.raw[:len(m.raw):len(m.raw)], '\n')) // a client that is gone closes in, too
	})
	if err != nil {
		return err
	}
	read := make(chan error, 1)
	go func() { read <- lines(in, s.fromClient) }()
	select {
	case err = <-read:
	case <-s.over:
		err = s.why
	case <-ctx.Done():
	}
	s.close()
	_ = in.Close() // where a read can be interrupted
	return err
}

// ready reports why the API can't guard anything now.
func (g *Gateway) ready(ctx context.Context, api *client.Client) error {
	if g.offered.Load() {
		return nil
	}
	v, err := api.Version(ctx)
	if e, ok := errors.AsType[*client.Error](err); ok && e.HTTPStatus != 404 {
		return err
	} else if err != nil && !ok {
		return err
	}
	if !slices.Contains(v.Features, "caller") {
		return fmt.Errorf("the API at %s offers no calls that their callers run: upgrade it", api.URL())
	}
	g.offered.Store(true)
	return nil
}

// waitFor is how long a client waits for people.
func (g *Gateway) waitFor(name string, progress bool) time.Duration {
	switch {
	case g.o.Wait > 0:
		return g.o.Wait
	case progress && slices.Contains(extending, name):
		return extendedWait
	}
	return defaultWait
}
