//go:build !linux

package pgtest

import "syscall"

func giveAway(...string) error { return nil }

func attributes() *syscall.SysProcAttr { return nil }
