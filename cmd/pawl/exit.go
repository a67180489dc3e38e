package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// Exit codes are a contract with scripts.
const (
	exitDone    = 0
	exitError   = 1
	exitUsage   = 2
	exitDenied  = 3 // the call may not run; the decision did not count
	exitFailed  = 4 // the tool failed, or nobody knows
	exitPending = 5 // not ended yet
)

// exit ends a command with a code. A nil err means that everything was said.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage marks what is wrong with the command line itself; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitUsage, err}
}

// done is the way a command ends with a code after it said everything.
func done(code int) error {
	if code == exitDone {
		return nil
	}
	return &exit{code: code}
}

// exitFor is the code for how a call stands.
func exitFor(v client.View) int {
	switch {
	case v.Status == approval.StatusExecuted:
		return exitDone
	case v.Status.Denied():
		return exitDenied
	case v.Status == approval.StatusFailed, v.Status == approval.StatusOutcomeUnknown, v.Lost():
		return exitFailed
	}
	return exitPending
}

// explain turns a command's error into its exit code and what to say.
func explain(err error) (int, string) {
	var e *exit
	var refused *client.Error
	var silent *client.UnreachableError
	switch {
	case err == nil:
		return exitDone, ""
	case errors.As(err, &e):
		if e.err == nil {
			return e.code, ""
		}
		return e.code, e.err.Error()
	case errors.Is(err, context.Canceled):
		return exitError, "interrupted: " + err.Error()
	case errors.As(err, &silent) && !silent.Sent && !silent.Answers():
		return exitError, err.Error() + "\nIs Pawl running? Start it with `make demo`, or say where it is with --api or PAWL_API."
	case notCounted(err):
		return exitDenied, err.Error()
	case errors.As(err, &refused) && refused.HTTPStatus == 401:
		return exitError, err.Error() + adviceFor(refused)
	}
	return exitError, err.Error()
}

// adviceFor says what to do about a 401.
func adviceFor(refused *client.Error) string {
	switch refused.Code {
	case "unauthenticated":
		return "\nGive your token with PAWL_TOKEN or --token-file."
	case "reviewer_required":
		return "\nGive your name with --as."
	}
	return "\nAn administrator can make you a new token: 'pawl token new'. Where no administrator's token works any more, " +
		"whoever has the database makes one: 'pawl token new YOU --role admin --direct'; a dev stack does when it starts."
}

// nameSetting says, where a token contradicts the reviewer's name, which setting
// gave that name: nobody has typed the header that the answer speaks of.
func nameSetting(cmd *cobra.Command, err error, text string) string {
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != "identity_mismatch" || !strings.Contains(text, client.ReviewerHeader) {
		return text
	}
	from, advice := "PAWL_AS", "unset PAWL_AS"
	if cmd.Flag("as").Changed {
		from, advice = "--as", "leave out --as"
	}
	return strings.ReplaceAll(text, client.ReviewerHeader, from) + "\nThe token is enough: " + advice + "."
}

// notCounted reports an answer that a decision or a cancellation can't count,
// as opposed to a request that went wrong.
func notCounted(err error) bool {
	var e *client.Error
	return errors.As(err, &e) &&
		(e.Outcome != "" || e.Code == string(approval.AnswerAlreadyResolved) || e.Code == client.CodeWorkflowGone)
}
