package approval_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

// Every part of a requirement has a name that Unexecuted can tell: a part without one would be left
// out of account in silence.
func TestRequirementNamesItsParts(t *testing.T) {
	whole := reflect.ValueOf(everything)
	if got, all := len(everything.Uses()), whole.NumField(); got != all {
		t.Errorf("%d names for %d parts: %v", got, all, everything.Uses())
	}
	for i := range whole.NumField() {
		if whole.Field(i).IsZero() {
			t.Errorf("%s is left out of the test's requirement", whole.Type().Field(i).Name)
			continue
		}
		var one approval.Requirement
		reflect.ValueOf(&one).Elem().Field(i).Set(whole.Field(i))
		if len(one.Uses()) == 0 {
			t.Errorf("%s has no name", whole.Type().Field(i).Name)
		}
	}
}

func TestUnexecuted(t *testing.T) {
	for name, c := range map[string]struct {
		r    approval.Requirement
		want []string
	}{
		"people":          {approval.Requirement{Approvals: []approval.Approvals{{Count: 3}}}, nil},
		"as always":       {approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, DenyCount: 1, Execution: approval.ExecutionWorker}, nil},
		"a group":         {approval.Requirement{Approvals: []approval.Approvals{{Count: 1}, {Group: "g", Count: 1}}}, nil},
		"signed":          {approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, Decisions: approval.DecisionsSigned}, nil},
		"a stage's group": {approval.Requirement{Stages: []approval.Stage{{Name: "s", Approvals: []approval.Approvals{{Group: "g", Count: 1}}}}}, nil},
		"a reason":        {approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, RequireReason: true}, nil},
		"an edit":         {approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, AllowEdit: true}, []string{"allow_edit"}},
	} {
		if got := c.r.Unexecuted(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		v := approval.Verdict{Kind: approval.VerdictRequire, Requirement: &c.r, Timeout: approval.DefaultTimeout}
		if err := v.Validate(); (err != nil) != (c.want != nil) {
			t.Errorf("%s: validated with %v", name, err)
		}
	}
}

func TestRequirementValidate(t *testing.T) {
	for name, r := range map[string]approval.Requirement{
		"nobody":               {},
		"unknown decisions":    {Approvals: []approval.Approvals{{Count: 1}}, Decisions: "sealed"},
		"zero people":          {Approvals: []approval.Approvals{{Count: 0}}},
		"an empty stage":       {Stages: []approval.Stage{{Name: "s"}}},
		"a stage of no people": {Stages: []approval.Stage{{Name: "s", Approvals: []approval.Approvals{{Count: -1}}}}},
		"a stage without name": {Stages: []approval.Stage{{Approvals: []approval.Approvals{{Count: 1}}}}},
		"two stages of a name": {Stages: []approval.Stage{{Name: "s", Approvals: []approval.Approvals{{Count: 1}}}, {Name: "s", Approvals: []approval.Approvals{{Count: 1}}}}},
		"fewer than no denial": {Approvals: []approval.Approvals{{Count: 1}}, DenyCount: -1},
	} {
		if r.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
	if err := everything.Validate(); err != nil {
		t.Error(err)
	}
}

func TestVerdictValidate(t *testing.T) {
	fine := approval.Verdict{Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout}
	if err := fine.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*approval.Verdict){
		"unknown kind":   func(v *approval.Verdict) { v.Kind = "perhaps" },
		"no kind":        func(v *approval.Verdict) { v.Kind = "" },
		"no requirement": func(v *approval.Verdict) { v.Requirement = nil },
		"nobody asked":   func(v *approval.Verdict) { v.Requirement = &approval.Requirement{} },
		"zero people":    func(v *approval.Verdict) { v.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{}}} },
		"endless wait":   func(v *approval.Verdict) { v.Timeout = approval.MaxTimeout + 1 },
		"no wait":        func(v *approval.Verdict) { v.Timeout = 0 },
	} {
		v := fine
		spoil(&v)
		if v.Validate() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
