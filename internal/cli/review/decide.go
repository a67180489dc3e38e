package review

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) decide(kind approval.DecisionKind) *cobra.Command {
	var notes string
	var yes bool
	var f filter
	cmd := &cobra.Command{
		Use:   "approve ID…",
		Short: "Approve calls",
		Long: `Approve calls, each by its ID or the beginning of it: at least six characters
after pawl-, of a call that waits. "-" reads IDs from standard input. The
approval is for exactly the call that the answer shows, by its digest; look
at it first with 'pawl show', or decide with 'pawl review'.

Instead of IDs, --tool, --agent, --session and --risk choose calls that wait.
They are listed first, and you are asked once about all of them. What comes
afterwards is not among them.`,
		Example: `  pawl approve pawl-k3vq2m7 --as ana
  pawl approve pawl-k3vq2m7 pawl-t7aa4nq --as ana --notes "checked with Bo"
  pawl approve --session nightly-1041 --risk low --as ana`,
	}
	if kind == approval.Reject {
		cmd.Use, cmd.Short = "reject ID…", "Refuse calls"
		say := strings.NewReplacer("Approve calls", "Reject calls", "approval is", "rejection is")
		cmd.Long = say.Replace(cmd.Long)
		cmd.Example = `  pawl reject pawl-k3vq2m7 --as ana --notes "wrong account"
  pawl reject --agent support-bot --as ana --notes "stopped for today"`
	}
	cmd.Args = cli.AnyArgs("ID")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if err := approval.CheckNotes(notes); err != nil {
			return cli.UsageError(err)
		}
		q, err := f.query("")
		if err != nil {
			return err
		}
		chosen := q != client.RequestQuery{Limit: q.Limit}
		switch {
		case chosen && len(ids) > 0:
			return cli.UsageError(errors.New(
				"give IDs, or choose calls by --tool, --agent, --session and --risk, not both"))
		case !chosen && len(ids) == 0:
			return cli.UsageError(errors.New("which calls? 'pawl pending' lists those that wait"))
		}
		c, err := a.Reviewer(cmd)
		if err != nil {
			return err
		}
		d := decider{app: a, ctx: cmd.Context(), c: c, kind: kind, notes: notes}
		if chosen {
			return d.chosen(q, yes)
		}
		return d.named(ids)
	}
	cmd.Flags().StringVar(&notes, "notes", "", "`text` for the audit log and the agent")
	cmd.Flags().BoolVar(&yes, "yes", false, "decide about the calls that were chosen without asking")
	f.flags(cmd.Flags())
	return cmd
}

// decider decides about one call after the other, all alike.
type decider struct {
	*app
	ctx    context.Context
	c      *client.Client
	kind   approval.DecisionKind
	notes  string
	code   int   // the worst so far
	failed error // all that went wrong
}

// named decides about calls by what their IDs begin with; "-" stands for those on standard input.
func (d *decider) named(ids []string) error {
	var all []string
	for _, id := range ids {
		if id != "-" {
			all = append(all, id)
			continue
		}
		given, err := io.ReadAll(io.LimitReader(d.Stdin, maxIDs+1))
		if err == nil && len(given) > maxIDs {
			err = fmt.Errorf("there are more than %d bytes; send fewer IDs at once", maxIDs)
		}
		if err != nil {
			return fmt.Errorf("reading IDs from standard input: %w", err)
		}
		all = append(all, strings.Fields(string(given))...)
	}
	for _, id := range all {
		v, err := cli.FindToDecide(d.ctx, d.c, id)
		if err != nil {
			d.failed = errors.Join(d.failed, err)
		} else if err := d.send(v); err != nil {
			return err
		}
	}
	return d.end()
}

// maxIDs is how many bytes of IDs are taken from standard input: the beginning of an ID that was cut
// could be another call's.
const maxIDs = 1 << 20

// chosen lists the calls that a query finds and, if that is confirmed, decides about each as listed.
func (d *decider) chosen(q client.RequestQuery, yes bool) error {
	page, err := requests(d.ctx, d.c, q)
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		d.Note("no call that waits matches")
		return nil
	}
	if d.Output != cli.OutputJSON {
		if err := d.printRequests(d.ctx, d.c, page, ""); err != nil {
			return err
		}
	}
	if !yes {
		sure, err := d.confirm(fmt.Sprintf("%s %s? [y/N] ", d.kind, approval.Plural(len(page.Items), "call")))
		if err != nil || !sure {
			return err
		}
	}
	for _, v := range page.Items {
		if err := d.send(v); err != nil {
			return err
		}
	}
	return d.end()
}

func (d *decider) confirm(question string) (sure bool, err error) {
	if err := d.Print(question); err != nil {
		return false, err
	}
	line, err := readLines(d.ctx, d.Stdin).next(d.ctx)
	if errors.Is(err, io.EOF) {
		return false, cli.UsageError(errors.New("nobody can be asked here: look at the list, then add --yes"))
	}
	if err != nil || !slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))) {
		d.Note("nothing was decided")
		return false, cli.ExitWith(cli.ExitError)
	}
	return true, nil
}

func (d *decider) send(v client.View) error {
	res, err := send(d.ctx, d.c, d.kind, v, d.notes)
	if err != nil {
		d.failed = errors.Join(d.failed, err)
		return nil
	}
	d.code = worseCode(d.code, res.code())
	return d.printResult(res)
}

func (d *decider) end() error { return cmp.Or(d.failed, cli.ExitWith(d.code)) }

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
	return text + "the call is decided"
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
