package pawl

import (
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// Waiting is a call that somebody waits for; see Options.OnWait. All texts in it are untrusted.
type Waiting struct {
	ID       string
	Tool     string          // empty where Pawl does not say it
	Status   approval.Status // pending: it waits for people; executing: its tool runs, or is about to
	Deadline *time.Time      // until when people may answer; nil where it is not known
	Err      error           // why Pawl does not say the status: no worker runs, for instance
}

// notice is one line for people, or nothing where there is nothing for them to do.
func (w Waiting) notice() string {
	id := approval.Display(w.ID, 80)
	switch {
	case w.Err != nil:
		return fmt.Sprintf("pawl: waiting for call %s, and Pawl does not say what for: does a worker run?\n", id)
	case w.Status != approval.StatusPending:
		return ""
	case w.Deadline == nil:
		return fmt.Sprintf("pawl: waiting for approval of %s (%s)\n", id, approval.Display(w.Tool, 80))
	}
	return fmt.Sprintf("pawl: waiting for approval of %s (%s) until %s\n",
		id, approval.Display(w.Tool, 80), w.Deadline.Local().Format(time.DateTime))
}
