package ballot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Reader is somebody who looks at a call and may want to decide.
type Reader struct {
	Name          string
	Groups        []string
	Reviewer      bool // may decide at all, by their role
	Authenticated bool // and what they decide gets signed
}

func (r Reader) decision(kind approval.DecisionKind) Decision {
	return Decision{Decision: approval.Decision{
		Kind: kind, Reviewer: r.Name, Groups: r.Groups, Authenticated: r.Authenticated,
		Notes: "a reason", // whoever decides can give one
	}}
}

// For says what a reader may do about a call and shows, as segments, what the call takes. It goes
// by the votes and the status of the view, and takes whatever is decided now to be in time.
func For(v approval.View, r Reader) (approval.You, []approval.Segment) {
	t, _ := Count(RulesOf(v), v.Votes)
	you := approval.You{May: []string{}}
	for _, vote := range t.votes {
		if r.Name != "" && approval.SamePerson(vote.Reviewer, r.Name) && you.Voted != approval.Reject {
			you.Voted = vote.Kind
		}
	}
	switch {
	case v.Status == approval.StatusOutcomeUnknown && v.Settled == nil:
		you.May, you.Why = settling(v, r)
	case v.Status == approval.StatusEvaluating:
		you.Why = "The policy is still judging it."
	case v.Status == approval.StatusPending && !waits(v):
		you.Why = v.Error.Message
	case !waits(v):
		you.Why = "Nothing can be decided any more: the call is " + words(v.Status) + "."
	case !r.Reviewer:
		you.Why = "Only reviewers decide, and you are not one here."
	default:
		yours := t.offer(&you, r)
		return you, t.rack(v, yours)
	}
	return you, t.rack(v, nil)
}

// settling says whether a reader may say what became of a call whose outcome is unknown.
func settling(v approval.View, r Reader) (may []string, why string) {
	switch ok, _ := MaySettle(v, r.Name); {
	case !r.Reviewer:
		return []string{}, "Only reviewers say what became of it, and you are not one here."
	case !ok:
		return []string{},
			"You can't say what became of it: the call is yours, or your agent's. Somebody else has to."
	}
	return []string{approval.MaySettle}, ""
}

// waits reports whether people can decide: a call whose workflow is gone waits for nobody.
func waits(v approval.View) bool { return v.Status == approval.StatusPending && v.Error == nil }

// offer fills in what a reviewer may do about a call that waits. It returns where their approval
// would count.
func (t Tally) offer(you *approval.You, r Reader) (yours map[place]bool) {
	yours = map[place]bool{}
	next, j := t.with(r.decision(approval.Approve))
	switch {
	case j.Refused():
		you.Why = t.rules.Why(j, r)
	case j.Reason == Again:
		you.Why = "Your approval counts already. You may change it to a rejection."
	case j.Outcome == approval.AnswerRecorded && slices.Equal(t.missing(), next.missing()):
		you.Why = "Your approval is not needed: it waits for " + still(t.teeth()) + ". " + inGroups(r) +
			" You may reject it."
	default:
		you.May = append(you.May, approval.MayApprove)
		teeth := next.teeth()
		for _, o := range teeth {
			if o.by == &next.votes[len(next.votes)-1] {
				yours[o.place] = true
			}
		}
		you.IfApprove = "Yours is the last approval it needs: approving lets it run at once."
		if j.Outcome == approval.AnswerRecorded {
			met, all := progress(teeth)
			you.IfApprove = fmt.Sprintf("If you approve: %d of %d, then it waits for %s.", met, all, still(teeth))
		}
		if t.rules.Requirement.RequireReason {
			you.IfApprove += " It takes a reason."
		}
	}
	next, j = t.with(r.decision(approval.Reject))
	switch {
	case j.Refused():
	case j.Outcome == approval.AnswerResolved:
		you.May = append(you.May, approval.MayReject)
		you.IfReject = "If you reject, it ends now and nothing runs."
	case j.Reason == Again:
		you.Why = "Your rejection counts already, and can't be taken back."
	default:
		you.May = append(you.May, approval.MayReject)
		you.IfReject = fmt.Sprintf("If you reject: %d of the %d rejections that end it.",
			next.rejections(), denyCount(t.rules.Requirement))
	}
	return yours
}

