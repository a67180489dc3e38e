package approval_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

func TestCallValidate(t *testing.T) {
	for name, tc := range map[string]struct{ doc, want string }{
		"smallest":          {`{"tool":"t"}`, ""},
		"null args":         {`{"tool":"t","args":null}`, ""},
		"names of servers":  {`{"tool":"mcp__srv.tool/v1:x-y"}`, ""},
		"multi-line reason": {`{"tool":"t","reason":"a\nb"}`, ""},
		"no tool":           {`{"args":{}}`, "tool is missing"},
		"blank in name":     {`{"tool":"a b"}`, "not a tool name"},
		"escape in name":    {`{"tool":"a\u001b[2J"}`, "not a tool name"},
		"list as args":      {`{"tool":"t","args":[]}`, "args: must be a JSON object"},
		"escape in agent":   {`{"tool":"t","agent":"a\u001bb"}`, "agent holds the control character"},
		"long reason":       {`{"tool":"t","reason":"` + strings.Repeat("x", 5000) + `"}`, "reason is 5000 bytes"},
		"long timeout":      {`{"tool":"t","timeout":"721h"}`, "timeout"},
		"nameless label":    {`{"tool":"t","labels":{"":"x"}}`, "no name"},
		"execution":         {`{"tool":"t","execution":"reviewer"}`, "not offered"},
		"caller":            {`{"tool":"t","execution":"caller","report_within":"24h"}`, ""},
		"late report":       {`{"tool":"t","execution":"caller","report_within":"25h"}`, "report_within"},
		"attempt":           {`{"tool":"t","attempt_of":"order 7/a"}`, ""},
		"long attempt":      {`{"tool":"t","attempt_of":"` + strings.Repeat("x", 1001) + `"}`, "attempt_of is not a call's ID"},
		"attempt in colour": {`{"tool":"t","attempt_of":"a\u001bb"}`, "attempt_of is not a call's ID"},
		"large args":        {`{"tool":"t","args":{"a":"` + strings.Repeat("x", approval.MaxArgs) + `"}}`, "at most 262144"},
		"large when sent":   {`{"tool":"t","args":{"a":"` + strings.Repeat("<", approval.MaxArgs/6) + `"}}`, "args: 262148 bytes of JSON with"},
		"huge document":     {`{"tool":"t","args":{"a":"` + strings.Repeat("x", 2*approval.MaxArgs) + `"}}`, "bytes of JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := approval.ParseCall([]byte(tc.doc))
			if tc.want == "" {
				if err != nil || string(c.Args) != "{}" {
					t.Fatalf("err %v, args %s", err, c.Args)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// Keys that differ in case only are refused of new calls; workflows that have them go on.
func TestKeysInTwoCases(t *testing.T) {
	for doc, want := range map[string]string{
		`{"tool":"t","args":{"amount":1,"AMOUNT":2}}`:       "args: at the top",
		`{"tool":"t","args":{"x":[{"a":1,"A":2}]}}`:         "args: at /x/0",
		`{"tool":"t","labels":{"env":"a","Env":"b"}}`:       "labels: at the top",
		`{"tool":"t","args":{"a":1},"labels":{"A":"b"}}`:    "",
		`{"tool":"t","args":{"x":{"a":1},"y":{"A":1}}}`:     "",
		`{"tool":"t","labels":{"env":"a","Environ":"b"}}`:   "",
		`{"tool":"t","args":{"ma\u00df":1,"MASS":"other"}}`: "",
	} {
		c, err := approval.ParseCall([]byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		err = c.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || approval.CodeOf(err) != approval.CodeInvalid) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
}

// What is taken once is taken again after it crossed the wire, at every limit.
func TestLargestCall(t *testing.T) {
	wide := func(n int) string { return strings.Repeat("<", n) }
	c := approval.Call{
		Tool: "t", Args: json.RawMessage(`{"a":"` + wide((approval.MaxArgs-8)/6) + `"}`),
		Agent: wide(200), Team: wide(200), Session: wide(200), Requester: wide(200), Title: wide(200), Reason: wide(4096),
		Description: wide(4096), IdempotencyKey: wide(256), Nonce: wide(128), Labels: map[string]string{},
	}
	for i := range 32 {
		c.Labels[wide(198)+fmt.Sprintf("%02d", i)] = wide(200)
	}
	doc, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := approval.ParseCall(doc); err != nil {
		t.Fatalf("a call of %d bytes: %v", len(doc), err)
	}
}

// The digest is shown to reviewers, stored and, later, signed: it must never change for a call that
// exists.
func TestDigestGolden(t *testing.T) {
	c := approval.Call{
		Tool: "send_email", Args: json.RawMessage(`{"to":"a@example.com","n":1.0,"b":[true,null]}`),
		Agent: "support", Reason: "customer asked", Labels: map[string]string{"env": "prod"},
		Requester: "local", Timeout: approval.Duration(90 * time.Second), Nonce: "n0",
	}
	got, err := c.Digest("pawl-1")
	if err != nil {
		t.Fatal(err)
	}
	if want := "29623aa4c98851bda55c2ae015939df9c52b8f4c9b254122733d349ca3a8b234"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}

	same := c
	same.Args = json.RawMessage(` { "b" : [ true , null ] , "n" : 1, "to":"\u0061@example.com" } `)
	if d, _ := same.Digest("pawl-1"); d != got {
		t.Error("two spellings of one call have two digests")
	}
	for name, change := range map[string]func(*approval.Call){
		"args":    func(c *approval.Call) { c.Args = json.RawMessage(`{"to":"b@example.com","n":1.0,"b":[true,null]}`) },
		"tool":    func(c *approval.Call) { c.Tool = "send_mail" },
		"nonce":   func(c *approval.Call) { c.Nonce = "n1" },
		"reason":  func(c *approval.Call) { c.Reason = "" },
		"attempt": func(c *approval.Call) { c.AttemptOf = "pawl-0" },
		"label":   func(c *approval.Call) { c.Labels = map[string]string{"env": "dev"} },
	} {
		other := c
		change(&other)
		if d, _ := other.Digest("pawl-1"); d == got {
			t.Errorf("%s changed, the digest did not", name)
		}
	}
	if d, _ := c.Digest("pawl-2"); d == got {
		t.Error("two calls with other IDs share a digest")
	}

	f1, _ := c.Fingerprint()
	c.Nonce = "other"
	if f2, _ := c.Fingerprint(); f1 != f2 {
		t.Error("the fingerprint depends on the nonce")
	}
}

func TestKeyedID(t *testing.T) {
	a := approval.KeyedID("local", "order-7")
	if a != approval.KeyedID("local", "order-7") || len(a) != len("pawl-")+26 {
		t.Errorf("unsteady or odd ID %q", a)
	}
	for _, b := range []string{approval.KeyedID("local", "order-8"), approval.KeyedID("other", "order-7"),
		approval.KeyedID("localo", "rder-7"), approval.KeyedID("", "localorder-7")} {
		if a == b {
			t.Errorf("another requester or key has the same ID %q", b)
		}
	}
	if strings.Contains(a, "order") {
		t.Error("the key shows in the ID")
	}
	id, nonce := approval.NewID(), approval.NewNonce()
	if id == approval.NewID() || nonce == approval.NewNonce() {
		t.Error("random IDs repeat")
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"90": 90 * time.Second, "90s": 90 * time.Second, "24h": 24 * time.Hour, "0.5": 500 * time.Millisecond, "0": 0,
	} {
		if d, err := approval.ParseDuration(in); err != nil || d.Std() != want {
			t.Errorf("%q: %v, %v", in, d, err)
		}
	}
	for _, in := range []string{"", "-1", "-1s", "Inf", "NaN", "1e300", "soon", "1d", "99999999999h"} {
		if d, err := approval.ParseDuration(in); err == nil {
			t.Errorf("%q was taken as %v", in, d)
		}
	}
	for _, doc := range []string{`"1m30s"`, `90`} {
		var d approval.Duration
		if err := json.Unmarshal([]byte(doc), &d); err != nil || d.Std() != 90*time.Second {
			t.Errorf("%s: %v, %v", doc, d, err)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	err := fmt.Errorf("outer: %w", approval.Errorf(approval.CodeExpired, "late"))
	if approval.CodeOf(err) != approval.CodeExpired {
		t.Error("code lost in wrapping")
	}
	if approval.CodeOf(fmt.Errorf("plain")) != approval.CodeInternalError {
		t.Error("a plain error has a public code")
	}
	if _, err := approval.ParseStatus("done"); err == nil {
		t.Error("unknown status taken")
	}
	if _, err := approval.ParseRisk("severe"); err == nil {
		t.Error("unknown risk taken")
	}
	for _, s := range approval.Statuses {
		if _, err := approval.ParseStatus(string(s)); err != nil {
			t.Error(err)
		}
		if s.Denied() && s.NeedsPermit() || (s.Denied() || s.NeedsPermit()) != s.Ended() {
			t.Errorf("%s: ended %v, denied %v, needs claim %v", s, s.Ended(), s.Denied(), s.NeedsPermit())
		}
	}
}

func FuzzParseCall(f *testing.F) {
	for _, s := range []string{`{"tool":"x"}`, `{"tool":"x","args":{"a":[1,{"b":null}]},"labels":{"k":"v"},"timeout":"90s"}`,
		`{"tool":"x","args":"\ud800"}`, `{"tool":"x","args":{"a":1e308}}`, "{", "\x00", `{"tool":"x","timeout":1e30}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := approval.ParseCall(doc)
		if err != nil {
			if approval.CodeOf(err) != approval.CodeInvalid {
				t.Fatalf("code %q for %v", approval.CodeOf(err), err)
			}
			return
		}
		digest, err := c.Digest("id")
		if err != nil {
			t.Fatalf("a parsed call has no digest: %v", err)
		}
		wire, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := approval.ParseCall(wire)
		if err != nil {
			t.Fatalf("what was parsed is refused when it comes back: %v\n%s", err, wire)
		}
		if d, _ := again.Digest("id"); d != digest {
			t.Fatalf("the digest changed on the wire\n%s\n%s", doc, wire)
		}
	})
}
