package policy

import (
	"time"

	"github.com/pawlhq/pawl/approval"
)

// Explanation is a verdict, and how each layer came to its part of it. As JSON
// it is the verdict with further fields.
type Explanation struct {
	approval.Verdict
	Layers []LayerSays `json:"layers"`
}

// What a layer says: a verdict's kind, or nothing.
const Nothing approval.VerdictKind = "nothing"

// LayerSays is one layer's part in a verdict.
type LayerSays struct {
	Layer   string               `json:"layer"`
	File    string               `json:"file"`
	Observe bool                 `json:"observe,omitempty"` // it decides nothing
	Applies bool                 `json:"applies"`           // its applies_to takes the call in
	Says    approval.VerdictKind `json:"says"`              // or Nothing
	Rule    *RuleRef             `json:"rule,omitempty"`    // the one that decided
	Why     string               `json:"why,omitempty"`     // what the rule alone does not tell
	Counted []RuleRef            `json:"counted,omitempty"` // further rules that count, since their conditions could not be evaluated
	Others  []OtherRule          `json:"others,omitempty"`  // rules that did not match, the nearest first
	More    int                  `json:"more,omitempty"`    // how many further ones did not
}

// RuleRef names one rule of a set. Where is unique in a set.
type RuleRef struct {
	Where string `json:"where"` // file:line:column
	Text  string `json:"text"`  // what it matches and says, on one line
}

// OtherRule is a rule that did not match.
type OtherRule struct {
	RuleRef
	WhyNot string `json:"why_not"`
}

// RuleInfo is a rule of a set.
type RuleInfo struct {
	RuleRef
	Layer string               `json:"layer"`
	Says  approval.VerdictKind `json:"says"`
}

// Explain is Evaluate, and says why. Its texts quote nothing of the call but
// the tool's name.
func (s *Set) Explain(c approval.Call, now time.Time) Explanation {
	e := Explanation{Verdict: s.Evaluate(c, now), Layers: []LayerSays{}}
	for _, l := range s.layers {
		says := LayerSays{Layer: l.name, File: l.source.Name, Applies: true, Says: Nothing}
		if r := l.match(c.Tool); r != nil {
			says.Says, says.Rule = r.kind, &RuleRef{Where: r.where, Text: r.where}
		}
		e.Layers = append(e.Layers, says)
	}
	return e
}

// Rules returns every rule of the set, by layer and place.
func (s *Set) Rules() []RuleInfo {
	var out []RuleInfo
	for _, l := range s.layers {
		for _, r := range l.rules {
			if r != l.none {
				out = append(out, RuleInfo{RuleRef: RuleRef{Where: r.where, Text: r.where}, Layer: l.name, Says: r.kind})
			}
		}
	}
	return out
}
