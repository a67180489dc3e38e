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

// asker is a part that asks for calls by itself: the program crashagent.
type asker struct {
	*part
	as string // the name under which it asks
}

const (
	agentName  = "crash-agent"  // calls that workers run, and own functions by the SDK
	callerName = "crash-caller" // calls that it runs itself, over HTTP alone
)

// journal and runs are the files that an asker keeps, in the world's folder.
func (k asker) journal() string { return k.as + ".jsonl" }
func (k asker) runs() string    { return k.as + "-runs.jsonl" }

// newAsker adds one that is not started yet, and may ask any of the APIs.
func (w *world) newAsker(name, as string, apis, flags, variables []string) *asker {
	k := &asker{as: as}
	args := append([]string{"--name", as, "--journal", k.journal(), "--runs", k.runs()}, flags...)
	for _, api := range apis {
		args = append(args, "--api", "http://"+api)
	}
	k.part = w.add(name, "crashagent", args, variables...)
	k.serves = func() bool { return true }
	w.askers = append(w.askers, k)
	return k
}

// addCaller adds the asker that runs its tools itself. It kills itself over some of its calls.
func (w *world) addCaller(apis ...string) {
	w.caller = w.newAsker("caller", callerName, apis, []string{"--callers", "caller-journals", "--calls", "4"}, nil)
	w.caller.dies = true
}

// review decides an asker's calls, each as its label says, until ctx ends.
func (w *world) review(ctx context.Context, k *asker) {
	settled := map[string]bool{}
	for ctx.Err() == nil {
		page, err := w.bo.Requests(ctx, client.RequestQuery{Agent: k.as})
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

// finish lets an asker bring what it began to an end. It may kill itself on the way, and is started
// again then.
func (k *asker) finish() {
	w := k.w
	w.t.Helper()
	last := func() *process {
		w.mu.Lock()
		defer w.mu.Unlock()
		return k.last()
	}
	w.mu.Lock()
	k.finishing, k.args = true, append(k.args, "--finish")
	w.mu.Unlock()
	last().Signal(syscall.SIGTERM)
	ended := poll(w.t.Context(), patience, func() bool { return last().Ended() && last().Err() == nil })
	k.down(syscall.SIGKILL, 0)
	if !ended {
		w.t.Errorf("the %s did not bring its calls to an end within %v", k.name, patience)
	}
}

// journalLine is a line of an asker's journal.
type journalLine struct {
	Key, Review, ID, Problem string
	Status                   approval.Status
}

// countOwnRuns reads how often the askers' own functions ran: what they wrote down first of all.
func (w *world) countOwnRuns() {
	w.t.Helper()
	for _, k := range w.askers {
		text, err := os.ReadFile(filepath.Join(w.dir, k.runs()))
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
}

// checkAsker holds what an asker asked for and was told against the record.
func (w *world) checkAsker(l ledger, k *asker) (calls int) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, k.journal()))
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
			w.t.Errorf("the %s's call under key %s (%s, %s): %s", k.name, now.Key, now.Review, now.ID, now.Problem)
			continue
		}
		if before := journal[now.Key]; before.Status != "" && (before.ID != now.ID || before.Status != now.Status) {
			w.t.Errorf("the %s was told two ends of key %s: %+v, %+v", k.name, now.Key, before, now)
		}
		journal[now.Key] = now
	}
	for key, told := range journal {
		if err := told.check(l); err != nil {
			w.t.Errorf("the %s's call under key %s: %v", k.name, key, err)
		}
	}
	for _, r := range l.records {
		if key := keyIn(r.View.Args); r.View.Agent == k.as && journal[key].Key == "" {
			w.t.Errorf("call %s is the %s's, under key %q, which it never used", r.View.ID, k.name, key)
		}
	}
	return len(journal)
}

// check holds what an asker was told of a call, and what reviewers did with it, against the record. A
// caller is not told the IDs of calls.
func (told journalLine) check(l ledger) error {
	calls := l.byKey[told.Key]
	switch {
	case told.Status == "":
		return errors.New("it has not ended")
	case len(calls) != 1:
		return fmt.Errorf("%d calls are on record", len(calls))
	case told.ID != "" && calls[0].ID != told.ID, calls[0].Status != told.Status:
		return fmt.Errorf("it was told %s, %s; on record is %s, %s",
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
