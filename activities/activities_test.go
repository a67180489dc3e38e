package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// The steps on their own, called as nobody should call them: the workflow's tests show that they
// work together, these that they do not trust it.

type bench struct {
	*testsuite.TestActivityEnvironment
	t     *testing.T
	store *sqlite.Store
	acts  *activities.Activities
	runs  atomic.Int32
	owner string // of the call
}

type verdict approval.Verdict

func (v verdict) Evaluate(approval.Call, time.Time) approval.Verdict { return approval.Verdict(v) }

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t}
	var err error
	if b.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	pay, err := tool.New("pay", func(context.Context, struct {
		Amount float64 `json:"amount"`
	}) (string, error) {
		b.runs.Add(1)
		return "paid", nil
	}, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := tool.NewRegistry(pay)
	if err != nil {
		t.Fatal(err)
	}
	b.acts = &activities.Activities{Decisions: approval.DecisionsAny, Store: b.store, StoreID: "store-1", Tools: registry, Logger: slog.New(slog.DiscardHandler), Policy: verdict{
		Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout, ValidFor: approval.DefaultValidFor,
	}}
	var suite testsuite.WorkflowTestSuite
	b.TestActivityEnvironment = suite.NewTestActivityEnvironment()
	b.RegisterActivity(b.acts)
	return b
}

func (b *bench) call() approval.Call {
	return approval.Call{Tool: "pay", Args: json.RawMessage(`{"amount":1}`), Nonce: "n", Owner: b.owner}
}

func (b *bench) digest() string {
	d, err := b.call().Digest("c1")
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) admit() activities.Admission {
	b.t.Helper()
	return b.admitCall("c1", b.call())
}

func (b *bench) admitCall(id string, call approval.Call) activities.Admission {
	b.t.Helper()
	digest, err := call.Digest(id)
	if err != nil {
		b.t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	v, err := b.ExecuteActivity(b.acts.Admit, activities.AdmitInput{ID: id, Run: "r1", Call: call, Digest: digest, CreatedAt: now, Now: now})
	if err != nil {
		b.t.Fatal(err)
	}
	var a activities.Admission
	if err := v.Get(&a); err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) claim(digest string, approved time.Time) *approval.Outcome {
	b.t.Helper()
	v, err := b.ExecuteActivity(b.acts.Claim, activities.ClaimInput{
		ID: "c1", Run: "r1", Digest: digest, Call: b.call(), Now: time.Now().UTC(),
		Votes: []approval.Decision{{ID: "d1", Kind: approval.Approve, Reviewer: "ana", At: approved}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var s activities.ClaimResult
	if err := v.Get(&s); err != nil {
		b.t.Fatal(err)
	}
	return s.Outcome
}

func (b *bench) execute(change func(*activities.ExecuteInput)) error {
	in := activities.ExecuteInput{ID: "c1", Run: "r1", Digest: b.digest(), Call: b.call(), GoodUntil: time.Now().Add(time.Second)}
	if change != nil {
		change(&in)
	}
	_, err := b.ExecuteActivity(b.acts.Execute, in)
	return err
}

func code(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	return ""
}

func text(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return runner.Text(app)
	}
	return ""
}

// old leaves a call whose claim was taken in time, and whose permit is out.
func (b *bench) old() {
	b.admit()
	at := time.Now().UTC().Add(-time.Hour)
	if _, err := b.store.Claim(b.t.Context(), store.ClaimParams{ID: "c1", Run: "r1", Digest: b.digest(), At: at, GoodUntil: at.Add(15 * time.Minute)}); err != nil {
		b.t.Fatal(err)
	}
}

// lossy is a store whose first answer to Use is lost on the way.
type lossy struct {
	store.Store
	lost atomic.Bool
}

func (l *lossy) Use(ctx context.Context, u store.UseParams) error {
	err := l.Store.Use(ctx, u)
	if l.lost.CompareAndSwap(false, true) {
		return errors.New("connection reset")
	}
	return err
}

// A later execution has the same run and activity as the first, as after a reset, and its first
// answer from the store is lost: it must not take the first one's mark for its own.
func TestExecuteTellsItsOwnMark(t *testing.T) {
	b := setup(t)
	b.ready()
	b.acts.Store = &lossy{Store: b.store}
	if err := b.execute(nil); err != nil || b.runs.Load() != 1 {
		t.Fatalf("%v, %d runs; the lost answer was about its own mark", err, b.runs.Load())
	}
	b.acts.Store = &lossy{Store: b.store}
	if err := b.execute(nil); code(err) != approval.CodeAlreadyRan || b.runs.Load() != 1 {
		t.Errorf("%v, %d runs", err, b.runs.Load())
	}
}

func TestExecuteTrustsTheStoreAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*bench)
		change  func(*activities.ExecuteInput)
		code    string
	}{
		"never admitted":     {nil, nil, approval.CodeNoPermit},
		"admitted only":      {func(b *bench) { b.admit() }, nil, approval.CodeNoPermit},
		"other arguments":    {(*bench).ready, func(in *activities.ExecuteInput) { in.Call.Args = json.RawMessage(`{"amount":9}`) }, approval.CodeDigest},
		"other call's ID":    {(*bench).ready, func(in *activities.ExecuteInput) { in.ID = "c2" }, approval.CodeDigest},
		"other nonce":        {(*bench).ready, func(in *activities.ExecuteInput) { in.Call.Nonce = "m" }, approval.CodeDigest},
		"digest to fit":      {(*bench).ready, refit(func(c *approval.Call) { c.Args = json.RawMessage(`{"amount":9}`) }), approval.CodeNoPermit},
		"unknown tool":       {(*bench).ready, refit(func(c *approval.Call) { c.Tool = "nope" }), approval.CodeToolFailed},
		"arguments off":      {(*bench).ready, refit(func(c *approval.Call) { c.Args = json.RawMessage(`{"amount":"1"}`) }), approval.CodeToolFailed},
		"ended before":       {(*bench).ended, nil, approval.CodeNoPermit},
		"approved long ago":  {(*bench).old, nil, approval.CodeExpired},
		"store closed early": {func(b *bench) { b.ready(); _ = b.store.Close() }, nil, approval.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			if tc.prepare != nil {
				tc.prepare(b)
			}
			err := b.execute(tc.change)
			if code(err) != tc.code || b.runs.Load() != 0 || !strings.Contains(text(err), "nothing ran") {
				t.Errorf("%v (%s), %d runs", err, code(err), b.runs.Load())
			}
		})
	}
}

