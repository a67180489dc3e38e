// Package pawl guards an agent's functions: whoever calls one waits until the policy, or a person,
// lets it go.
//
//	agent, err := pawl.Connect(ctx, pawl.Options{Agent: "billing"})
//	if err != nil { … }
//	defer agent.Close()
//	refund, err := pawl.Guard(agent, "refund", payBack, pawl.Tool{Description: "Pay an order's money back."})
//	if err != nil { … }
//
//	receipt, err := refund(ctx, Refund{Order: "4711", Cents: 1900})
//
// refund has the signature of payBack. Each call of it is a guarded call: a Temporal workflow that
// asks the policy and people, takes the one permit to run, has payBack run in one of the agent's
// processes, and records how it ended. The arguments are frozen: what runs is what people saw.
//
// # What reviewers see
//
// A context says more about the calls made with it:
//
//	ctx = pawl.With(ctx, pawl.About{Reason: "the parcel was lost", Key: "ticket-4711"})
//
// Key is an idempotency key. The same call under the same key is one call, however often it is
// asked for, also after a crash.
//
// # When the answer is no
//
// A denial is an error that says why and for which call: *DeniedError, which matches ErrRejected,
// ErrExpired, ErrBlocked or ErrCancelled, and ErrDenied in any case. *FailedError means that the
// function said itself that it did nothing; *OutcomeUnknownError that it may have run, so nobody
// may simply ask again. Guard lists them all. No denial panics, and no zero result comes with a nil
// error.
//
// # Waiting
//
// Contexts bound the waiting, never the call. When one ends first, the error is a *PendingError
// with the call's ID; Agent.Continue takes the call up again, in the same process or after a
// restart, and Await returns its typed result. Agent.Start begins a call without waiting: thousands
// of calls may be under way at once, each with Call.Done, without a goroutine each.
//
// The agent's process runs its own approved functions: from its first call on, or as long as
// Agent.Serve runs. A process that comes back runs what was approved while it was away.
//
// # What is enforced, and what is cooperation
//
// The SDK writes to Temporal by itself. Whoever holds its credentials could start, signal and
// schedule anything in that namespace, and the guarded function's own credentials are in the
// agent's process. So this guard is for agents that cooperate: it stops mistakes, not an intruder
// in the process. A tool that no agent can reach by itself is one whose credentials only a Pawl
// worker holds; agents that are not trusted get the HTTP API (package client) and no Temporal. The
// requester of the SDK's calls is "agent:" and the agent's name: it keeps agents' idempotency keys
// apart, from each other and from the API's, and proves nothing.
//
// # Tests
//
// Package pawltest stands in for Temporal, Pawl and the people, in memory.
package pawl
