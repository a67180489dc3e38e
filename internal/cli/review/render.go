package review

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/present"
)

func (a *app) request(v client.View) string {
	s := a.NewSheet()
	colour := cli.Bold
	if v.Risk == approval.RiskHigh || v.Risk == approval.RiskCritical {
		colour = cli.Red
	}
	fmt.Fprintf(s, "%s  %s, risk %s\n", a.Paint(cli.Bold, cli.Cell(cmp.Or(v.Tool, "unknown tool"), 0)),
		a.Paint(cli.Yellow, string(v.Status)), a.Paint(colour, cli.Cell(cmp.Or(string(v.Risk), "not stated"), 20)))
	shown := shown(v)
	s.Line("Would", shown.Summary)
	s.Field("ID", v.ID)
	s.Field("Digest", v.Digest)
	s.Field("Agent", v.Agent)
	s.Field("Team", v.Team)
	s.Field("Session", v.Session)
	s.Field("Requester", v.Requester)
	if v.Owner != v.Requester {
		s.Field("Owner", v.Owner)
	}
	s.Field("Attempt of", v.AttemptOf)
	caller(s, v.View.View)
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		s.Field("Label", name+"="+v.Labels[name])
	}
	s.Field("Created", cli.Timestamp(v.CreatedAt))
	a.waitFields(s, v.Waiting)
	if w := v.Waiting; w == nil || w.Until == nil || v.Deadline == nil || !w.Until.Equal(*v.Deadline) {
		s.Field("Deadline", a.deadline(v))
	}
	if p := v.Policy; p != nil {
		s.Field("Rule", strings.TrimSpace(p.Layer+" "+p.Rule))
		s.Field("Why", p.Why)
		s.Field("Policy", p.Digest)
	}
	if now := v.PolicyNow; now != nil {
		s.Field("Policy now", fmt.Sprintf("%s, by %s (version %d)", now.Action, now.Rule, now.Version))
	}
	cli.ObservedFields(s, verdictOf(v.Timeline))
	s.Field("Needs", needs(v))
	if now := v.PolicyNow; now != nil && now.Requirement != nil {
		s.Field("Needs now", ballot.Needs(*now.Requirement))
	}
	if _, all := ballot.Progress(v.View.View); all > 1 {
		for _, step := range v.Rack {
			s.Field("Step", segment(step))
		}
	}
	for _, d := range v.Votes {
		by := byline(string(d.Kind), d.Reviewer, d.Channel, d.Authenticated, d.At)
		if d.SelfApproval {
			by += ", who asked for it or owns the agent that did"
		}
		s.Field("Vote", by)
		s.Quote("  Notes:", d.Notes)
	}
	if d := v.Decision; d != nil {
		s.Field("Decision", byline(string(d.Kind), d.By, d.Channel, d.Authenticated, d.At))
		if len(v.Votes) == 0 {
			s.Quote("  Notes:", d.Notes)
		}
	}
	if said := v.Settled; said != nil {
		s.Field("Settled", settled(said)+" at "+cli.Timestamp(said.At))
		blocks(s, present.Of(approval.View{Result: said.Result}, present.Tool{}).Blocks, present.PartResult)
	}
	if v.EndedAt != nil {
		s.Field("Ended", cli.Timestamp(*v.EndedAt))
	}
	if shown.Found.Any() {
		s.Warn(present.Deceit(shown.Found))
	}
	if now := v.PolicyNow; now != nil {
		blocks(s, now.Compare, present.PartPolicy)
	}
	blocks(s, shown.Blocks, present.PartArgs, present.PartSaid)
	attempts(s, v)
	blocks(s, shown.Blocks, present.PartResult)
	if e := v.Error; e != nil {
		s.Quote("Error ("+approval.Display(e.Code, 40)+"):", cmp.Or(e.Message, "no message"))
	}
	return s.String()
}

// shown is a call as the API presents it, which knows the tool's schema, or as it can be told from the
// call alone.
func shown(v client.View) present.Call {
	if len(v.Blocks) == 0 {
		return present.Of(v.View.View, present.Tool{})
	}
	call := present.Call{Summary: v.Summary, Blocks: v.Blocks}
	if v.Found != nil {
		call.Found = *v.Found
	}
	return call
}

func blocks(s *cli.Sheet, all []present.Block, parts ...present.Part) {
	for _, b := range all {
		if slices.Contains(parts, b.Part) {
			s.Block(b)
		}
	}
}

func (a *app) deadline(v client.View) string {
	switch {
	case v.Deadline == nil:
		return ""
	case v.Status != approval.StatusPending:
		return cli.Timestamp(*v.Deadline)
	}
	return a.until(*v.Deadline)
}

func needs(v client.View) string {
	if v.Requirement == nil {
		return ""
	}
	text := ballot.Needs(*v.Requirement)
	if v.Status == approval.StatusPending {
		met, all := ballot.Progress(v.View.View)
		text += fmt.Sprintf(" (%d of %d so far)", met, all)
	}
	return text
}

func segment(s approval.Segment) string {
	text := fmt.Sprintf("%-5s %s", s.State, s.Label)
	if s.Note != "" {
		text += " (" + s.Note + ")"
	}
	return text
}

func byline(kind, by, channel string, authenticated bool, at time.Time) string {
	text := pastTenseBy(kind, by)
	if byPeople(kind) && !authenticated {
		text += " (unauthenticated)"
	}
	if channel != "" {
		text += " via " + channel
	}
	if !at.IsZero() {
		text += " at " + cli.Timestamp(at)
	}
	return text
}

// byPeople reports kinds of votes and final decisions behind which people stand, named or not.
func byPeople(kind string) bool {
	switch approval.FinalKind(kind) {
	case approval.FinalApprove, approval.FinalReject, approval.FinalCancel:
		return true
	}
	return false
}

// pastTenseBy is cli.PastTense and who did it.
func pastTenseBy(kind, by string) string {
	if by == "" && byPeople(kind) {
		by = "somebody unnamed"
	}
	if by == "" {
		return cli.PastTense(kind)
	}
	return cli.PastTense(kind) + " by " + by
}

// caller says what reviewers must know of a call whose caller runs the tool.
func caller(s *cli.Sheet, v approval.View) {
	if v.Execution != approval.ExecutionCaller {
		return
	}
	s.Field("Run by", "the agent itself, which then reports")
	if v.SchemaUnknown {
		s.Field("Schema", "unknown: nobody published this tool, so nothing checked its arguments")
	}
	if v.Status == approval.StatusApproved {
		s.Field("Waits", "approved, waiting for the agent")
	}
	if at := v.StartedAt; at != nil {
		s.Field("Started", cli.Timestamp(*at))
	}
	if late := v.LateReport; late != nil {
		s.Field("Late report", string(late.Status)+", after the call had ended")
	}
}
