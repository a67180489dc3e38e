//go:build !windows

package mcp

import "syscall"

// terminate asks a process to end.
const terminate = syscall.SIGTERM
