package audit_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

// Every field of a payload that says who did something, or to whom it happened, is a name of it: kinds
// that come later, too.
func TestNames(t *testing.T) {
	var settle approval.FinalDecision
	var call approval.View
	for _, p := range []any{
		&audit.Requested{}, &audit.Blocked{Call: &call}, &audit.Blocked{}, &audit.Decided{}, &audit.Refused{Refused: make([]audit.Refusal, 1)},
		&audit.Sent{}, &audit.Claimed{Decision: &settle}, &audit.Started{}, &audit.Reported{},
		&audit.Ended{Outcome: approval.Outcome{Decision: &settle}}, &audit.Settled{}, &audit.Erased{}, &audit.Restored{}, &audit.PolicyApplied{},
		&audit.TokenCreated{Token: rest.Token{}}, &audit.TokenRevoked{}, &audit.TokensPruned{}, &audit.KeyAdded{}, &audit.KeyRetired{},
		&audit.KeyRevoked{}, &audit.LogRenamed{}, &audit.SignInFailed{}, &audit.Forbidden{}, &audit.Tightened{}, &audit.NotStarted{}, &audit.Lost{},
	} {
		settle, call = approval.FinalDecision{}, approval.View{}
		want := fill(reflect.ValueOf(p).Elem(), 0)
		got := audit.Names(reflect.ValueOf(p).Elem().Interface().(audit.Payload))
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("%T names %q, and lacks %s", p, got, name)
			}
		}
	}
}

// people are the fields that hold names.
var people = []string{"By", "Reviewer", "Requester", "Owner", "CreatedBy", "RevokedBy", "RetiredBy", "RenamedBy"}

// fill gives every such field of a payload a name of its own, and returns them. What a call's view says of
// decisions has entries of its own.
func fill(v reflect.Value, depth int) (names []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && depth < 4 {
			names = fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		for i := range v.Len() {
			names = append(names, fill(v.Index(i), depth+1)...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f, is := v.Type().Field(i), v.Type()
			ends := is == reflect.TypeFor[rest.Token]() && f.Name == "RevokedBy" ||
				is == reflect.TypeFor[rest.SigningKey]() && f.Name != "CreatedBy"
			if f.Type.Kind() == reflect.String && slices.Contains(people, f.Name) && !ends {
				name := f.Name + " of " + is.Name()
				v.Field(i).SetString(name)
				names = append(names, name)
			} else if f.IsExported() {
				names = append(names, fill(v.Field(i), depth+1)...)
			}
		}
	}
	return names
}
