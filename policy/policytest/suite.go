package policytest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/strictjson"
)

// Noon is the time that conditions see as now where neither the suite nor the call says another: a
// Monday, in UTC. It is fixed, so that a suite says the same every day.
var Noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// Suite is a file of calls to try on a policy. Load or Parse makes one.
type Suite struct {
	Name   string   // as problems call the file
	Policy []string // paths of the policy's files
	Tests  []Test   // in the order of the file
}

// Case is a call to try on a policy.
type Case struct {
	Name  string        // what people know it by
	Place string        // where it comes from: file:line, or whatever finds it again
	Call  approval.Call // valid
	At    time.Time     // what conditions see as now
}

// Test is a case and what is expected of its verdict.
type Test struct {
	Case
	Expect *Expect // nil: nothing, the verdict only goes into the golden file

	line int
}

// Expect is what a verdict must say. Fields that are not given are not compared.
type Expect struct {
	Verdict approval.VerdictKind
	Layer   string
	Rule    string         // the whole of PolicyRef.Rule, or its place, or what follows the place
	Risk    *approval.Risk // "": none
	Timeout approval.Duration
	// Requirement is an object of approval.Requirement's fields; those it does not hold are not
	// compared.
	Requirement json.RawMessage
	Redact      []string // all of them, in any order and case; nil: not given
}

// Load reads the suite at path. The error is yamlfile.Problems and holds everything that is wrong
// with the file.
func Load(path string) (*Suite, error) {
	var problems yamlfile.Problems
	data, ok := yamlfile.ReadFile(path, &problems)
	if !ok {
		return nil, problems.Err()
	}
	return Parse(path, data)
}

// LoadAll is Load for several suites; the error holds everything that is wrong with any of them.
func LoadAll(paths ...string) ([]*Suite, error) {
	var problems yamlfile.Problems
	suites := make([]*Suite, len(paths))
	for i, path := range paths {
		s, err := Load(path)
		collect(&problems, err)
		suites[i] = s
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return suites, nil
}

// Parse is Load for a file that was read already. The paths of its policy are relative to name's
// folder.
func Parse(name string, data []byte) (*Suite, error) {
	var problems yamlfile.Problems
	r := suiteReader{name: name, at: Noon, names: map[string]string{}}
	s := r.suite(yamlfile.Parse(name, data, &problems).Mapping())
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

type suiteReader struct {
	name  string
	at    time.Time         // for calls that say no other
	names map[string]string // of tests read before, to their places
}

func (r *suiteReader) suite(m *yamlfile.Mapping) *Suite {
	s := &Suite{Name: r.name}
	if isPolicy(m) {
		m.Problem("this is a policy, not a suite",
			"name a suite of calls, a file with policy: and tests:; 'pawl policy check' takes policies")
		return s
	}
	files := m.Need("policy",
		`name the policy's files, from this file's folder: "policy: [org.yaml, team.yaml]"`)
	paths, ok := []yamlfile.Value{files}, false
	if !files.IsText() {
		paths, ok = files.List()
	}
	if ok && len(paths) == 0 {
		files.Problem("policy names no file", "name the files whose verdicts are tried")
	}
	for _, v := range paths {
		if path, ok := v.Text(); ok {
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(r.name), path)
			}
			s.Policy = append(s.Policy, path)
		}
	}
	if at, ok := readTime(m.Field("at")); ok {
		r.at = at
	}
	tests, calls := m.Field("tests"), m.Field("calls")
	if m.Present() && !tests.Present() && !calls.Present() {
		m.Problem("tests is missing", `write "tests:", and under it a list of calls with what is expected`)
	}
	entries, _ := tests.List()
	for _, v := range entries {
		s.Tests = append(s.Tests, r.test(v.Mapping(), true))
	}
	entries, _ = calls.List()
	for _, v := range entries {
		s.Tests = append(s.Tests, r.test(v.Mapping(), false))
	}
	if len(s.Tests) == 0 && (tests.IsList() || calls.IsList()) {
		m.Problem("the suite tries no call", "write at least one test")
	}
	m.Done()
	slices.SortStableFunc(s.Tests, func(a, b Test) int { return cmp.Compare(a.line, b.line) })
	return s
}

// isPolicy reports whether a file has rules, and nothing that a suite needs.
func isPolicy(m *yamlfile.Mapping) bool {
	says := []string{"rules", "deny", "require_approval", "allow", "classify", "unmatched"}
	return slices.ContainsFunc(says, m.Has) &&
		!slices.ContainsFunc([]string{"policy", "tests", "calls"}, m.Has)
}

