package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// Who denies a capability, or has people asked about it, means everything under it. dev/pythontest
// compares with the engine that the form comes from.
func TestCapabilitiesSpreadWhereTheyAddScrutiny(t *testing.T) {
	for entry, c := range map[string]struct{ held, free string }{
		"payments.refund":   {"payments.refund payments.refund.production payments.refund.eu.west payments.refund:x payments.refund/x", "payments payments.refunds payments.refund_all payments.pay"},
		"github.push.*":     {"github.push github.push.main", "github github.pushed github.pull.push"},
		"db.*.*":            {"db db.read db.read.x", "dbx database.read"},
		"admin":             {"admin admin.users admin:users", "administer sub.admin"},
		"'*.delete'":        {"file.delete file.delete.production a.b.delete", "delete file.deleted"},
		"mail.send.outside": {"mail.send.outside mail.send.outside.eu", "mail.send mail.send.inside"},
		"'pay*'":            {"pay payments payments.refund", "repay"},
	} {
		for section, verdict := range map[string]approval.VerdictKind{"deny": "deny", "require_approval": "require_approval"} {
			set := compile(t, file("p.yaml", section+": [{capability: "+entry+", redact_fields: [pin]}]\nunmatched: allow"))
			for _, tool := range strings.Fields(c.held + " " + c.free) {
				held := slices.Contains(strings.Fields(c.held), tool)
				v := set.Evaluate(approval.Call{Tool: tool}, now)
				if (v.Kind == verdict) != held || (v.Kind == approval.VerdictAllow) == held || slices.Contains(v.Redact, "pin") != held {
					t.Errorf("%s: %s: %s is held: %v, redacts %v", section, entry, tool, v.Kind, v.Redact)
				}
				if why := set.Explain(approval.Call{Tool: tool}, now).Layers[0].Others; held && len(why) > 0 && why[0].WhyNot == policy.OtherTools {
					t.Errorf("%s: %s: explained as %v", section, entry, why)
				}
			}
		}
	}
	// What allows means what it says.
	set := compile(t, file("p.yaml", "allow: [payments.refund, github.push.*]"))
	for tool, want := range map[string]approval.VerdictKind{
		"payments.refund": "allow", "payments.refund.production": "require_approval", "github.push": "require_approval", "github.push.main": "allow",
	} {
		if got := set.Evaluate(approval.Call{Tool: tool}, now).Kind; got != want {
			t.Errorf("%s: %s", tool, got)
		}
	}
	for text, want := range map[string]string{
		"deny: [payments]\nallow: [payments.refund]":                      `allow never comes to say anything about "payments.refund"`,
		"deny: ['*.delete']\nallow: [file.delete.*]":                      `allow never comes to say anything about "file.delete.*"`,
		"require_approval: [payments.refund.*]\nallow: [payments.refund]": `allow never comes to say anything about "payments.refund"`,
		"deny: [payments.refund]\nallow: [payments.*]":                    "",
	} {
		if got := policy.Check(file("p.yaml", text)).Error(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// Files that were written for other tools load with the meaning that they have there, and a note.
func TestWordsOfOtherTools(t *testing.T) {
	for text, c := range map[string]struct{ call, want, notes string }{
		"rules: [{tool: t, require_approval: false}]":                {`{"tool":"t"}`, "allow", "require_approval: false lets the tool run without asking"},
		"rules: [{tool: t, risk_level: HIGH}]":                       {`{"tool":"t"}`, "require_approval", ""},
		"rules: [{tool: t, risk_level: Critical, deny: true}]":       {`{"tool":"t"}`, "deny", ""},
		"rules: [{tool: t, require_approval: true, timeout: 0}]":     {`{"tool":"t"}`, "deny", "leaves nobody time"},
		"rules: [{tool: t, timeout: 0.0}]":                           {`{"tool":"t"}`, "deny", "leaves nobody time"},
		"rules: [{tool: t, auto_approve: true, timeout: 0}]":         {`{"tool":"t"}`, "allow", ""},
		"require_approval: [{capability: t, timeout: 0}]":            {`{"tool":"t"}`, "deny", "leaves nobody time"},
		"default_timeout: 0\nrules: [{tool: t}]":                     {`{"tool":"t"}`, "deny", "rules that ask, and state none, deny"},
		"default_timeout: 0\nrules: [{tool: t, timeout: 60}]":        {`{"tool":"t"}`, "require_approval", "rules that ask, and state none, deny"},
		"approval_timeout_seconds: 0\nrequire_approval: [t]":         {`{"tool":"t"}`, "deny", "leaves nobody time"},
		"policy_name: p\ndeny: [x]":                                  {`{"tool":"t"}`, "require_approval", "the tools that this form comes from deny it"},
		"policy_name: p\ndeny: [x]\nunmatched: deny":                 {`{"tool":"t"}`, "deny", ""},
		"policy_name: p\ndeny: [x]\nunmatched: require_approval":     {`{"tool":"t"}`, "require_approval", ""},
		"policy_name: p\nrules: [{tool: x}]":                         {`{"tool":"t"}`, "require_approval", ""},
		"rules: [{tool: t, require_approval: false, when: 'false'}]": {`{"tool":"t"}`, "require_approval", "lets the tool run"},
	} {
		if got := policy.Check(file("p.yaml", text)).Error(); (c.notes == "" && got != "") || !strings.Contains(got, c.notes) {
			t.Errorf("%s: %s", text, got)
		}
		if got, _, _ := strings.Cut(verdict(t, compile(t, file("p.yaml", text)), c.call), " | "); got != c.want {
			t.Errorf("%s: got %s, want %s", text, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"rules: [{tool: t, require_approval: false, auto_approve: false}]": "require_approval: false and auto_approve: false",
		"rules: [{tool: t, require_approval: false, approvals: 2}]":        "under this rule they are not asked",
		"rules: [{tool: t, timeout: -1}]":                                  "timeout is not a length of time",
		"rules: [{tool: t, timeout: 0s}]":                                  "timeout is out of bounds",
		"rules: [{tool: t, risk_level: severe}]":                           "risk_level is not a level",
	} {
		if got := policy.Check(file("p.yaml", text)).Error(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
	if v := compile(t, file("p.yaml", "rules: [{tool: t, risk_level: HIGH}]")).Evaluate(approval.Call{Tool: "t"}, now); v.Risk != approval.RiskHigh {
		t.Errorf("risk %q", v.Risk)
	}
}
