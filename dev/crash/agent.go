//go:build unix

package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const (
	agentName   = "crash-agent"   // the name under which the agent asks
	journalFile = "journal.jsonl" // see crashagent
	runsFile    = "runs.jsonl"
)

// review decides the agent's calls, each as its label says, until ctx ends.
func (w *world) review(ctx context.Context) {
	settled := map[string]bool{}
	for ctx.Err() == nil {
		page, err := w.bo.Requests(ctx, client.RequestQuery{Agent: agentName})
		for _, v := range page.Items {
			if err == nil && !settled[v.ID] {
				settled[v.ID] = w.reviewCall(ctx, v)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *world) reviewCall(ctx context.Context, v client.View) (settled bool) {
	var err error
	switch review := v.Labels["review"]; review {
	case "approve", "reject":
		// The ID makes it one decision however often it is sent.
		d := client.Decision{Kind: approval.DecisionKind(review), Digest: v.Digest, ID: v.ID + "-" + review}
		_, err = w.decide(ctx, w.bo, v.ID, d)
	case "cancel":
		_, err = w.withdraws.Cancel(ctx, v.ID, "")
	case "ignore":
	default:
		w.t.Errorf("call %s has the label review=%q", v.ID, review)
	}
	var refused *client.Error
	if errors.As(err, &refused) && refused.HTTPStatus < 500 &&
		refused.Outcome != approval.AnswerAlreadyResolved {
		w.t.Errorf("call %s, %s: %v", v.ID, v.Labels["review"], err)
	}
	return err == nil
}

// finishAgent lets the agent bring what it began to an end.
func (w *world) finishAgent() {
	w.t.Helper()
	x := w.agent.last()
	w.agent.down(syscall.SIGTERM, patience)
	if err := x.Err(); err != nil {
		w.t.Errorf("the agent did not bring its calls to an end within %v: %v", patience, err)
	}
}

// journalLine is a line of the agent's journal.
type journalLine struct {
	Key, Review, ID, Problem string
	Status                   approval.Status
}

// countOwnRuns reads how often the agent's own functions ran: what it wrote down first of all.
func (w *world) countOwnRuns() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, runsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	for doc := range bytes.Lines(text) {
		var run struct{ ID, Digest, Key string }
		if json.Unmarshal(doc, &run) == nil { // else torn by a kill, before it ran
			w.tools.count(run.ID, run.Digest, run.Key)
		}
	}
}

// checkAgent holds what the agent asked for and was told against the record.
func (w *world) checkAgent(l ledger) (calls int) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		w.t.Fatal(err)
	}
	journal := map[string]journalLine{}
	for doc := range bytes.Lines(text) {
		var now journalLine
		if json.Unmarshal(doc, &now) != nil { // torn by a kill
			continue
		}
		if now.Problem != "" {
			w.t.Errorf("the agent's call under key %s (%s, %s): %s", now.Key, now.Review, now.ID, now.Problem)
			continue
		}
		if before := journal[now.Key]; before.Status != "" && (before.ID != now.ID || before.Status != now.Status) {
			w.t.Errorf("the agent was told two ends of key %s: %+v, %+v", now.Key, before, now)
		}
		journal[now.Key] = now
	}
	for key, told := range journal {
		if err := told.check(l); err != nil {
			w.t.Errorf("the agent's call under key %s: %v", key, err)
		}
	}
	for _, r := range l.records {
		if key := keyIn(r.View.Args); r.View.Agent == agentName && journal[key].Key == "" {
			w.t.Errorf("call %s is the agent's, under key %q, which it never used", r.View.ID, key)
		}
	}
	return len(journal)
}

// check holds what the agent was told of a call, and what reviewers did with it, against the
// record.
func (told journalLine) check(l ledger) error {
	calls := l.byKey[told.Key]
	switch {
	case told.Status == "":
		return errors.New("it has not ended")
	case len(calls) != 1:
		return fmt.Errorf("%d calls are on record", len(calls))
	case calls[0].ID != told.ID || calls[0].Status != told.Status:
		return fmt.Errorf("the agent was told %s, %s; on record is %s, %s",
			told.ID, told.Status, calls[0].ID, calls[0].Status)
	}
	fits := false
	switch told.Review {
	case "allow", "approve":
		fits = l.letGo(calls[0])
	case "reject":
		fits = told.Status == approval.StatusRejected
	case "cancel":
		fits = told.Status == approval.StatusCancelled
	case "ignore":
		fits = told.Status == approval.StatusExpired
	}
	if !fits {
		return fmt.Errorf("call %s ended %s after %s", told.ID, told.Status, told.Review)
	}
	return nil
}
