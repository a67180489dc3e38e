// Package policy turns YAML files into an immutable Set that says, for one call, whether it may
// run, must wait for people, or is forbidden, and how people see it. docs/policy.md shows
// how to write them and docs/policy-reference.md has every word; this is what it rests on.
//
// # Who may run without asking
//
// Only auto_approve: true, audit: true, require_approval: false, an entry of allow: and
// unmatched: allow let a call run. A rule with none of these needs approval, whether or not it says
// require_approval: true. Two words that differ are an error.
//
// # What can't be told
//
// A condition that can't be evaluated makes its rule count for an approval, and evaluation goes on
// as if the rule did not match. So both readings count, the strictest wins, and nothing is allowed
// by it. PolicyRef.Why says what was wrong, in the policy's own words: never a value of the call.
//
// # Cost
//
// Exact names are looked up in a map: the number of rules makes no difference. Patterns and rules
// under conditions are tried in order. Arguments are decoded when the first rule asks for them.
// What conditions cost is estimated when they are compiled; those that could become expensive are
// counted while they run, those of one layer together, and cut off.
//
// # Loading
//
// All problems in all files are reported at once, as yamlfile.Problems with file, line and column,
// and nothing is loaded. A field that this version does not know, or a requirement that it does not
// execute (approval.Executed), is such a problem: ignoring it would let through what it was meant
// to stop.
package policy
