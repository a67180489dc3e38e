// Package policytest tries policies on calls: suites of calls with the verdicts that are expected,
// golden files of all verdicts, and which rules no call reaches. docs/policy-tools.md shows the
// form of a suite.
//
// A Go test runs the suites beside a policy so:
//
//	func TestPolicy(t *testing.T) { policytest.Check(t, "policies") }
package policytest
