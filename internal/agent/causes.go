package agent

import (
	"sync"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

// Causes holds the errors that guarded functions returned in this process, for the callers that
// wait in it. The oldest are forgotten first. The zero value is ready, and safe for concurrent use.
type Causes struct {
	mu    sync.Mutex
	byID  map[string]error
	order []string
}

const maxCauses = 1024

// Add keeps the error that a run for this call returned.
func (c *Causes) Add(callID string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]error{}
	}
	if _, again := c.byID[callID]; !again {
		c.order = append(c.order, callID)
	}
	c.byID[callID] = err
	if len(c.order) > maxCauses {
		delete(c.byID, c.order[0])
		c.order = c.order[1:]
	}
}

// Of returns the error that made the outcome, or nil. The tool may have run in another process,
// too: then the texts differ.
func (c *Causes) Of(o approval.Outcome) error {
	if o.Error == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.byID[o.ID]; err != nil && tool.Failed(err).Error() == o.Error.Message {
		return err
	}
	return nil
}
