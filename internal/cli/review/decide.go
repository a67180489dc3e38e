package review

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) decide(kind approval.DecisionKind) *cobra.Command {
	var notes string
	cmd := &cobra.Command{
		Use:   "approve ID…",
		Short: "Approve calls",
		Long: `Approve calls, each by its ID or the beginning of it: at least six characters
after pawl-, of a call that waits. The approval is for exactly the call that the
answer shows, by its digest; look at it first with 'pawl show', or decide with
'pawl review'.`,
		Example: `  pawl approve pawl-k3vq2m7 --as ana
  pawl approve pawl-k3vq2m7 pawl-t7aa4nq --as ana --notes "checked with Bo"`,
	}
	if kind == approval.Reject {
		cmd.Use, cmd.Short = "reject ID…", "Refuse calls"
		cmd.Long = `Reject calls, each by its ID or the beginning of it: at least six characters
after pawl-, of a call that waits.`
		cmd.Example = `  pawl reject pawl-k3vq2m7 --as ana --notes "wrong account"`
	}
	cmd.Args = cli.SomeArgs("ID", "which calls? 'pawl pending' lists those that wait")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if err := approval.CheckNotes(notes); err != nil {
			return cli.UsageError(err)
		}
		c, err := a.Reviewer(cmd)
		if err != nil {
			return err
		}
		code, failed := cli.ExitDone, error(nil)
		for _, id := range ids {
			v, err := cli.FindToDecide(cmd.Context(), c, id)
			res := decisionResult{call: v}
			if err == nil {
				res, err = send(cmd.Context(), c, kind, v, notes)
			}
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			if err := a.printResult(res); err != nil {
				return err
			}
			code = worseCode(code, res.code())
		}
		if failed != nil {
			return failed
		}
		return cli.ExitWith(code)
	}
	cmd.Flags().StringVar(&notes, "notes", "", "`text` for the audit log and the agent")
	return cmd
}

type decisionResult struct {
	call    client.View // as it was shown
	kind    approval.DecisionKind
	answer  rest.DecisionAnswer
	refused *client.Error // the decision did not count
}

// send decides on a call as it was shown. After an error the decision may have arrived or not; one
// that arrived and did not count is a result, not an error.
func send(
	ctx context.Context, c *client.Client, kind approval.DecisionKind, shown client.View, notes string,
) (decisionResult, error) {
	if kind == approval.Approve && shown.Digest == "" && !shown.Status.Ended() {
		return decisionResult{}, fmt.Errorf("%s: nobody has been asked yet: the policy has not answered. "+
			"'pawl show %s' says why", shown.ID, shown.ID)
	}
	answer, err := c.Decide(ctx, shown.ID, client.Decision{Kind: kind, Digest: shown.Digest, Notes: notes})
	res := decisionResult{call: shown, kind: kind, answer: answer}
	if cli.NotCounted(err) && errors.As(err, &res.refused) {
		return res, nil
	}
	if errors.As(err, new(*client.UncertainError)) {
		return res, fmt.Errorf("%s: %w\nCheck with 'pawl show %s'; if you decide again, it counts only once",
			shown.ID, err, shown.ID)
	}
	if err != nil {
		return res, fmt.Errorf("%s: %w", shown.ID, err)
	}
	return res, nil
}

func (v decisionResult) code() int {
	switch {
	case v.refused != nil:
		return cli.ExitDenied
	case v.answer.Outcome == rest.AnswerNotJudged:
		return cli.ExitPending
	}
	return cli.ExitDone
}

// worseCode picks the code that says more about several decisions: one that did not count before
// one that is open.
func worseCode(a, b int) int {
	if a == cli.ExitDenied || b == cli.ExitDenied {
		return cli.ExitDenied
	}
	return max(a, b)
}

// line says what was decided and what became of it.
func (v decisionResult) line() string {
	verb := map[approval.DecisionKind]string{approval.Approve: "approved", approval.Reject: "rejected"}[v.kind]
	id := approval.Display(v.call.ID, 0)
	what := fmt.Sprintf("%s (%s), digest %s: ", cli.Cell(v.call.Tool, 80), id, cli.ShortHash(v.call.Digest))
	text := verb + " " + what
	switch {
	case v.refused != nil:
		outcome := cmp.Or(string(v.refused.Outcome), v.refused.Code)
		return "NOT " + text + cli.Cell(outcome, 40) + ": " + cli.Cell(v.refused.Error(), 300)
	case v.answer.Outcome == rest.AnswerNotJudged:
		noun := map[approval.DecisionKind]string{approval.Approve: "approval", approval.Reject: "rejection"}[v.kind]
		why := "; is a worker running?"
		if w := v.answer.Waiting; w != nil && len(w.Problems) > 0 {
			why = ". " + cli.Cell(w.Problems[0].Message, 1000)
		}
		return noun + " of " + what + "sent, not judged yet" + why + " Ask again with 'pawl show " + id + "'"
	case v.answer.Outcome == approval.AnswerRecorded && v.answer.Message != "":
		return text + "recorded; " + cli.Cell(v.answer.Message, 300)
	case v.answer.Outcome == approval.AnswerRecorded:
		return text + "recorded; more approvals are needed"
	}
	return text + "the call is settled"
}

func (a *app) printResult(v decisionResult) error {
	if a.Output != cli.OutputJSON {
		return a.Say(v.line() + "\n")
	}
	doc := struct {
		ID         string                 `json:"id"`
		Tool       string                 `json:"tool"`
		Digest     string                 `json:"digest"`
		Decision   approval.DecisionKind  `json:"decision"`
		DecisionID string                 `json:"decision_id,omitempty"`
		Outcome    approval.AnswerOutcome `json:"outcome"`
		Status     approval.Status        `json:"status,omitempty"`
		Error      *approval.CallError    `json:"error,omitempty"`
	}{v.call.ID, v.call.Tool, v.call.Digest, v.kind, v.answer.DecisionID, v.answer.Outcome, v.answer.Status, nil}
	if e := v.refused; e != nil {
		doc.Outcome = cmp.Or(e.Outcome, approval.AnswerOutcome(e.Code))
		doc.Error = &approval.CallError{Code: e.Code, Message: e.Error()}
	}
	return a.PrintValue(doc)
}
