package policydiff_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/policydiff"
)

func hours(n int) approval.Duration { return approval.Duration(time.Duration(n) * time.Hour) }

func asks(change func(*approval.Requirement)) approval.Verdict {
	r := approval.OneApproval()
	if change != nil {
		change(r)
	}
	return approval.Verdict{Kind: approval.VerdictRequire, Timeout: hours(1), ValidFor: hours(1), Risk: approval.RiskMedium, Requirement: r}
}

func groups(pairs ...any) []approval.Approvals {
	var out []approval.Approvals
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, approval.Approvals{Group: pairs[i].(string), Count: pairs[i+1].(int)})
	}
	return out
}

// Each row is what makes a verdict laxer. The other way round it must be stricter in the same
// respects.
func TestCompare(t *testing.T) {
	type req = approval.Requirement
	allow := approval.Verdict{Kind: approval.VerdictAllow, ValidFor: hours(1)}
	deny := approval.Verdict{Kind: approval.VerdictDeny}
	with := func(v approval.Verdict, change func(*approval.Verdict)) approval.Verdict {
		change(&v)
		return v
	}
	for name, c := range map[string]struct {
		strict, lax approval.Verdict
		want        string
	}{
		"people instead of denial": {deny, with(asks(nil), func(v *approval.Verdict) { v.Risk = "" }), "verdict"},
		"nobody instead of people": {with(asks(nil), func(v *approval.Verdict) { v.Risk = "" }), allow, "verdict"},
		"nobody instead of denial": {deny, allow, "verdict"},
		"unaudited":                {with(allow, func(v *approval.Verdict) { v.Audited = true }), allow, "audited"},
		"lower risk":               {asks(nil), with(asks(nil), func(v *approval.Verdict) { v.Risk = approval.RiskLow }), "risk"},
		"no risk":                  {with(allow, func(v *approval.Verdict) { v.Risk = approval.RiskLow }), allow, "risk"},
		"fewer hidden":             {with(allow, func(v *approval.Verdict) { v.Redact = []string{"A", "b"} }), with(allow, func(v *approval.Verdict) { v.Redact = []string{"a"} }), "redact"},
		"fewer hidden when denied": {with(deny, func(v *approval.Verdict) { v.Redact = []string{"a"} }), deny, "redact"},
		"tokens shown":             {allow, with(allow, func(v *approval.Verdict) { v.RedactValues = approval.RedactNone }), "redact_values"},
		"no collapse":              {with(asks(nil), func(v *approval.Verdict) { v.Collapse = true }), asks(nil), "collapse"},
		"longer wait":              {asks(nil), with(asks(nil), func(v *approval.Verdict) { v.Timeout = hours(2) }), "timeout"},
		"valid for longer":         {asks(nil), with(asks(nil), func(v *approval.Verdict) { v.ValidFor = hours(2) }), "valid_for"},
		"fewer people":             {asks(func(r *req) { r.Approvals = groups("", 2) }), asks(nil), "approvals"},
		"fewer of a group":         {asks(func(r *req) { r.Approvals = groups("", 2, "ops", 2) }), asks(func(r *req) { r.Approvals = groups("", 2, "ops", 1) }), "approvals by ops"},
		"anybody for a group":      {asks(func(r *req) { r.Approvals = groups("ops", 1) }), asks(nil), "approvals by ops"},
		"a group for a stage":      {asks(func(r *req) { r.Approvals, r.Stages = nil, []approval.Stage{{Name: "s", Approvals: groups("ops", 1)}} }), asks(func(r *req) { r.Approvals = groups("ops", 1) }), "stage s"},
		"fewer in a stage": {
			asks(func(r *req) {
				r.Stages = []approval.Stage{{Name: "a", Approvals: groups("", 1)}, {Name: "b", Approvals: groups("ops", 2)}}
			}),
			asks(func(r *req) {
				r.Stages = []approval.Stage{{Name: "a", Approvals: groups("", 1)}, {Name: "b", Approvals: groups("ops", 1)}}
			}),
			"approvals, approvals by ops, stage b: approvals, stage b: approvals by ops",
		},
		"unsigned":             {asks(func(r *req) { r.Decisions = approval.DecisionsSigned }), asks(func(r *req) { r.Decisions = approval.DecisionsAny }), "decisions"},
		"more rejections":      {asks(nil), asks(func(r *req) { r.DenyCount = 2 }), "deny_count"},
		"by oneself":           {asks(nil), asks(func(r *req) { r.SelfApproval = true }), "self_approval"},
		"without reasons":      {asks(func(r *req) { r.RequireReason = true }), asks(nil), "require_reason"},
		"other arguments":      {asks(nil), asks(func(r *req) { r.AllowEdit = true }), "allow_edit"},
		"without input":        {asks(func(r *req) { r.Input = json.RawMessage(`{}`) }), asks(nil), "input"},
		"run by a worker":      {asks(func(r *req) { r.Execution = approval.ExecutionReviewer }), asks(func(r *req) { r.Execution = approval.ExecutionWorker }), "execution"},
		"run by the caller":    {asks(nil), asks(func(r *req) { r.Execution = approval.ExecutionCaller }), "execution"},
		"more people in time":  {asks(nil), asks(func(r *req) { r.Escalate = []approval.Escalation{{After: hours(1), To: "all"}} }), "escalate to all"},
		"asked sooner":         {asks(func(r *req) { r.Escalate = []approval.Escalation{{After: hours(2), To: "all"}} }), asks(func(r *req) { r.Escalate = []approval.Escalation{{After: hours(1), To: "all"}} }), "escalate to all"},
		"ahead":                {asks(nil), asks(func(r *req) { r.Grant = &approval.Grant{Max: hours(1)} }), "grant"},
		"ahead for longer":     {asks(func(r *req) { r.Grant = &approval.Grant{Max: hours(1)} }), asks(func(r *req) { r.Grant = &approval.Grant{Max: hours(2)} }), "grant"},
		"fewer checks":         {asks(func(r *req) { r.Validators = []string{"a", "b"} }), asks(func(r *req) { r.Validators = []string{"a"} }), "validate"},
		"tools have cases":     {asks(func(r *req) { r.Validators = []string{"a", "A"} }), asks(func(r *req) { r.Validators = []string{"a"} }), "validate"},
		"fewer previews":       {asks(func(r *req) { r.Previews = []string{"a"} }), asks(nil), "preview"},
		"no requirement":       {asks(nil), with(asks(nil), func(v *approval.Verdict) { v.Requirement = nil }), "approvals"},
		"an unknown verdict":   {allow, approval.Verdict{Kind: "maybe", ValidFor: hours(1)}, "verdict"},
		"longer, and nobody":   {asks(nil), with(allow, func(v *approval.Verdict) { v.ValidFor = hours(5) }), "verdict, risk"},
		"worded, not demanded": {asks(func(r *req) { r.DenyCount = 1 }), asks(func(r *req) { r.Execution = approval.ExecutionWorker }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, laxer := range []bool{true, false} {
				old, new := c.strict, c.lax
				if !laxer {
					old, new = new, old
				}
				var fields []string
				for _, s := range policydiff.Compare(old, new) {
					if s.Laxer != laxer {
						t.Errorf("laxer %v: %s", s.Laxer, s)
					}
					fields = append(fields, s.Field)
				}
				if got := strings.Join(fields, ", "); got != c.want {
					t.Errorf("laxer %v: got %q, want %q", laxer, got, c.want)
				}
			}
		})
	}
}