// Why says to a reader why a decision of theirs does not count, and what they may do instead.
func (r Rules) Why(j Judgement, reader Reader) string {
	switch j.Reason {
	case Own:
		whose := "you asked for it"
		if !approval.SamePerson(reader.Name, r.Requester) {
			whose = "the agent that asked is yours"
		}
		return "You can't approve this one: " + whose + ". Somebody else has to. You may reject it."
	case Unsigned:
		return "You can't decide this one: it takes signed decisions only, and this API does not know " +
			"who you are. It has to run with --auth tokens or oidc."
	case Turned:
		return "Your rejection counts already, and can't be taken back."
	case NoMember:
		return "You can't approve this one: it takes approvals by " + groups(r.Requirement) +
			" only. " + inGroups(reader)
	}
	if j.Message == "" {
		return ""
	}
	return strings.ToUpper(j.Message[:1]) + j.Message[1:] + "."
}

// inGroups says to a reader which groups they are in.
func inGroups(r Reader) string {
	if len(r.Groups) == 0 {
		return "You are in no group."
	}
	return "You are in " + approval.Display(strings.Join(r.Groups, ", "), 200) + "."
}

// place is where an approval counts: of which group, empty for anybody, and in which stage.
type place struct {
	stage int
	group string
}

// tooth is one approval that a call takes. by is nil until it is given.
type tooth struct {
	place
	name  string // of its stage
	after string // the stage before, if that is not met yet
	by    *approval.Decision
}

// teeth lists the approvals that a call takes, stage by stage, and of each those of named groups
// first. Entries of a requirement overlap: who approves for a group is also one of the people that
// another entry counts. So people of no certain group have teeth only as far as the others are too
// few. All are given when the requirement is met.
func (t Tally) teeth() []tooth {
	var all []tooth
	after := ""
	for i, s := range t.stages() {
		own := t.teethOf(s)
		for j := range own {
			own[j].stage, own[j].name, own[j].after = i, s.Name, after
		}
		all = append(all, own...)
		if after != "" || len(t.missingIn(s)) > 0 {
			after = cmp.Or(s.Name, fmt.Sprintf("stage %d", i+1))
		}
	}
	return all
}

func (t Tally) teethOf(s stage) []tooth {
	var groups []string
	most := map[string]int{}
	for _, a := range s.Approvals {
		if most[a.Group] == 0 && a.Group != "" {
			groups = append(groups, a.Group)
		}
		most[a.Group] = max(most[a.Group], a.Count)
	}
	var all []tooth
	open, shown := 0, map[int]bool{} // votes
	for _, g := range groups {
		n := most[g]
		for _, i := range s.votes {
			if n > 0 && takes(approval.Approvals{Group: g}, t.votes[i]) {
				all, n, shown[i] = append(all, tooth{place: place{group: g}, by: &t.votes[i]}), n-1, true
			}
		}
		all, open = append(all, slices.Repeat([]tooth{{place: place{group: g}}}, n)...), open+n
	}
	others := max(0, most[""]-len(shown)-open)
	for _, i := range s.votes {
		if others > 0 && !shown[i] {
			all, others = append(all, tooth{by: &t.votes[i]}), others-1
		}
	}
	return append(all, make([]tooth, others)...)
}

// Progress says how many of the approvals that a call takes are given: met of all.
func Progress(v approval.View) (met, all int) {
	t, _ := Count(RulesOf(v), v.Votes)
	return progress(t.teeth())
}

// Standing says how many of the approvals that a call takes are given, and who has to approve yet.
func Standing(v approval.View) approval.Standing {
	t, _ := Count(RulesOf(v), v.Votes)
	teeth := t.teeth()
	met, all := progress(teeth)
	return approval.Standing{Given: met, Needed: all, Missing: still(teeth)}
}

// progress counts the approvals that are given, and all.
func progress(teeth []tooth) (met, all int) {
	for _, o := range teeth {
		if o.by != nil {
			met++
		}
	}
	return met, len(teeth)
}

