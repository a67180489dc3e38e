//go:build unix

package e2e_test

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
	crashAgent   = "crash-agent"   // the name under which the agent asks
	crashJournal = "journal.jsonl" // see crashagent
	crashRuns    = "runs.jsonl"
)

// crashFate is what reviewers do with a call of the agent, and how it then may
// end.
var crashFates = map[string][]approval.Status{
	"allow":   {approval.StatusExecuted, approval.StatusOutcomeUnknown, approval.StatusFailed},
	"approve": {approval.StatusExecuted, approval.StatusOutcomeUnknown, approval.StatusFailed},
	"reject":  {approval.StatusRejected},
	"cancel":  {approval.StatusCancelled},
	"ignore":  {approval.StatusExpired},
}

// review decides the agent's calls, each as its label says, until ctx ends.
func (w *crashWorld) review(ctx context.Context) {
	settled := map[string]bool{}
	for ctx.Err() == nil {
		page, err := w.bo.Requests(ctx, client.RequestQuery{Agent: crashAgent})
		for _, v := range page.Items {
			if err == nil && !settled[v.ID] {
				settled[v.ID] = w.reviewed(ctx, v)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *crashWorld) reviewed(ctx context.Context, v client.View) (settled bool) {
	var err error
	switch fate := v.Labels["fate"]; fate {
	case "approve", "reject":
		// The ID makes it one decision however often it is sent.
		_, err = w.decide(ctx, w.bo, v.ID, client.Decision{Kind: approval.DecisionKind(fate), Digest: v.Digest, ID: v.ID + "-" + fate})
	case "cancel":
		_, err = w.withdraws.Cancel(ctx, v.ID, "")
	case "ignore":
	default:
		w.t.Errorf("call %s has the fate %q", v.ID, fate)
	}
	var refused *client.Error
	if errors.As(err, &refused) && refused.HTTPStatus < 500 && refused.Outcome != approval.AnswerAlreadyResolved {
		w.t.Errorf("call %s, %s: %v", v.ID, v.Labels["fate"], err)
	}
	return err == nil
}

// dismiss lets the agent finish what it began.
func (w *crashWorld) dismiss() {
	w.t.Helper()
	l := w.agent.last()
	w.agent.down(syscall.SIGTERM, crashPatience)
	if l.err != nil {
		w.t.Errorf("the agent did not bring its calls to an end within %v: %v", crashPatience, l.err)
	}
}

// crashLine is a line of the agent's journal.
type crashLine struct {
	Key, Fate, ID, Odd string
	Status             approval.Status
}

// countOwn reads how often the agent's own functions ran: what it wrote down
// first of all.
func (w *crashWorld) countOwn() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, crashRuns))
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
func (w *crashWorld) checkAgent(l crashLedger) (calls int) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, crashJournal))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		w.t.Fatal(err)
	}
	journal := map[string]crashLine{}
	for doc := range bytes.Lines(text) {
		var now crashLine
		if json.Unmarshal(doc, &now) != nil { // torn by a kill
			continue
		}
		if now.Odd != "" {
			w.t.Errorf("the agent's call under key %s (%s, %s): %s", now.Key, now.Fate, now.ID, now.Odd)
			continue
		}
		if before := journal[now.Key]; before.Status != "" && (before.ID != now.ID || before.Status != now.Status) {
			w.t.Errorf("the agent was told two ends of key %s: %+v, %+v", now.Key, before, now)
		}
		journal[now.Key] = now
	}
	for key, told := range journal {
		if err := told.stands(l.byKey[key]); err != nil {
			w.t.Errorf("the agent's call under key %s: %v", key, err)
		}
	}
	for _, r := range l.records {
		if key := crashKey(r.View.Args); r.View.Agent == crashAgent && journal[key].Key == "" {
			w.t.Errorf("call %s is the agent's, under key %q, which it never used", r.View.ID, key)
		}
	}
	return len(journal)
}

func (told crashLine) stands(calls []approval.View) error {
	switch {
	case told.Status == "":
		return errors.New("it has not ended")
	case len(calls) != 1:
		return fmt.Errorf("%d calls are on record", len(calls))
	case calls[0].ID != told.ID || calls[0].Status != told.Status:
		return fmt.Errorf("the agent was told %s, %s; on record is %s, %s", told.ID, told.Status, calls[0].ID, calls[0].Status)
	}
	for _, fit := range crashFates[told.Fate] {
		if fit == told.Status {
			return nil
		}
	}
	return fmt.Errorf("call %s ended %s after %s", told.ID, told.Status, told.Fate)
}