// refit changes the call and makes the digest agree with it, as a forger would.
func refit(change func(*approval.Call)) func(*activities.ExecuteInput) {
	return func(in *activities.ExecuteInput) {
		change(&in.Call)
		in.Digest, _ = in.Call.Digest(in.ID)
	}
}

// ready leaves the call claimed, its permit unused.
func (b *bench) ready() {
	b.admit()
	if out := b.claim(b.digest(), time.Now().UTC()); out != nil {
		b.t.Fatalf("%+v", out)
	}
}

func (b *bench) ended() {
	b.ready()
	if _, _, err := b.store.Finish(b.t.Context(), store.FinishParams{Outcome: approval.Outcome{ID: "c1", Status: approval.StatusExpired}, At: time.Now()}); err != nil {
		b.t.Fatal(err)
	}
}

func TestExecuteRunsOnce(t *testing.T) {
	b := setup(t)
	b.ready()
	if err := b.execute(nil); err != nil {
		t.Fatal(err)
	}
	if err := b.execute(nil); code(err) != approval.CodeAlreadyRan {
		t.Errorf("%v", err)
	}
	if b.runs.Load() != 1 {
		t.Errorf("%d runs", b.runs.Load())
	}
}

func TestClaim(t *testing.T) {
	t.Run("an approval does not keep for ever", func(t *testing.T) {
		b := setup(t)
		b.admit()
		out := b.claim(b.digest(), time.Now().UTC().Add(-approval.DefaultValidFor.Std()-time.Minute))
		if out == nil || out.Status != approval.StatusExpired {
			t.Errorf("%+v", out)
		}
	})
	t.Run("another digest", func(t *testing.T) {
		b := setup(t)
		b.admit()
		out := b.claim(strings.Repeat("0", 64), time.Now().UTC())
		if out == nil || out.Status != approval.StatusBlocked || out.Error.Code != approval.CodeDigest {
			t.Errorf("%+v", out)
		}
	})
	t.Run("twice is once", func(t *testing.T) {
		b := setup(t)
		b.ready()
		if out := b.claim(b.digest(), time.Now().UTC()); out != nil {
			t.Errorf("%+v", out)
		}
		page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c1", Kind: audit.KindClaimed})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("%d entries, %v", len(page.Items), err)
		}
	})
}

