// Package hook guards coding agents by their own hooks: the agent's program, the host, runs a command
// before and after each tool call and obeys its answer. The tool itself is run by the host, so this is
// caller execution: cooperation, not enforcement.
//
// Everything that goes wrong before a tool is a denial in the host's own words. What a hook has started
// is on the disk before its answer is given, since the process that hears how the tool ended is another
// one.
package hook
