package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
)

// Exit codes are a contract with scripts.
const (
	ExitDone    = 0
	ExitError   = 1
	ExitUsage   = 2
	ExitDenied  = 3 // the call may not run; the decision did not count
	ExitFailed  = 4 // the tool failed, or nobody knows
	ExitPending = 5 // not ended yet
)

// exit ends a command with a code. A nil err means that everything was said.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// Fail ends a command with a code and an error.
func Fail(code int, err error) error { return &exit{code, err} }

// UsageError marks what is wrong with the command line itself; nil stays nil.
func UsageError(err error) error {
	if err == nil {
		return nil
	}
	return &exit{ExitUsage, err}
}

// ExitWith ends a command with a code after it has printed everything.
func ExitWith(code int) error {
	if code == ExitDone {
		return nil
	}
	return &exit{code: code}
}

// ErrorUnless ends a command that has printed everything with err, or else with ExitError unless all
// is well.
func ErrorUnless(well bool, err error) error {
	if err == nil && !well {
		return ExitWith(ExitError)
	}
	return err
}

// ExitFor is the code for the state of a call.
func ExitFor(v client.View) int {
	switch {
	case v.Status == approval.StatusExecuted:
		return ExitDone
	case v.Status.Denied():
		return ExitDenied
	case v.Status == approval.StatusFailed, v.Status == approval.StatusOutcomeUnknown, v.Lost():
		return ExitFailed
	}
	return ExitPending
}

// explain turns a command's error into its exit code and what to say.
func explain(err error) (int, string) {
	var e *exit
	var refused *client.Error
	var silent *client.UnreachableError
	switch {
	case err == nil:
		return ExitDone, ""
	case errors.As(err, &e):
		return e.code, strings.TrimSpace(err.Error()) // with what failed besides, such as closing a store
	case errors.Is(err, context.Canceled):
		return ExitError, "interrupted: " + err.Error()
	case errors.As(err, &silent) && !silent.Sent && !silent.Answers():
		return ExitError, err.Error() +
			"\nIs Pawl running? 'pawl-dev' starts it, in Pawl's source 'make dev'; to run it\n" +
			"for others see docs/operations.md. Or say where it is with --api or PAWL_API."
	case NotCounted(err):
		return ExitDenied, err.Error()
	case errors.As(err, &refused) && refused.HTTPStatus == http.StatusUnauthorized:
		return ExitError, err.Error() + adviceFor(refused)
	}
	return ExitError, err.Error()
}

// adviceFor says what to do about a 401.
func adviceFor(refused *client.Error) string {
	switch refused.Code {
	case rest.CodeUnauthenticated:
		return "\nGive your token with PAWL_TOKEN or --token-file."
	case rest.CodeReviewerRequired:
		return "\nGive your name with --as."
	}
	return "\nAn administrator can make you a new token: 'pawl token new'. If no administrator's token works " +
		"any more, make one with access to the database: 'pawl token new YOU --role admin --direct'; " +
		"a dev stack makes one when it starts."
}

// nameSetting says, where a token contradicts the reviewer's name, which setting gave that name:
// nobody has typed the header that the answer speaks of.
func nameSetting(cmd *cobra.Command, err error, text string) string {
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != rest.CodeIdentity ||
		!strings.Contains(text, rest.HeaderReviewer) {
		return text
	}
	from, advice := "PAWL_AS", "unset PAWL_AS"
	if cmd.Flag("as").Changed {
		from, advice = "--as", "leave out --as"
	}
	return strings.ReplaceAll(text, rest.HeaderReviewer, from) + "\nThe token is enough: " + advice + "."
}

// NotCounted reports an answer that a decision or a cancellation can't count, as opposed to a
// request that went wrong.
func NotCounted(err error) bool {
	var e *client.Error
	return errors.As(err, &e) &&
		(e.Outcome != "" || e.Code == string(approval.AnswerAlreadyResolved) || e.Code == rest.CodeWorkflowGone)
}

// SomeArgs takes one argument or more, none of them empty: that is what an unset variable leaves
// behind.
func SomeArgs(name, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s is missing: %s", name, what)
		}
		return AnyArgs(name)(cmd, args)
	}
}

func AnyArgs(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if slices.Contains(args, "") {
			return fmt.Errorf("one %s is empty", name)
		}
		return nil
	}
}

func NoArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("takes flags only, no arguments")
	}
	return nil
}

// NoArgsBut is NoArgs for a command that takes a call's ID with a flag.
func NoArgsBut(flag string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := NoArgs(cmd, args); err != nil {
			return fmt.Errorf("%w; name a call with %s ID", err, flag)
		}
		return nil
	}
}

func OneArg(name, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing: %s", name, what)
		case 1:
			if args[0] == "" {
				return fmt.Errorf("%s is empty: %s", name, what)
			}
			return nil
		}
		return fmt.Errorf("takes one %s, %d arguments given; put values with spaces in quotes", name, len(args))
	}
}

// ReadObject reads the value of a flag that takes a JSON object of at most most bytes, @file, or -
// for standard input. What is in it is never part of an error.
func (a *App) ReadObject(flag, value string, most int) ([]byte, error) {
	var from io.Reader = strings.NewReader(value)
	name := flag
	if value == "-" {
		from, name = a.Stdin, "standard input"
	}
	if file, ok := strings.CutPrefix(value, "@"); ok {
		if file == "" {
			return nil, UsageError(fmt.Errorf("%s: name a file after the @", flag))
		}
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		defer f.Close()
		from, name = f, file
	}
	doc, err := io.ReadAll(io.LimitReader(from, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(doc) > most {
		return nil, UsageError(fmt.Errorf("%s: more than %d "+
			"bytes of %s", name, most, strings.TrimPrefix(flag, "--")))
	}
	return doc, UsageError(strictjson.CheckObject(name, doc, most))
}

const LimitHelp = "how many at most; 0 for all"

type Count int

func (c *Count) String() string { return strconv.Itoa(int(*c)) }

func (c *Count) Type() string { return "int" }

func (c *Count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return errors.New("give a whole number, 0 for all")
	}
	*c = Count(n)
	return nil
}
