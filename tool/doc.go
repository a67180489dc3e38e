// Package tool describes what a guarded call can run: a name, a JSON Schema for the arguments, and
// a function. New makes a tool from a typed Go function and derives its schema; Custom takes a
// schema and a function over raw JSON.
//
// # How a run ends
//
// A tool's error is either failed or unknown, and the difference matters more than any message,
// because people act on it:
//
//   - failed: the tool certainly did not run, or says itself that it did not
//     do what was asked. Asking again is safe.
//   - unknown: the tool may have run. Nobody may ask again before a person has
//     looked.
//
// An ordinary error returned by a tool means failed: the tool said so itself. It means unknown
// where it is a timeout or a cancellation, or comes after the run's time was over, because the tool
// may have got half-way. Unknown and Failed overrule both. A panic, a run that outlives its time
// and a result that can't be delivered are unknown too.
//
// Tools and registries are immutable and safe for concurrent use.
package tool
