// Package mcp is Pawl's gateway for the Model Context Protocol: a proxy for one server that forwards
// every JSON-RPC frame as it is, so that client and server negotiate their protocol between
// themselves, and holds each tools/call until Pawl lets it run.
//
// The gateway runs the tool in the sense of Pawl: it starts the call, forwards the request and reports
// how it ended. What it can't ask about, it refuses. Guarding holds for clients that reach the server
// through the gateway only.
package mcp