// still says who has to approve yet: "one person from finance and 2 more people".
func still(teeth []tooth) string {
	var places []tooth
	count := map[place]int{}
	for _, o := range teeth {
		if o.by != nil {
			continue
		}
		if count[o.place]++; count[o.place] == 1 {
			places = append(places, o)
		}
	}
	met, _ := progress(teeth)
	var parts []string
	for _, o := range places {
		n, from := "one person", ""
		if count[o.place] > 1 {
			n = fmt.Sprintf("%d people", count[o.place])
		}
		switch {
		case o.group != "":
			from = " from " + approval.Display(o.group, 80)
		case met > 0 || len(parts) > 0:
			n = strings.Replace(n, " ", " more ", 1)
		}
		if o.name != "" && o.name != o.group {
			from += " for " + approval.Display(o.name, 80)
		}
		parts = append(parts, n+from)
	}
	return strings.Join(parts, " and ")
}

// maxSegments is how many segments are listed one by one. Of more, those of one group are joined.
const maxSegments = 6

// rack shows what a call takes as segments, the run itself last. yours is where the reader's
// approval would count.
func (t Tally) rack(v approval.View, yours map[place]bool) []approval.Segment {
	teeth := t.teeth()
	var out []approval.Segment
	if len(teeth) < maxSegments {
		for _, o := range teeth {
			mine := o.by == nil && yours[o.place]
			if mine {
				yours[o.place] = false // one person's turn is one approval
			}
			out = append(out, o.segment(mine))
		}
	} else {
		for len(teeth) > 0 {
			n := slices.IndexFunc(teeth, func(o tooth) bool { return o.place != teeth[0].place })
			if n < 0 {
				n = len(teeth)
			}
			out = append(out, joined(teeth[:n], yours[teeth[0].place]))
			teeth = teeth[n:]
		}
	}
	for i := range out {
		if !waits(v) && out[i].State == approval.SegmentNext {
			out[i].State = approval.SegmentLater
		}
	}
	return append(out, run(v))
}

// whose names the stage and the group of an approval, as far as they have names.
func (o tooth) whose() string {
	name, group := approval.Display(o.name, 80), approval.Display(o.group, 80)
	if name != "" && group != "" && name != group {
		return name + " (" + group + ")"
	}
	return cmp.Or(name, group)
}

func (o tooth) segment(yours bool) approval.Segment {
	whose := o.whose()
	if whose != "" {
		whose += ": "
	}
	if o.by != nil {
		at := o.by.At
		who := cmp.Or(approval.Display(o.by.Reviewer, 80), "somebody")
		return approval.Segment{State: approval.SegmentMet, Label: whose + who + " approved", At: &at}
	}
	s := approval.Segment{State: approval.SegmentNext, Label: whose + "1 needed"}
	if yours {
		s.Label = whose + "your turn"
	}
	o.waits(&s)
	return s
}

// waits shows that others come first.
func (o tooth) waits(s *approval.Segment) {
	if o.after != "" {
		s.State, s.Note = approval.SegmentLater, "after "+approval.Display(o.after, 80)
	}
}

// joined is the segment of all teeth of one place.
func joined(teeth []tooth, yours bool) approval.Segment {
	met, all := progress(teeth)
	s := approval.Segment{
		State: approval.SegmentNext,
		Label: fmt.Sprintf("%s: %d of %d", cmp.Or(teeth[0].whose(), "approvals"), met, all),
	}
	switch {
	case met == all:
		s.State = approval.SegmentMet
	case yours:
		s.Note = "your turn"
	default:
		teeth[0].waits(&s)
	}
	return s
}

// run is the last segment: the tool's one run.
func run(v approval.View) approval.Segment {
	s := approval.Segment{State: approval.SegmentLater, Label: "Runs once"}
	switch {
	case v.Status.Denied(), v.Status == approval.StatusPending && !waits(v):
		s.Label = "Does not run"
	case v.Status == approval.StatusApproved, v.Status == approval.StatusExecuting:
		s.State = approval.SegmentNext
	case v.Status.Ended():
		s.State, s.Note = approval.SegmentMet, words(v.Status)
	}
	return s
}

// words is a status in a sentence.
func words(s approval.Status) string { return strings.ReplaceAll(string(s), "_", " ") }
