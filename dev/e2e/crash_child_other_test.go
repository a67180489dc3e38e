//go:build unix && !linux

package e2e_test

import "syscall"

func crashChild() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