func (r *suiteReader) test(m *yamlfile.Mapping, expects bool) Test {
	t := Test{line: m.Line(), Case: Case{At: r.at}}
	t.Place = fmt.Sprintf("%s:%d", approval.Display(r.name, 300), m.Line())
	named := m.Need("name", "say in a few words what the test shows")
	t.Name, _ = named.Text()
	if first, taken := r.names[t.Name]; taken && t.Name != "" {
		named.Problem("another test has this name", "give each its own; the first is at "+first)
	} else {
		r.names[t.Name] = named.Where()
	}
	call := m.Need("call", `write the call: "call: {tool: send_email, args: {to: ana@example.com}}"`)
	t.Call = readCall(call)
	if at, ok := readTime(m.Field("at")); ok {
		t.At = at
	}
	if expects {
		e := readExpect(m.Need("expect",
			`write what the policy must say: "expect: {verdict: deny}"; `+
				`calls without it belong under "calls:"`))
		t.Expect = &e
	}
	m.Done()
	return t
}

func readTime(v yamlfile.Value) (time.Time, bool) {
	text, ok := v.Text()
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		v.Problem("at is not a time", `write it like "2026-01-05T12:00:00Z"`)
	}
	return at, err == nil
}

// readCall takes the fields of a call that a policy can see. Those it can't (nonce,
// idempotency_key) do not belong into a test.
func readCall(v yamlfile.Value) approval.Call {
	m := v.Mapping()
	var c approval.Call
	c.Tool, _ = m.Need("tool", "name the tool that is called").Text()
	if args := m.Field("args"); args.Mapping().Present() {
		c.Args, _ = args.JSON()
	}
	c.Agent, _ = m.Field("agent").Text()
	c.Team, _ = m.Field("team").Text()
	c.Session, _ = m.Field("session").Text()
	c.Requester, _ = m.Field("requester").Text()
	c.Reason, _ = m.Field("reason").Lines()
	c.Title, _ = m.Field("title").Lines()
	c.Description, _ = m.Field("description").Lines()
	if labels := m.Field("labels").Mapping(); labels.Present() {
		c.Labels = map[string]string{}
		for _, e := range labels.Entries() {
			c.Labels[e.Name], _ = e.Value.Text()
		}
	}
	c.RequireApproval, _ = m.Field("require_approval").Bool()
	c.Timeout, _ = m.Field("timeout").Duration(approval.MaxTimeout)
	execution, _ := m.Field("execution").Text()
	c.Execution = approval.Execution(execution)
	m.Done()
	c.Normalize()
	if err := c.Validate(); m.Present() && c.Tool != "" && err != nil {
		v.Problem(err.Error(), "only calls that could be started can be tried")
	}
	return c
}

func readExpect(v yamlfile.Value) Expect {
	m := v.Mapping()
	var e Expect
	const kinds = "write allow, require_approval or deny"
	kind := m.Need("verdict", kinds)
	if text, ok := kind.Text(); ok {
		if e.Verdict = approval.VerdictKind(text); !slices.Contains(approval.VerdictKinds, e.Verdict) {
			kind.Problem(fmt.Sprintf("%q is not a verdict", approval.Display(text, 40)), kinds)
		}
	}
	e.Layer, _ = m.Field("layer").Text()
	e.Rule, _ = m.Field("rule").Text()
	e.Risk = readRisk(m.Field("risk"))
	e.Timeout, _ = m.Field("timeout").Duration(approval.MaxTimeout)
	e.Requirement = readRequirement(m.Field("requirement"))
	if redact := m.Field("redact"); redact.Present() {
		e.Redact = []string{}
		names, _ := redact.List()
		for _, n := range names {
			if name, ok := n.Text(); ok {
				e.Redact = append(e.Redact, name)
			}
		}
	}
	if e.Verdict != approval.VerdictRequire {
		for _, name := range []string{"timeout", "requirement"} {
			if m.Has(name) {
				m.Field(name).Problem(name+" is expected, but nobody is asked",
					`remove it, or expect "verdict: require_approval"`)
			}
		}
	}
	m.Done()
	return e
}

const none = "none"

func readRisk(v yamlfile.Value) *approval.Risk {
	text, ok := v.Text()
	if !ok {
		return nil
	}
	if text == none {
		return new(approval.Risk)
	}
	risk, err := approval.ParseRisk(text)
	if err != nil {
		v.Problem("risk is not a level", "use low, medium, high, critical, or none")
	}
	return &risk
}

// readRequirement checks the fields against approval.Requirement, so that a mistyped one is not
// taken for one that nobody expects.
func readRequirement(v yamlfile.Value) json.RawMessage {
	if !v.Mapping().Present() {
		return nil
	}
	doc, ok := v.JSON()
	if !ok {
		return nil
	}
	doc = spelledOut(doc)
	var known approval.Requirement
	if err := strictjson.Decode(doc, &known); err != nil {
		v.Problem("requirement: "+strings.TrimSuffix(err.Error(), "."),
			"use the fields that 'pawl policy explain -o json' shows")
	}
	return doc
}

// spelledOut writes a number of approvals, as rules have it, as the verdict does.
func spelledOut(requirement json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	var count int
	if json.Unmarshal(requirement, &fields) != nil || json.Unmarshal(fields["approvals"], &count) != nil ||
		count < 1 {
		return requirement
	}
	fields["approvals"] = json.RawMessage(fmt.Sprintf(`[{"count":%d}]`, count))
	doc, err := json.Marshal(fields)
	if err != nil {
		return requirement
	}
	return doc
}
