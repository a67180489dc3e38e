// Package pawltest replaces Temporal, Pawl and the people who decide, in memory, so that agents can
// be tested without any of them.
//
//	fake := pawltest.New(t, pawl.Options{})
//	refund, err := pawl.Guard(fake.Agent(), "refund", payBack, pawl.Tool{})
//	fake.On("refund", pawltest.Reject("ana", "too much"))
//
// Guarded functions run in the test's process and behave as in production: arguments are checked
// against the schema and cross as JSON, a panic leaves the outcome unknown, the same key is the
// same call.
//
// Functions that their agent runs itself, as pawl.GuardHTTP guards them, are played as well:
//
//	remove, err := pawl.GuardHTTP(fake.HTTPAgent(pawl.HTTPOptions{}), "remove", removeFile, pawl.Tool{})
//
// Every call must be scripted. One that is not fails the test, and ends blocked: a test can't pass
// by letting through what it did not think of.
package pawltest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
)

// TB is what a Fake needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(func())
}

// Fake is an agent with everything around it. It is safe for concurrent use.
type Fake struct {
	t     TB
	name  string // the agent's
	agent *pawl.Agent

	mu     sync.Mutex
	script map[string]func(approval.Call) Answer
	refuse map[string]string
	tools  map[string]approval.ToolSpec
	calls  map[string]*call
	order  []*call
	serves *agent.ServeOptions
	served chan struct{} // closed once serves is set
	runs   sync.WaitGroup
	news   chan struct{} // closed when a call has changed, and replaced
}

// Call is one call that the agent started, and its outcome, if it has one.
type Call struct {
	ID      string
	Call    approval.Call    // as it was started
	Outcome approval.Outcome // its Status is empty while the call goes on
}

type call struct {
	Call
	began       time.Time
	fingerprint string
	executing   bool
	done        chan struct{}

	// Of a call whose agent runs the function itself.
	mayStart  bool                    // it may, and has not
	settled   *approval.FinalDecision // who let it
	start     string                  // start_id of the process that did
	startedAt time.Time
	reported  *approval.Report // how it ended
}

func (c *call) ended() bool { return c.Outcome.Status != "" }

// New makes a fake. The agent is named "test" unless o says otherwise; o's Approver is never asked,
// since the script decides. The agent is closed when the test ends. t may be nil in examples: then
// an unscripted call is only blocked, and the agent is the caller's to close. Options that are
// wrong panic.
func New(t TB, o pawl.Options) *Fake {
	o.Agent = cmp.Or(o.Agent, "test")
	o.Approver, o.PayloadKeys = nil, "" // neither an API nor Temporal is there
	if o.OnWait == nil {
		o.OnWait = func(pawl.Waiting) {}
	}
	f := &Fake{
		t: t, name: o.Agent, news: make(chan struct{}),
		script: map[string]func(approval.Call) Answer{}, refuse: map[string]string{},
		tools: map[string]approval.ToolSpec{}, calls: map[string]*call{}, served: make(chan struct{}),
	}
	agent, err := pawl.New(temporal{Fake: f}, o)
	if err != nil {
		panic(fmt.Sprintf("pawltest: %v", err))
	}
	f.agent = agent
	if t != nil {
		t.Helper()
		t.Cleanup(agent.Close)
	}
	return f
}

// Agent is the agent under test.
func (f *Fake) Agent() *pawl.Agent { return f.agent }

// On says what becomes of a tool's calls: the first answer is for the next call, and the last one
// for all that follow. It replaces what was said before.
func (f *Fake) On(tool string, answers ...Answer) {
	f.OnFunc(tool, func(approval.Call) Answer {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(answers) == 0 {
			return Block("the test gives no answer")
		}
		next := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return next
	})
}

// OnFunc says what becomes of a tool's calls, one by one. decide must be safe for concurrent use,
// if calls are.
func (f *Fake) OnFunc(tool string, decide func(approval.Call) Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script[tool] = decide
}

// RefuseTool keeps a function out of the catalogue, as happens to a name that another agent has
// published. It is for before the function's first call.
func (f *Fake) RefuseTool(tool, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse[tool] = reason
}

// Answer says what becomes of a call that is held. It fails if there is no such call, or it waits
// for no answer.
func (f *Fake) Answer(id string, a Answer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.calls[id]
	if c == nil || c.executing || c.mayStart || c.ended() {
		return fmt.Errorf("pawltest: call %s is not held", id)
	}
	f.decide(c, a)
	return nil
}

// Calls returns what the agent started, in order: calls of the named tools, or of all.
func (f *Fake) Calls(tools ...string) []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Call
	for _, c := range f.order {
		if len(tools) == 0 || slices.Contains(tools, c.Call.Call.Tool) {
			list = append(list, c.Call)
		}
	}
	return list
}

// Answer is what becomes of a call. Make one with the functions below.
type Answer struct {
	kind   approval.FinalKind // empty: hold
	status approval.Status    // how it ends; empty: the tool runs
	code   string
	reason string
	by     string
	notes  string
	result any
	given  bool // the result is, and no function runs
}

// Allow lets the call run at once, as a policy does that allows it.
func Allow() Answer { return Answer{kind: approval.FinalAllow} }

// Approve lets the call run, as a reviewer of that name does.
func Approve(by string) Answer { return Answer{kind: approval.FinalApprove, by: by} }

// Reject refuses the call, as a reviewer of that name does.
func Reject(by, notes string) Answer {
	reason := by + " rejected the call"
	if notes != "" {
		reason += ": " + notes
	}
	return Answer{
		kind: approval.FinalReject, status: approval.StatusRejected, code: approval.CodeRejected,
		reason: reason, by: by, notes: notes,
	}
}

// Expire ends the call as one that nobody answered in time.
func Expire() Answer {
	return Answer{
		kind: approval.FinalExpire, status: approval.StatusExpired, code: approval.CodeExpired,
		reason: "nobody approved the call before its deadline",
	}
}

// Block refuses the call, as a policy does that denies it.
func Block(reason string) Answer {
	return Answer{
		kind: approval.FinalDeny, status: approval.StatusBlocked, code: approval.CodePolicyDenied, reason: reason,
	}
}

// Lose ends the call as one whose worker was lost while the tool ran: nobody knows whether it did.
// The function does not run.
func Lose() Answer {
	return Answer{
		kind: approval.FinalAllow, status: approval.StatusOutcomeUnknown, code: approval.CodeUnknown,
		reason: "the worker was lost while the tool ran; look at the tool's own records",
	}
}

// Return ends the call as executed, with a result of the test's: for tools that the agent calls and
// somebody else runs. The result must marshal to JSON.
func Return(result any) Answer {
	return Answer{kind: approval.FinalAllow, status: approval.StatusExecuted, result: result, given: true}
}

// Hold leaves the call waiting, until Fake.Answer says more.
func Hold() Answer { return Answer{} }

// outcome is how a call ends that no function runs for.
func (a Answer) outcome() (approval.Outcome, error) {
	o := approval.Outcome{Status: a.status}
	if a.given {
		doc, err := json.Marshal(a.result)
		if err != nil {
			return o, fmt.Errorf("the result of Return is not JSON: %w", err)
		}
		o.Result = doc
		return o, nil
	}
	o.Error = &approval.CallError{Code: a.code, Message: a.reason}
	return o, nil
}
