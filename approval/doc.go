// Package approval holds the words that all other packages share: the call an agent asks for, what
// is required before it may run, the decisions people make, how they add up, and how the call ends.
// It also names what crosses the wire (workflow type, signals, query, JSON shapes).
//
// The package is pure: no I/O, no clock, no Temporal. Workflow code may call anything in it. Values
// are not safe for concurrent mutation; functions are safe for concurrent use.
package approval
