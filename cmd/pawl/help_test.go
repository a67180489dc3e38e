package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// The help of every command fits a terminal of 80 columns, and leaves nothing out for that.
func TestHelpFits(t *testing.T) {
	seen := 0
	everyCommand(testRoot(), func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		r := clitest.CommandLine{}.Run(t, append(path, "--help")...)
		if r.Code != cli.ExitDone || r.Err != "" {
			t.Errorf("%s --help: %d %s", cmd.CommandPath(), r.Code, r.Err)
		}
		for line := range strings.Lines(r.Out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%s --help: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		words := strings.Join(strings.Fields(r.Out), " ")
		for usage := range strings.Lines(cmd.LocalFlags().FlagUsages() + cmd.InheritedFlags().FlagUsages()) {
			seen++
			if usage = strings.Join(strings.Fields(usage), " "); !strings.Contains(words, usage) {
				t.Errorf("%s --help leaves out: %s", cmd.CommandPath(), usage)
			}
		}
	})
	if seen < 200 {
		t.Errorf("only %d flags seen", seen)
	}
}

func TestProgram(t *testing.T) {
	for word, want := range map[string]string{
		"bin/pawl": "bin/pawl", "./pawl": "./pawl", "/opt/pawl-1.2/pawl": "/opt/pawl-1.2/pawl", "../wörk/pawl": "../wörk/pawl",
		"pawl": "pawl", "pawl2": "pawl", "": "pawl", "/my files/pawl": "pawl", "./it's/pawl": "pawl", "./$x/pawl": "pawl", "./a\n/pawl": "pawl",
	} {
		if got := cli.Program(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// Hints name the program as it was called: in errors, in notes and in what is printed.
func TestHintsNameTheProgram(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	api.On("POST /api/calls", clitest.Reply(202, `{"id":"`+clitest.MailID+`","tool":"mail","status":"pending"}`))
	api.On("POST /api/requests/"+clitest.MailID+"/approve", clitest.Reply(202,
		`{"outcome":"not_judged_yet","waiting":{"for":"x","problems":[{"code":"no_worker","message":"Start a worker."}]}}`))
	for program, named := range map[string]string{"": "pawl", "bin/pawl": "bin/pawl", "/opt/pawl": "/opt/pawl"} {
		for line, hint := range map[string]string{
			"show":                                  "'NAME pending' lists those that wait\nSee 'NAME show --help'.",
			"call mail":                             "'NAME show " + clitest.MailID + "', get its result with 'NAME continue " + clitest.MailID + "'",
			"approve " + clitest.MailID + " --as a": "Ask again with 'NAME show " + clitest.MailID + "'",
			"policy apply p --expect -1":            "'NAME policy history' lists them\nSee 'NAME policy apply --help'.",
		} {
			r := clitest.CommandLine{API: api.URL, Program: program}.Run(t, strings.Fields(line)...)
			text := strings.ReplaceAll(r.Out+r.Err, "\n  ", " ")
			if !strings.Contains(text, strings.ReplaceAll(hint, "NAME", named)) || named != "pawl" && strings.Contains(text, "'pawl ") {
				t.Errorf("%s of %q: %s", line, program, text)
			}
		}
	}
}
