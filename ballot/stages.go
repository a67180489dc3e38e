package ballot

import (
	"slices"

	"github.com/pawlhq/pawl/approval"
)

// stage is a part of a requirement, and the approvals that count in it. Stages are met one after
// the other; an approval that came before its stage begins waits for it.
type stage struct {
	approval.Stage
	votes []int // places in Tally.votes
}

// stagesOf lists the stages of a requirement. Approvals that are in no stage come last.
func stagesOf(r approval.Requirement) []approval.Stage {
	list := slices.Clip(r.Stages)
	if len(r.Approvals) > 0 {
		list = append(list, approval.Stage{Approvals: r.Approvals})
	}
	return list
}

// everyone lists whose approvals a requirement asks for, in any stage.
func everyone(r approval.Requirement) []approval.Approvals {
	var all []approval.Approvals
	for _, s := range stagesOf(r) {
		all = append(all, s.Approvals...)
	}
	return all
}

// stages says in which stage each approval counts. One person's counts in one stage only: the first
// where it helps and one of their groups is asked for, or else the first where it helps. Within a
// stage it counts for every group they are in. More approvals never make a stage less met.
func (t Tally) stages() []stage {
	var list []stage
	for _, s := range stagesOf(t.rules.Requirement) {
		list = append(list, stage{Stage: s})
	}
	for i, v := range t.votes {
		if v.Kind != approval.Approve || t.rejected(v.Reviewer) {
			continue
		}
		in := slices.IndexFunc(list, func(s stage) bool { return t.helps(s, v, true) })
		if in < 0 {
			in = slices.IndexFunc(list, func(s stage) bool { return t.helps(s, v, false) })
		}
		if in >= 0 {
			list[in].votes = append(list[in].votes, i)
		}
	}
	return list
}

// helps reports whether an approval brings a stage nearer to being met; byGroup: for a group that
// is named.
func (t Tally) helps(s stage, v approval.Decision, byGroup bool) bool {
	return slices.ContainsFunc(t.missingIn(s), func(a approval.Approvals) bool {
		return takes(a, v) && (a.Group != "" || !byGroup)
	})
}

// missingIn is what the approvals of a stage leave to be approved.
func (t Tally) missingIn(s stage) []approval.Approvals {
	var out []approval.Approvals
	for _, a := range s.Approvals {
		for _, i := range s.votes {
			if takes(a, t.votes[i]) {
				a.Count--
			}
		}
		if a.Count > 0 {
			out = append(out, a)
		}
	}
	return out
}

// missing is what the votes leave to be approved, in all stages.
func (t Tally) missing() []approval.Approvals {
	var out []approval.Approvals
	for _, s := range t.stages() {
		out = append(out, t.missingIn(s)...)
	}
	return out
}

// rejected reports whether somebody's rejection counts. It outweighs their approval, whichever came
// first.
func (t Tally) rejected(reviewer string) bool { return t.of(approval.Reject, reviewer) >= 0 }

// of is the place of somebody's vote of a kind, or -1.
func (t Tally) of(kind approval.DecisionKind, reviewer string) int {
	return slices.IndexFunc(t.votes, func(v approval.Decision) bool {
		return v.Kind == kind && t.rules.same(v.Reviewer, reviewer)
	})
}

// rejections is how many people have rejected the call.
func (t Tally) rejections() int {
	n := 0
	for _, v := range t.votes {
		if v.Kind == approval.Reject {
			n++
		}
	}
	return n
}

// denyCount is how many rejections end a call.
func denyCount(r approval.Requirement) int { return max(1, r.DenyCount) }
