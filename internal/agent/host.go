package agent

import (
	"sync"

	"github.com/pawlhq/pawl/internal/retry"
)

// host keeps a worker on the agent's queue, from the moment it is needed until
// the agent closes.
type host struct {
	core // its context ends when no more work is taken
	o    ServeOptions

	once    sync.Once
	running sync.WaitGroup
}

// begin starts to serve, if that has not happened yet, and waits for nothing:
// an approved call is patient.
func (h *host) begin() {
	h.once.Do(func() {
		if h.ctx.Err() == nil {
			h.running.Go(h.run)
		}
	})
}

func (h *host) run() {
	var pause retry.Backoff
	for {
		died := make(chan error, 1)
		o := h.o
		o.Died = func(err error) {
			select {
			case died <- err:
			default:
			}
		}
		stop, err := h.b.Serve(h.ctx, o)
		if err == nil {
			pause.Reset()
			select {
			case <-h.ctx.Done():
				stop() // drains
				return
			case err = <-died:
				stop()
			}
		}
		if h.ctx.Err() != nil {
			return
		}
		h.log.WarnContext(h.ctx, "the agent's tools can't be served; trying again", "queue", o.Queue, "error", err)
		if !pause.Wait(h.ctx) {
			return
		}
	}
}

// close stops taking work and waits for what runs. The context must have ended
// before.
func (h *host) close() {
	h.once.Do(func() {}) // nothing begins any more
	h.running.Wait()
}
