// Package ready holds the ready policies that commands put to use.
package ready

import _ "embed"

// CodingAgent is a layer for coding agents: coding-agent.yaml.
//
//go:embed coding-agent.yaml
var CodingAgent string
