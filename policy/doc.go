// Package policy turns YAML files into an immutable Set that says, for one
// call, whether it may run, must wait for people, and how people see it.
//
// # A file
//
//	layer: org                    # the file's name without extension, if left out
//	default_timeout: 30m          # for rules without a timeout, and calls no rule matches
//	redact_fields: [password]     # for every call, whichever rule is picked
//	rules:
//	  - tool: send_email          # a tool's exact name, or "*" (in quotes) for every tool
//	    require_approval: true
//	    timeout: 24h              # how long people have; seconds, or "90s", "30m", "24h"
//	    risk_level: high          # low, medium, high or critical
//	    redact_fields: [body]     # hidden from reviewers and records
//	  - tool: read_docs
//	    auto_approve: true
//
// In one file an exact name beats "*", wherever it stands. A second rule for
// the same tool could never match, so it is an error. What no rule matches
// needs approval.
//
// # Who may run without asking
//
// Only auto_approve: true lets a call run. A rule without it needs approval,
// whether or not it says require_approval: true. Both true is an error, and so
// is require_approval: false without auto_approve: true: some would read it as
// "may run" and some as "not decided here", so it must say which.
// auto_approve: false is what a rule without it means anyway.
//
// # How long people have
//
// The rule's timeout, else its file's default_timeout, else
// approval.DefaultTimeout; never more than approval.MaxTimeout. A rule that
// allows may have a timeout too: a call can ask for approval by itself. A call
// can ask for more scrutiny and a shorter wait, never for less or longer.
//
// # What is hidden
//
// redact_fields are names, compared without case, that hide what stands under
// them at any depth; dotted paths are refused, since they would hide nothing.
// A rule's fields apply when that rule is picked. Those of a "*" rule do not
// apply when an exact rule is picked; what must always be hidden belongs at the
// top of the file.
//
// # Several files
//
// Each file is a layer, and their order does not matter. Every layer with a
// matching rule has a say:
//
//   - The strictest verdict wins, so no layer can undo what another demands.
//   - The shortest stated timeout wins among the layers that decided so: each
//     was some author's limit. approval.DefaultTimeout is nobody's, and counts
//     only where none is stated.
//   - The highest risk wins, and redactions add up: both only add caution.
//   - A layer in which nothing matches has no say if another one matches, so
//     that a team's file need not repeat the organisation's rules. A layer that
//     wants the last word on every tool has a "*" rule. Its redact_fields at
//     the top apply in any case.
//   - If no layer matches, the call needs approval.
//
// # Loading
//
// All problems in all files are reported at once, as yamlfile.Problems with
// file, line and column, and nothing is loaded. A field that this version does
// not know, or knows and can't act on yet, is such a problem: a condition that
// was left out of account would let through what it was meant to stop.
package policy
