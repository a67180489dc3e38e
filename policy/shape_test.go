package policy_test

import (
	"go/build"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// Literals are evaluated when a file is loaded: what would fail for every call is a mistake of the
// file.
func TestLiteralsAreEvaluated(t *testing.T) {
	for when, want := range map[string]string{
		`now.getHours("Europe/Berlin") >= 9`:                       "",
		`now.getHours("UTC") >= 9`:                                 "",
		`now.getDayOfWeek("-03:30") == 1`:                          "",
		`now.getHours("02:00") >= 9`:                               "",
		`now.getHours() >= 9`:                                      "",
		`duration("90s").getSeconds() > 5`:                         "",
		`now.getHours("Europe/Berln") >= 9`:                        `1:51: the time zone "Europe/Berln" is not known`,
		`now.getFullYear("Local") > 2000`:                          `the time zone "Local" is another one on each machine`,
		`now.getMonth("") > 1`:                                     `the time zone "" is another one on each machine`,
		`now.getMinutes("UTC+2") > 1`:                              `the time zone "UTC+2" is not known`,
		`now.getMinutes("+24:00") > 1`:                             `the time zone "+24:00" is not known`,
		`now.getMinutes("+2") > 1`:                                 `the time zone "+2" is not known`,
		`now.getDate("../../etc/passwd") > 1`:                      "is not known",
		`now.getHours(args.zone) > 1`:                              "the time zone is not written out",
		`args.l.exists(x, now.getHours("Nowhere") > 1)`:            `"Nowhere" is not known`,
		`timestamp("2026-01-05T12:00:00Z") < now`:                  "",
		`timestamp("2026-13-05T12:00:00Z") < now`:                  "not valid",
		`now - timestamp("2026-01-01T00:00:00Z") > duration("1d")`: "not valid",
		`args.x.matches("(")`:                                      "the pattern of matches is not a regular expression",
	} {
		text := "rules: [{tool: t, deny: true, when: '" + when + "'}]"
		got := ""
		if err := policy.Check(file("p.yaml", text)).Err(); err != nil {
			got = err.Error()
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
}

// Every program that judges has the zones in it, so that no machine knows others.
func TestZonesAreInTheProgram(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil || !slices.Contains(p.Imports, "time/tzdata") {
		t.Errorf("package policy imports %v, %v", p.Imports, err)
	}
}

// What allows more than it seems to is warned of; the same in deny is not.
func TestShapesThatAllowTooMuch(t *testing.T) {
	const (
		noLower   = "has no lower bound here"
		noUpper   = "has no upper bound here"
		excludes  = "what is excluded here allows everything else"
		unbounded = "may match a part of a text"
		itself    = "is compared with what the call says itself"
	)
	for when, want := range map[string]string{
		`args.amount <= 50`:                              "args.amount " + noLower,
		`50 > args.amount`:                               "args.amount " + noLower,
		`!(args.amount > 50)`:                            "args.amount " + noLower,
		`args.amount > 5`:                                "args.amount " + noUpper,
		`args["amount"] < 5 && args.total > 5`:           "args.total " + noUpper,
		`args.lines.all(l, l.price < 5)`:                 "l.price " + noLower,
		`args.lines[0].price < 5`:                        "args.lines[0].price " + noLower,
		`args.amount >= 0 && args.amount <= 50`:          "",
		`args.amount > 0.0 && !(args.amount > 50)`:       "",
		`args["amount"] >= 0 && args.amount < 50`:        "",
		`args.amount == 5 || args.amount in [1, 2]`:      "",
		`args.amount < args.limit`:                       itself,
		`args.amount <= double(args.limit)`:              itself,
		`double(args.amount) <= 50.0`:                    "args.amount " + noLower,
		`args.amount * 2.0 <= 100.0`:                     "args.amount " + noLower,
		`-args.amount >= -50.0`:                          "args.amount " + noLower,
		`100.0 - args.amount >= 50.0`:                    "args.amount " + noLower,
		`args.amount + args.fee <= 50.0`:                 "args.fee " + noLower,
		`args.vip ? args.amount < 5 : false`:             "args.amount " + noLower,
		`args.env == "prod" ? false : true`:              excludes,
		`args.env == "dev" ? true : false`:               "",
		`args.start < timestamp("2026-01-01T00:00:00Z")`: "",
		`size(args.list) < 5 && now.getHours() < 6`:      "",
		`args.env != "prod"`:                             excludes,
		`!(args.env == "prod")`:                          excludes,
		`!(args.env in ["prod"])`:                        excludes,
		`!args.cmd.matches("rm")`:                        excludes,
		`!args.to.endsWith("@evil.example")`:             excludes,
		`!(args.env != "dev")`:                           "",
		`args.env in ["dev"]`:                            "",
		`args.cmd.matches("ls")`:                         unbounded,
		`args.cmd.matches("^ls")`:                        unbounded,
		`args.cmd.matches("^(ls|pwd)$")`:                 "",
		`args.cmd.matches("^ls$|^pwd$")`:                 "",
	} {
		quoted := "'" + when + "'"
		for text, warns := range map[string]bool{
			"rules: [{tool: t, auto_approve: true, when: " + quoted + "}]": true,
			"rules: [{tool: t, audit: true, when: " + quoted + "}]":        true,
			"allow: [{capability: t, when: " + quoted + "}]":               true,
			"rules: [{tool: t, deny: true, when: " + quoted + "}]":         false,
			"require_approval: [{capability: t, when: " + quoted + "}]":    false,
		} {
			got := policy.Check(file("p.yaml", text)).Error()
			if expected := warns && want != ""; strings.Contains(got, "warning: ") != expected || expected && !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", text, got, want)
			}
		}
	}
	if got := policy.Check(file("p.yaml", "allow: [{capability: t, amount_gt: 5}]")).Error(); !strings.Contains(got, "has no upper bound") {
		t.Error(got)
	}
}

// A value with * is a pattern where it adds scrutiny, and a mistake where it allows.
func TestValuesWithStars(t *testing.T) {
	for entry, c := range map[string]struct {
		call string
		kind approval.VerdictKind
	}{
		"environment: prod*":           {`{"args":{"environment":"production"}}`, approval.VerdictDeny},
		"environment: [dev, '*-eu']":   {`{"labels":{"environment":"prod-eu"}}`, approval.VerdictDeny},
		"tool_name: 'admin_*'":         {`{"args":{"tool_name":"admin_reset"}}`, approval.VerdictDeny},
		"tool_name: 'admin_*' ":        {`{"args":{"tool_name":"reset"}}`, approval.VerdictRequire},
		"environment: '*'":             {`{"args":{"environment":"any"}}`, approval.VerdictDeny},
		"environment: 'prod*' ":        {`{"args":{"environment":7}}`, approval.VerdictDeny},       // another type
		"environment: 'what?'":         {`{"args":{"environment":"whats"}}`, approval.VerdictDeny}, // other tools take ? so
		"environment: 'what?' ":        {`{"args":{"environment":"what"}}`, approval.VerdictRequire},
		"environment: '[pl]rod'":       {`{"args":{"environment":"prod"}}`, approval.VerdictDeny}, // and [abc]
		"environment: '[pl]rod' ":      {`{"args":{"environment":"[pl]rod"}}`, approval.VerdictDeny},
		"environment: prod":            {`{"args":{"environment":" PROD"}}`, approval.VerdictDeny},
		"environment: prod ":           {`{"labels":{"environment":"Prod "}}`, approval.VerdictDeny},
		"environment: prod  ":          {`{"args":{"environment":"prods"}}`, approval.VerdictRequire},
		"environment: ['x*', 'what?']": {`{"args":{"environment":"what?"}}`, approval.VerdictDeny},
	} {
		set := compile(t, file("p.yaml", "deny: [{capability: t, "+entry+"}]"))
		call := strings.Replace(c.call, "{", `{"tool":"t",`, 1)
		if got, _, _ := strings.Cut(verdict(t, set, call), " | "); got != string(c.kind) {
			t.Errorf("%s, %s: got %s, want %s", entry, c.call, got, c.kind)
		}
		asks := compile(t, file("p.yaml", "require_approval: [{capability: t, "+entry+"}]\nunmatched: allow"))
		want := map[approval.VerdictKind]string{approval.VerdictDeny: "require_approval", approval.VerdictRequire: "allow"}[c.kind]
		if got, _, _ := strings.Cut(verdict(t, asks, call), " | "); got != want {
			t.Errorf("require_approval by %s, %s: got %s, want %s", entry, c.call, got, want)
		}
		if err := policy.Check(file("p.yaml", "allow: [{capability: t, "+entry+"}]")).Err(); (err != nil) != strings.Contains(entry, "*") {
			t.Errorf("allow by %s: %v", entry, err)
		}
	}
}
