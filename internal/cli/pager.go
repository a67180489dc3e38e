package cli

import (
	"cmp"
	"os"
	"os/exec"
	"strings"
)

// Page prints text, on a terminal through the pager that $PAGER names, or through less. Without a
// pager it is printed as it is.
func (a *App) Page(text string) error {
	name := cmp.Or(a.Getenv("PAGER"), "less")
	if !a.IsTerminal(a.Stdout) || a.LookPath == nil || a.Getenv("TERM") == "dumb" {
		return a.Print(text)
	}
	words := strings.Fields(name)
	path, err := a.LookPath(words[0])
	if err != nil {
		return a.Print(text)
	}
	pager := exec.Command(path, words[1:]...)
	pager.Stdin, pager.Stdout, pager.Stderr = strings.NewReader(text), a.Stdout, a.Stderr
	if a.Getenv("LESS") == "" {
		// F: end at once if it fits the screen. R: colours. X: leave it on the screen.
		pager.Env = append(os.Environ(), "LESS=FRX")
	}
	if err := pager.Start(); err != nil {
		return a.Print(text)
	}
	// The pager's own exit code says nothing about the command.
	_ = pager.Wait()
	return nil
}
