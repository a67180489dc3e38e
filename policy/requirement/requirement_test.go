package requirement_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/requirement"
)

// everything asks for all that there is.
func everything() *approval.Requirement {
	hour := approval.Duration(time.Hour)
	return &approval.Requirement{
		Approvals: []approval.Approvals{{Group: "g", Count: 2}}, Stages: []approval.Stage{{Name: "s", Approvals: []approval.Approvals{{Count: 1}}}},
		Decisions: approval.DecisionsSigned, DenyCount: 2, SelfApproval: true, RequireReason: true, AllowEdit: true,
		Input: json.RawMessage(`{"type":"object"}`), Execution: approval.ExecutionReviewer, RemindEvery: hour,
		Escalate: []approval.Escalation{{After: hour, To: "boss"}}, Grant: &approval.Grant{Max: hour},
		Validators: []string{"v"}, Previews: []string{"p"},
	}
}

// The table has a row for each part of a requirement, under the name that its JSON has.
func TestEveryPartHasARow(t *testing.T) {
	r := everything()
	whole := reflect.ValueOf(r).Elem()
	var names []string
	for i := range whole.NumField() {
		name, _, _ := strings.Cut(whole.Type().Field(i).Tag.Get("json"), ",")
		names = append(names, name)
		if part := requirement.Part(r, name); part != whole.Field(i).Addr().Interface() {
			t.Errorf("the part %s is %v", name, part)
		}
		var one approval.Requirement
		reflect.ValueOf(&one).Elem().Field(i).Set(whole.Field(i))
		if one.AsksSeveral() {
			one.Decisions = approval.DecisionsAny // else that is a line, too
		}
		if len(requirement.Describe(&one)) != 1 {
			t.Errorf("%s is described as %q", name, requirement.Describe(&one))
		}
	}
	got := requirement.Names()
	slices.Sort(got)
	if slices.Sort(names); !slices.Equal(got, names) {
		t.Errorf("the table has %q, the requirement %q", got, names)
	}
	if requirement.Part(r, "coffee") != nil {
		t.Error("there is a part that no row has")
	}
}

// Whatever is added up or copied has nothing in common with what it came from.
func TestNothingIsShared(t *testing.T) {
	spoil := func(r *approval.Requirement) {
		r.Approvals[0].Count, r.Stages[0].Approvals[0].Count, r.Input[0] = 99, 99, 'x'
		r.Escalate[0].To, r.Grant.Max, r.Validators[0], r.Previews[0] = "x", 99, "x", "x"
	}
	a, b := everything(), everything()
	spoil(requirement.Clone(a))
	spoil(requirement.Sum(a, b))
	spoil(requirement.Sum(&approval.Requirement{Approvals: a.Approvals, Grant: &approval.Grant{}}, b))
	if !reflect.DeepEqual(a, everything()) || !reflect.DeepEqual(b, everything()) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

// A sum asks for at least as much as each of its parts, but for escalations: it keeps those of
// both.
func TestSumIsNeverLaxer(t *testing.T) {
	one, all := approval.OneApproval(), everything()
	for _, c := range [][2]*approval.Requirement{{one, all}, {all, one}, {all, all}, {one, one}} {
		sum := requirement.Sum(c[0], c[1])
		for _, part := range c {
			var shifts requirement.Shifts
			requirement.Compare(&shifts, part, sum)
			for _, s := range shifts {
				if s.Laxer && !strings.HasPrefix(s.Field, "escalate") {
					t.Errorf("the sum is laxer: %s", s)
				}
			}
		}
	}
	if got := requirement.Sum(one, one); !reflect.DeepEqual(got, one) {
		t.Errorf("one approval twice is %+v", got)
	}
}

var (
	section = regexp.MustCompile(`(?s)\n## Requirements\n(.*?)\n## `)
	tableOf = regexp.MustCompile("(?m)^\\| (`.*?) \\|.*\\| (.*) \\|$")
	inCode  = regexp.MustCompile("`([a-z_]+):")
)

// The documentation's table has every word, and says "yes" of those that this version executes.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	found := section.FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no section on requirements")
	}
	said := map[string]bool{}
	for _, row := range tableOf.FindAllSubmatch(found[1], -1) {
		for _, word := range inCode.FindAllSubmatch(row[1], -1) {
			said[string(word[1])] = strings.HasPrefix(string(row[2]), "yes")
		}
	}
	for _, name := range requirement.Names() {
		if executed, there := said[name]; !there || executed != approval.Executed(name) {
			t.Errorf("%s: in the table %v, said to be executed %v, executed %v", name, there, executed, approval.Executed(name))
		}
	}
}

// Levels of decisions are ordered by what they ask for, never by their spelling: one that is left out
// asks for nothing of one person, and for more than "any" of several.
func TestDecisionLevels(t *testing.T) {
	const open, unsaid, signed = approval.DecisionsAny, approval.Decisions(""), approval.DecisionsSigned
	need := func(people int, level approval.Decisions) *approval.Requirement {
		return &approval.Requirement{Approvals: []approval.Approvals{{Count: people}}, Decisions: level}
	}
	for _, c := range []struct {
		people   int
		old, new approval.Decisions
		sum      approval.Decisions
		laxer    bool
	}{
		{1, open, signed, signed, false}, {1, signed, open, signed, true}, {1, unsaid, signed, signed, false},
		{1, signed, unsaid, signed, true}, {1, unsaid, open, open, false}, {1, open, unsaid, open, false},
		{2, open, signed, signed, false}, {2, signed, open, signed, true}, {2, unsaid, signed, signed, false},
		{2, signed, unsaid, signed, true}, {2, unsaid, open, unsaid, true}, {2, open, unsaid, unsaid, false},
	} {
		old, new := need(c.people, c.old), need(c.people, c.new)
		if got := requirement.Sum(old, new).Decisions; got != c.sum {
			t.Errorf("%d people: %q and %q add up to %q, want %q", c.people, c.old, c.new, got, c.sum)
		}
		var shifts requirement.Shifts
		requirement.Compare(&shifts, old, new)
		laxer := slices.ContainsFunc(shifts, func(s requirement.Shift) bool { return s.Laxer })
		if laxer != c.laxer {
			t.Errorf("%d people: from %q to %q is laxer: %v (%v)", c.people, c.old, c.new, laxer, shifts)
		}
	}
}
