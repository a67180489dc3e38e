package cli

import (
	"io"
	"time"
)

// Env is everything the command line takes from the process it runs in. Every field is needed.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        func() []string       // all that Getenv knows, as NAME=VALUE
	IsTerminal     func(stream any) bool // of Stdin, Stdout or Stderr
	Now            func() time.Time
}

// App is what all commands share: each package of commands has methods on it that return a
// *cobra.Command.
type App struct {
	Env
	Output outputFormat
}
