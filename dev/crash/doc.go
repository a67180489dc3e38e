// Package crash kills, stops, pauses and cuts off everything that Pawl runs, while agents and
// people make and decide calls, and then holds against each other what Temporal, the store, the
// audit log, the tools and the agent say of every call.
//
// A world is what a test kills: single and distributed in worlds.go; hardened ones have tokens,
// signed decisions and encryption. A storm is a schedule of faults over a world (schedule.go) with
// actors in it (storm.go, actor.go, agent.go). The checker is check.go, history.go and verifier.go.
package crash
