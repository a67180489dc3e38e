package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/requirement"
)

// noRule is PolicyRef.Rule where no rule of any layer matches.
const noRule = "no rule matches"

// Evaluate says what the policy demands for a call that is judged at now. It is pure: equal sets,
// calls and times give equal verdicts, but for a condition over an object's keys, which come in no
// order: which failure it names, and whether it is cut off before it is done. Every verdict of a
// set that Compile made is valid. The call need not be.
func (s *Set) Evaluate(c approval.Call, now time.Time) approval.Verdict {
	return s.evaluate(&input{call: &c, now: now}, nil)
}

// hit is a rule that counts.
type hit struct {
	rule *rule
	kind approval.VerdictKind // the rule's, or require_approval where its condition could not be evaluated
	why  string               // what the rule alone does not tell
}

// evaluate tells e, if it is not nil, what each layer has to do with it.
func (s *Set) evaluate(in *input, e *Explanation) approval.Verdict {
	var space [8]hit
	j := judging{in: in, hits: space[:0]}
	redact := append(make([][]string, 0, 8), s.redact)
	var observed []approval.Observation
	var timeout approval.Duration // where no rule states one
	layers, show := 0, 0          // for the call, and of these, that would show well-known secrets
	signed := false               // a layer wants all decisions to be
	for _, l := range s.layers {
		whyNot, unsure := l.applies.match(in.call, true)
		if whyNot != "" {
			e.skipLayer(l, whyNot)
			continue
		}
		j.unsure = unsure
		if layers++; l.shows {
			show++
		}
		if l.applies != nil && len(l.redact) > 0 {
			redact = append(redact, l.redact)
		}
		for r := range l.redactions.rules(in.call.Tool) {
			redact = append(redact, r.redact)
		}
		before := len(j.hits)
		if e == nil {
			l.judge(&j)
		} else {
			e.judge(l, &j)
		}
		if !l.observe {
			if unsure == "" { // its default may be longer than what holds without it
				timeout = approval.Shorter(timeout, l.timeout)
			}
			signed = signed || l.decisions == approval.DecisionsSigned
			continue
		}
		if own := j.hits[before:]; len(own) > 0 {
			o, _ := combine(own)
			observed = append(observed, approval.Observation{
				Layer: l.name, Kind: o.Kind, Risk: o.Risk, Rule: o.Policy.Rule, Why: o.Policy.Why,
				Requirement: o.Requirement,
			})
			redact = addHitRedactions(own, redact) // the reviewers it is tried on see no more for it
			j.hits = j.hits[:before]
		}
	}
	hits := j.hits
	v := approval.Verdict{Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: timeout}
	v.Policy.Rule = noRule
	if len(hits) > 0 {
		v, _ = combine(hits)
	}
	v.Observed, v.Policy.Digest = observed, s.digest
	if show > 0 && show == layers {
		v.RedactValues = approval.RedactNone
	}
	v.Redact = union(addHitRedactions(hits, redact)...)
	addCallDemands(&v, in.call)
	e.explainTimeout(v, in.call, hits)
	if signed && v.Requirement != nil {
		v.Requirement.Decisions = approval.DecisionsSigned
	}
	v.ValidFor = cmp.Or(v.ValidFor, v.Executor(*in.call).ValidFor())
	return v
}

// addCallDemands gives the call the scrutiny that it asks for itself: more, never less.
func addCallDemands(v *approval.Verdict, c *approval.Call) {
	if c.RequireApproval && v.Kind == approval.VerdictAllow {
		v.Kind, v.Audited, v.Requirement = approval.VerdictRequire, false, approval.OneApproval()
		v.Policy.Why = joinRemarks(v.Policy.Why, asksApproval)
	}
	if v.Kind != approval.VerdictRequire {
		v.Timeout = 0
		return
	}
	v.Timeout = approval.Shorter(cmp.Or(v.Timeout, approval.DefaultTimeout), c.Timeout)
}

const asksApproval = "the call asks for approval"

// judging gathers what the rules of the layers say of one call.
type judging struct {
	in   *input
	hits []hit
	note func(*rule, string) // told why a rule for this tool does not count; nil: nobody is
	// unsure is why the layer may not be for the call. It lets nothing run then.
	unsure string
}

func (j *judging) count(r *rule, kind approval.VerdictKind, why string) {
	if j.unsure != "" && kind == approval.VerdictAllow {
		j.passOver(r, "the layer lets nothing run here: "+j.unsure)
		return
	}
	j.hits = append(j.hits, hit{r, kind, joinRemarks(why, j.unsure)})
}

func (j *judging) passOver(r *rule, whyNot string) {
	if j.note != nil {
		j.note(r, whyNot)
	}
}