// A reset can bring a call back to its wait after an earlier run started the tool. Whatever the new
// run ends with, the record must not say that nothing ran.
func TestDenialAfterTheToolWasStarted(t *testing.T) {
	b := setup(t)
	b.ready()
	if err := b.execute(nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a retry tells the same
		v, err := b.ExecuteActivity(b.acts.Record, activities.RecordInput{ID: "c1", Run: "r2", Call: b.call(), At: time.Now().UTC(),
			Outcome: approval.Outcome{ID: "c1", Status: approval.StatusExpired}})
		if err != nil {
			t.Fatal(err)
		}
		var s activities.ClaimResult
		if err := v.Get(&s); err != nil {
			t.Fatal(err)
		}
		if s.Outcome == nil || s.Outcome.Status != approval.StatusOutcomeUnknown || s.Outcome.Error.Code != approval.CodeAlreadyRan || s.Outcome.Decision.By != "ana" {
			t.Errorf("%+v", s.Outcome)
		}
	}
}

func TestAdmitFailsClosed(t *testing.T) {
	for name, v := range map[string]verdict{
		"no verdict":       {},
		"unknown verdict":  {Kind: "perhaps"},
		"nobody to ask":    {Kind: approval.VerdictRequire, Timeout: approval.DefaultTimeout},
		"endless wait":     {Kind: approval.VerdictRequire, Requirement: approval.OneApproval()},
		"the policy's no":  {Kind: approval.VerdictDeny},
		"needs an edit":    {Kind: approval.VerdictRequire, Requirement: &approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, AllowEdit: true}, Timeout: 1},
		"a nameless stage": {Kind: approval.VerdictRequire, Requirement: &approval.Requirement{Stages: []approval.Stage{{Approvals: []approval.Approvals{{Count: 1}}}}}, Timeout: 1},
		"zero people, yes": {Kind: approval.VerdictRequire, Requirement: &approval.Requirement{Approvals: []approval.Approvals{{}}}, Timeout: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.acts.Policy = v
			if a := b.admit(); a.View.Status != approval.StatusBlocked || a.Claimed {
				t.Errorf("%+v", a.View)
			}
		})
	}
}

// A workflow that was started by other means can have keys that differ in case only, of which a
// tool may read another one than the policy.
func TestAdmitRefusesKeysInTwoCases(t *testing.T) {
	for _, doc := range []string{
		`{"tool":"pay","args":{"amount":1,"AMOUNT":5000}}`,
		`{"tool":"pay","args":{"amount":1,"note":{"PIN":"s3cret","pin":"s3cret"}}}`,
		`{"tool":"pay","args":{"amount":1},"labels":{"env":"test","Env":"prod"}}`,
		`{"tool":"pay","args":{"amount":1,"ma\u017f":1,"mas":2}}`,
	} {
		b := setup(t)
		b.acts.Policy = verdict{Kind: approval.VerdictAllow, ValidFor: approval.DefaultValidFor, Redact: []string{"pin"}}
		call, err := approval.ParseCall([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		a := b.admitCall("c1", call)
		if a.View.Status != approval.StatusBlocked || a.Claimed || a.View.Error.Code != approval.CodeInvalid ||
			strings.Contains(string(a.View.Args), "s3cret") {
			t.Errorf("%s: %+v", doc, a.View)
		}
	}
}

// What a policy says beside the verdict is put on record: that the call is audited, why, and what
// layers that only observe would have decided.
func TestAdmitRecordsTheVerdict(t *testing.T) {
	b := setup(t)
	b.acts.Policy = verdict{
		Kind: approval.VerdictAllow, Audited: true, Policy: approval.PolicyRef{Rule: "rule", Why: "because"},
		Observed: []approval.Observation{{Layer: "trial", Kind: approval.VerdictDeny, Rule: "other"}},
	}
	if a := b.admit(); a.View.Policy == nil || a.View.Policy.Why != "because" || !a.Verdict.Audited {
		t.Errorf("%+v", a)
	}
	page, err := b.store.Entries(t.Context(), store.EntryQuery{Kind: audit.KindRequested})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%d entries, %v", len(page.Items), err)
	}
	var admitted struct{ Verdict approval.Verdict }
	if err := json.Unmarshal(page.Items[0].Payload, &admitted); err != nil {
		t.Fatal(err)
	}
	if v := admitted.Verdict; !v.Audited || v.Policy.Why != "because" || len(v.Observed) != 1 || v.Observed[0].Layer != "trial" {
		t.Errorf("recorded %+v", v)
	}
}

func TestAdmitTwiceIsOnce(t *testing.T) {
	b := setup(t)
	first := b.admit()
	b.acts.Policy = verdict{Kind: approval.VerdictAllow} // a laxer policy since
	again := b.admit()
	if again.Claimed || again.View.Status != approval.StatusPending || !again.View.Deadline.Equal(*first.View.Deadline) {
		t.Errorf("%+v", again.View)
	}
}
