package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

// own are the functions that run in this process, guarded by the SDK.
type own struct {
	connect func() *pawl.Agent // waits until Temporal answers
	runs    *runLog
}

// runLog tells every run of a function, whatever becomes of the process.
type runLog struct {
	mu   sync.Mutex
	file *os.File
}

type ownArgs struct {
	Key    string `json:"key"`
	Marker string `json:"marker"`
}

func isOwn(tool string) bool { return strings.HasPrefix(tool, "own") }

func openRuns(path string) (*runLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("\n") // after what may be torn
	return &runLog{file: f}, err
}

func newOwn(name string, runs *runLog) *own {
	o := &own{runs: runs}
	o.connect = sync.OnceValue(func() *pawl.Agent {
		for {
			a, err := pawl.Connect(context.Background(), pawl.Options{Agent: name})
			if err != nil {
				time.Sleep(200 * time.Millisecond)
				continue
			}
			for _, tool := range []string{"own", "own_allowed"} {
				pawl.MustGuard(a, tool, o.run, pawl.Tool{})
			}
			return a
		}
	})
	return o
}

// serve runs what was approved while the agent was away.
func (o *own) serve(ctx context.Context) error {
	if err := o.connect().Serve(ctx); !errors.Is(err, pawl.ErrClosed) {
		return err
	}
	return nil
}

// run is on record before it does anything.
func (o *own) run(ctx context.Context, in ownArgs) (ownArgs, error) {
	if err := o.runs.add(ctx, in.Key); err != nil {
		return in, err
	}
	time.Sleep(rand.N(400 * time.Millisecond))
	return in, nil
}

// add puts a run on record, for good.
func (r *runLog) add(ctx context.Context, key string) error {
	c, _ := tool.FromContext(ctx)
	doc, err := json.Marshal(map[string]string{"id": c.CallID, "digest": c.Digest, "key": key})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.file.Write(append(doc, '\n'))
	return cmp.Or(err, r.file.Sync())
}

// has reports whether a call with this key has run, in any life.
func (r *runLog) has(key string) bool {
	text, err := os.ReadFile(r.file.Name())
	return err == nil && bytes.Contains(text, []byte(strconv.Quote(key)))
}

// call brings one call to its end. One that is known may be taken up by its key alone.
func (o *own) call(call approval.Call, known bool) (id string, status approval.Status, err error) {
	ctx, a := context.Background(), o.connect()
	var c *pawl.Call
	if known && rand.IntN(2) == 0 {
		c, err = a.ContinueKey(ctx, call.IdempotencyKey)
	}
	if c == nil && (err == nil || errors.Is(err, pawl.ErrUnknownCall)) {
		c, err = a.Start(ctx, call)
		for unserved(err) {
			c, err = a.Start(ctx, call)
		}
	}
	if err != nil {
		return "", "", err
	}
	out, err := c.Wait(ctx)
	return c.ID(), out.Status, err
}

// unserved reports that no worker was there for half a minute to publish the function: nothing was
// started, and a later call succeeds.
func unserved(err error) bool {
	var p *pawl.PublishError
	return errors.As(err, &p) && strings.HasPrefix(p.Reason, "nobody polls")
}
