package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// noRule is PolicyRef.Rule where no rule of any layer matches.
const noRule = "no rule matches"

// Evaluate says what the policy demands for a call that is judged at now. It is
// pure: equal sets, calls and times give equal verdicts, and every verdict of a
// set that Compile made is valid. The call need not be.
func (s *Set) Evaluate(c approval.Call, now time.Time) approval.Verdict {
	picked := s.pick(c.Tool)
	decisive := picked[0]
	for _, r := range picked {
		if decisive.kind == approval.VerdictAllow && r.kind != approval.VerdictAllow {
			decisive = r
		}
	}
	v := approval.Verdict{
		Kind:     decisive.kind,
		ValidFor: approval.DefaultValidFor,
		Policy:   approval.PolicyRef{Digest: s.digest, Layer: decisive.layer, Rule: decisive.where},
	}
	var timeout approval.Duration
	for _, r := range picked {
		v.Risk = higher(v.Risk, r.risk)
		if r.kind == decisive.kind {
			timeout = shorter(timeout, r.timeout)
		}
	}
	v.Redact = redactions(picked)

	if c.RequireApproval && v.Kind == approval.VerdictAllow {
		v.Kind = approval.VerdictRequire
		v.Policy.Why = "the call asks for approval"
	}
	if v.Kind == approval.VerdictRequire {
		v.Requirement = approval.OneApproval()
		if timeout == 0 {
			timeout = approval.DefaultTimeout
		}
		v.Timeout = shorter(timeout, c.Timeout)
	}
	return v
}

// pick returns one rule for each layer that has a say, at least one.
func (s *Set) pick(tool string) []*rule {
	picked := make([]*rule, 0, len(s.layers)+1)
	for i := range s.layers {
		if r := s.layers[i].match(tool); r != nil {
			picked = append(picked, r)
		}
	}
	if len(picked) > 0 {
		return picked
	}
	for i := range s.layers {
		picked = append(picked, s.layers[i].none)
	}
	if len(picked) == 0 {
		picked = append(picked, unmatched(0))
	}
	return picked
}

func (l *layer) match(tool string) *rule {
	if r, ok := l.exact[tool]; ok {
		return r
	}
	return l.star
}

// unmatched is what a layer with this default_timeout says where no rule does.
func unmatched(timeout approval.Duration) *rule {
	return &rule{kind: approval.VerdictRequire, timeout: timeout, where: noRule}
}

func higher(a, b approval.Risk) approval.Risk {
	if slices.Index(approval.Risks, b) > slices.Index(approval.Risks, a) {
		return b
	}
	return a
}

// shorter takes zero, and below, as not stated.
func shorter(a, b approval.Duration) approval.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

func redactions(picked []*rule) []string {
	if len(picked) == 1 {
		return slices.Clone(picked[0].redact)
	}
	var lists [][]string
	for _, r := range picked {
		lists = append(lists, r.redact)
	}
	return union(lists...)
}

// union adds up field names, sorted. Names that differ in case only are one,
// as they are to approval.Redactor.
func union(lists ...[]string) []string {
	var out []string
	seen := map[string]bool{}
	for _, names := range lists {
		for _, name := range names {
			if key := strings.ToLower(name); !seen[key] {
				seen[key] = true
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}
