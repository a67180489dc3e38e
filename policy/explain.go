package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// Explanation is a verdict, and how each layer came to its part of it. As JSON it is the verdict
// with further fields.
type Explanation struct {
	approval.Verdict
	Layers []LayerSays `json:"layers"`
	Call   []string    `json:"call,omitempty"` // what the call asks for itself
	// TimeoutFrom says where the timeout comes from, where there is one.
	TimeoutFrom string `json:"timeout_from,omitempty"`
}

// Nothing is what a layer says that has no say.
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
	Counted []RuleRef            `json:"counted,omitempty"` // further rules that counted
	Others  []OtherRule          `json:"others,omitempty"`  // rules that did not, those for this tool first
	More    int                  `json:"more,omitempty"`    // how many more did not
}

// RuleRef names one rule of a layer, where no other stands at the same place.
type RuleRef struct {
	Where string `json:"where"` // file:line:column
	Text  string `json:"text"`  // what it matches and says, on one line
}

// OtherRule is a rule that did not count.
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

// OtherTools is OtherRule.WhyNot of rules whose tool is another one.
const OtherTools = "it is for other tools"

// maxOthers bounds LayerSays.Others.
const maxOthers = 20

// Explain is Evaluate, and says why. Its texts quote nothing of the call.
func (s *Set) Explain(c approval.Call, now time.Time) Explanation {
	e := Explanation{Layers: []LayerSays{}}
	e.Verdict = s.evaluate(&input{call: &c, now: now}, &e)
	if c.RequireApproval {
		e.Call = append(e.Call, asksApproval)
	}
	if c.Timeout > 0 {
		e.Call = append(e.Call, fmt.Sprintf("the call asks to wait no longer than %v", c.Timeout))
	}
	return e
}

// skipLayer notes that a layer is not for the call. A nil e notes nothing.
func (e *Explanation) skipLayer(l *layer, whyNot string) {
	if e != nil {
		says := l.says()
		says.Why = "the layer is not for this call: " + whyNot
		e.Layers = append(e.Layers, says)
	}
}

// explainTimeout notes where the verdict's timeout comes from. A nil e notes nothing.
func (e *Explanation) explainTimeout(v approval.Verdict, c *approval.Call, hits []hit) {
	if e == nil || v.Kind != approval.VerdictRequire {
		return
	}
	var shortest *rule
	stated := 0
	if len(hits) > 0 {
		combined, _ := combine(hits)
		for _, h := range hits {
			if h.kind != combined.Kind || h.rule.timeout == 0 {
				continue
			}
			stated++
			if shortest == nil || h.rule.timeout < shortest.timeout {
				shortest = h.rule
			}
		}
	}
	switch {
	case v.Timeout == c.Timeout && (shortest == nil || shortest.timeout != v.Timeout):
		e.TimeoutFrom = "the call asks for it"
	case shortest != nil:
		e.TimeoutFrom = "by " + shortest.short
		if !shortest.ownTimeout {
			e.TimeoutFrom = "the default of layer " + shortest.layer.name + ", for " + shortest.short
		}
		if stated > 1 {
			e.TimeoutFrom += fmt.Sprintf("; the shortest of %d rules that count", stated)
		}
	case len(hits) == 0 && v.Timeout != approval.DefaultTimeout:
		e.TimeoutFrom = "the shortest default of the layers"
	default:
		e.TimeoutFrom = "as nothing states one"
	}
}

// judge is layer.judge, and notes how the layer came to what it says.
func (e *Explanation) judge(l *layer, j *judging) {
	before, tried := len(j.hits), map[*rule]string{}
	j.note = func(r *rule, whyNot string) { tried[r] = whyNot }
	l.judge(j)
	says := l.explain(j.in.call.Tool, j.hits[before:], tried)
	says.Why = cmp.Or(says.Why, j.unsure)
	e.Layers = append(e.Layers, says)
}

func (l *layer) says() LayerSays {
	return LayerSays{Layer: l.name, File: l.source.Name, Observe: l.observe, Says: Nothing}
}

// explain says what came of the layer's rules. tried are those that were about the tool and did not
// hold, and why.
func (l *layer) explain(tool string, hits []hit, tried map[*rule]string) LayerSays {
	says := l.says()
	says.Applies = true
	counted := map[*rule]bool{}
	for _, h := range hits {
		counted[h.rule] = true
	}
	if len(hits) > 0 {
		v, first := combine(hits)
		says.Says, says.Rule, says.Why = v.Kind, first.ref(), v.Policy.Why
	}
	var near, far []OtherRule
	for _, r := range l.rules {
		whyNot, was := tried[r]
		hides := ""
		if r.redactsAnyway(tool) {
			hides = "; its redact_fields hide all the same"
		}
		switch {
		case counted[r]:
			if ref := r.ref(); *ref != *says.Rule {
				says.Counted = append(says.Counted, *ref)
			}
		case was:
			near = append(near, OtherRule{*r.ref(), whyNot + hides})
		case r.form == formUnmatched, r.form == formClassify:
			near = append(near, OtherRule{*r.ref(), "a rule of this layer is about the call"})
		case r.names == nil || r.about(tool):
			near = append(near, OtherRule{*r.ref(), "a rule that goes before it counts" + hides})
		default:
			far = append(far, OtherRule{*r.ref(), OtherTools})
		}
	}
	says.Others = append(near, far...)
	if len(says.Others) > maxOthers {
		says.More = len(says.Others) - maxOthers
		says.Others = says.Others[:maxOthers]
	}
	return says
}

// Rules returns every rule of the set, by layer and place. What a layer says by unmatched or
// classify is among them.
func (s *Set) Rules() []RuleInfo {
	var out []RuleInfo
	for _, l := range s.layers {
		for _, r := range l.rules {
			out = append(out, RuleInfo{RuleRef: *r.ref(), Layer: l.name, Says: r.kind})
		}
	}
	return out
}

func (r *rule) ref() *RuleRef { return &RuleRef{Where: r.where, Text: r.text()} }

// text is the rule on one line: form, tools, conditions, what it says.
func (r *rule) text() string {
	parts := []string{string(r.form) + " " + firstFew(r.names)}
	if match := r.match.text(); match != "" {
		parts = append(parts, match)
	}
	for _, f := range r.fields {
		parts = append(parts, f.text)
	}
	if r.when != nil {
		parts = append(parts, "when "+approval.Display(strings.Join(strings.Fields(r.when.source), " "), 200))
	}
	text := strings.Join(parts, ", ")
	if r.form == formTool || r.form == formClassify {
		text += ": " + string(r.kind)
	}
	if r.audited {
		text += ", audited"
	}
	if r.collapse {
		text += ", collapse"
	}
	return text
}