// judge adds the layer's rules that count.
//
// A rule whose condition can't be evaluated counts for an approval, and so does what would be said
// without it: which of the two was meant can't be told.
func (l *layer) judge(j *judging) {
	j.in.cost = 0 // what one layer costs must not cut off the conditions of another
	settled := l.judgeList(j)
	named := settled != nil && !slices.Contains(l.star, settled)
	held := settled != nil
	for i := range l.sections {
		some, exact := l.sections[i].judge(j)
		held, named = held || some, named || exact
		if some && l.sections[i].form != formAllow {
			break // what is denied need not be asked about, nor what is asked about allowed
		}
	}
	if c := l.classifier; c != nil && !named {
		if danger, whyNot := c.danger(j.in.call.Tool); danger != "" {
			j.count(c.rule, c.rule.kind, danger)
		} else {
			j.passOver(c.rule, whyNot)
		}
	}
	if l.unmatched != nil && !held {
		j.count(l.unmatched, l.unmatched.kind, "")
	}
}

// judgeList goes through the rule list: exact names, patterns, then "*", each in order. The first
// rule that holds settles it.
func (l *layer) judgeList(j *judging) *rule {
	for r := range l.list.rules(j.in.call.Tool) {
		if j.judge(r) {
			return r
		}
	}
	for _, r := range l.star {
		if j.judge(r) {
			return r
		}
	}
	return nil
}

// judge adds every entry of a section that holds. named is whether one did that is not for all
// tools.
func (s *section) judge(j *judging) (some, named bool) {
	for r, name := range s.rules(j.in.call.Tool) {
		if j.judge(r) {
			some, named = true, named || name != "*"
		}
	}
	return some, named
}

// judge adds the rule if it holds for the call, or if that can't be told; held is false then. A rule
// of the list that may not be for the call does not keep later ones from counting.
func (j *judging) judge(r *rule) (held bool) {
	whyNot, unsure := r.match.match(j.in.call, r.kind != approval.VerdictAllow)
	why, problem := "", ""
	if whyNot == "" {
		whyNot, why, problem = r.holds(j.in)
	}
	switch {
	case problem != "":
		j.count(r, approval.VerdictRequire,
			"the condition of "+r.short+" could not be evaluated: "+problem)
		return false
	case whyNot != "":
		j.passOver(r, whyNot)
		return false
	}
	j.count(r, r.kind, joinRemarks(why, unsure))
	return unsure == "" || r.form != formTool
}

// holds says why the rule does not hold for a call that match takes, or what keeps that from being
// told. Both are empty where it holds; why is what its conditions do not tell then.
func (r *rule) holds(in *input) (whyNot, why, problem string) {
	for i := range r.fields {
		held, say, problem := r.fields[i].holds(in, r.absent)
		switch {
		case problem != "":
			return "", "", problem
		case !held && say != "":
			return "not " + r.fields[i].text + ": " + say, "", ""
		case !held:
			return "not " + r.fields[i].text, "", ""
		}
		why = joinRemarks(why, say)
	}
	if r.when == nil {
		return "", why, ""
	}
	held, problem := r.when.holds(in, r.kind == approval.VerdictAllow)
	if problem == "" && !held {
		whyNot = "its condition (when) is false"
	}
	return whyNot, why, problem
}

// combine takes the strictest verdict, what each rule of that verdict demands, and the highest
// risk. first is the first of the strictest rules. There is at least one hit.
func combine(hits []hit) (v approval.Verdict, first *rule) {
	v.Kind, first = hits[0].kind, hits[0].rule
	for _, h := range hits {
		if approval.Strictest(approval.VerdictKinds, v.Kind, h.kind) != v.Kind {
			v.Kind, first = h.kind, h.rule
		}
		v.Risk = approval.Strictest(approval.Risks, v.Risk, h.rule.risk)
		v.Policy.Why = joinRemarks(v.Policy.Why, h.why)
	}
	v.Policy.Layer, v.Policy.Rule = first.layer.name, first.short
	for _, h := range hits {
		if h.kind != v.Kind {
			continue
		}
		v.Audited = v.Audited || h.rule.audited && v.Kind == approval.VerdictAllow
		v.Timeout = approval.Shorter(v.Timeout, h.rule.timeout)
		v.ValidFor = approval.Shorter(v.ValidFor, h.rule.validFor)
		if v.Kind == approval.VerdictRequire {
			// It only spares people requests, so any rule may say so.
			v.Collapse = v.Collapse || h.rule.collapse
			v.Requirement = addRequirement(v.Requirement, h.rule.requirement)
		}
	}
	return v, first
}

// addRequirement adds what a rule demands to what others do. nil demands one approval; before any
// rule there is nothing.
func addRequirement(sofar, next *approval.Requirement) *approval.Requirement {
	if next == nil {
		next = approval.OneApproval()
	}
	if sofar == nil {
		return requirement.Clone(next)
	}
	return requirement.Sum(sofar, next)
}

// maxWhy bounds PolicyRef.Why, in bytes.
const maxWhy = 500

// joinRemarks joins two remarks. What does not fit is left out whole.
func joinRemarks(a, b string) string {
	switch {
	case a == "" || b == "":
		return a + b
	case len(a)+len(b) > maxWhy || strings.Contains(a, b):
		return a
	}
	return a + "; " + b
}