func TestCompareCanBeBoth(t *testing.T) {
	old := asks(func(r *approval.Requirement) { r.Approvals = groups("finance", 2) })
	new := asks(func(r *approval.Requirement) { r.Approvals = groups("ops", 3) })
	var got []string
	for _, s := range policydiff.Compare(old, new) {
		got = append(got, fmt.Sprintf("%s %v", s, s.Laxer))
	}
	want := []string{"approvals: 2 → 3 false", "approvals by finance: 2 → 0 true", "approvals by ops: 0 → 3 false"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An input schema can't be ranked, so either way it counts as laxer. Denied calls have no risk, and
// reminders and observers demand nothing.
func TestCompareOddities(t *testing.T) {
	schema := func(text string) approval.Verdict {
		return asks(func(r *approval.Requirement) { r.Input = json.RawMessage(text) })
	}
	if s := policydiff.Compare(schema(`{"a":1}`), schema(`{"b":1}`)); len(s) != 1 || !s[0].Laxer {
		t.Errorf("another schema: %v", s)
	}
	if s := policydiff.Compare(asks(nil), approval.Verdict{Kind: approval.VerdictDeny}); len(s) != 1 || s[0].Laxer {
		t.Errorf("denied: %v", s)
	}
	other := asks(func(r *approval.Requirement) { r.RemindEvery = hours(1) })
	other.Policy = approval.PolicyRef{Digest: "d", Layer: "l", Rule: "r", Why: "w"}
	other.Observed = []approval.Observation{{Layer: "x"}}
	if s := policydiff.Compare(asks(nil), other); len(s) > 0 {
		t.Errorf("nothing that counts: %v", s)
	}
}

// Whoever adds a field to a verdict decides here, and in Compare, whether more of it is laxer.
func TestCompareKnowsEveryField(t *testing.T) {
	for _, c := range []struct {
		of   any
		want string
	}{
		{approval.Verdict{}, "Kind Risk Requirement Timeout ValidFor Redact RedactValues Policy Audited Collapse Observed"},
		{approval.Requirement{}, "Approvals Stages Decisions DenyCount SelfApproval RequireReason AllowEdit Input Execution RemindEvery Escalate Grant Validators Previews"},
		{approval.Approvals{}, "Group Count"},
		{approval.Stage{}, "Name Approvals"},
		{approval.Escalation{}, "After To"},
		{approval.Grant{}, "Max"},
	} {
		var fields []string
		typ := reflect.TypeOf(c.of)
		for i := range typ.NumField() {
			fields = append(fields, typ.Field(i).Name)
		}
		if got := strings.Join(fields, " "); got != c.want {
			t.Errorf("%s has the fields\n%s, Compare knows\n%s", typ, got, c.want)
		}
	}
}
