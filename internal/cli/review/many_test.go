package review_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestDecideAboutWhatWasChosen(t *testing.T) {
	all := []string{"pawl-aaaaaaaaaab", "pawl-aaaaaaaaaac", "pawl-bbbbbbbbbbb"}
	for name, tt := range map[string]struct {
		args, stdin string
		code        int
		decided     []string
		out, err    string
	}{
		"confirmed":         {"approve --agent support-bot", "y\n", cli.ExitDone, all, "approve 3 calls? [y/N] ", ""},
		"with --yes":        {"reject --risk high --yes --notes over", "", cli.ExitDone, all, "rejected send_email (pawl-bbbbbbbbbbb)", ""},
		"some":              {"approve --tool send_email --limit 2", "YES\n", cli.ExitDone, []string{all[2], all[0]}, "approve 2 calls?", ""},
		"not confirmed":     {"approve --agent support-bot", "\n", cli.ExitError, nil, "approve 3 calls?", "nothing was decided"},
		"nobody to ask":     {"approve --session s", "", cli.ExitUsage, nil, "pawl-aaaaaaaaaab", "add --yes"},
		"IDs and a filter":  {"approve --agent a pawl-aaaaaaaaaab", "y\n", cli.ExitUsage, nil, "", "not both"},
		"nothing chosen":    {"approve --yes", "y\n", cli.ExitUsage, nil, "", "which calls?"},
		"on standard input": {"reject -", "pawl-aaaaaaaaaab\n pawl-bbbbbbbbbbb\n", cli.ExitDone, []string{all[0], all[2]}, "rejected send_email (pawl-bbbbbbbbbbb)", ""},
		"too many":          {"reject -", strings.Repeat(" ", 1<<20) + all[0], cli.ExitError, nil, "", "send fewer IDs at once"},
		"one is not there":  {"approve pawl-aaaaaaaaaab pawl-zzzzzzzzzzz", "", cli.ExitError, all[:1], "approved send_email (pawl-aaaaaaaaaab)", "pawl-zzzzzzzzzzz"},
		"an unknown risk":   {"approve --risk grave", "y\n", cli.ExitUsage, nil, "", "--risk"},
	} {
		t.Run(name, func(t *testing.T) {
			api := reviewQueue(t)
			api.On("POST /api/requests/"+all[2]+"/reject", clitest.Reply(200, resolved))
			r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader(tt.stdin), Env: map[string]string{"PAWL_AS": "ana"}}.Run(t, strings.Fields(tt.args)...)
			r.Want(t, tt.code, []string{tt.out}, []string{tt.err})
			sent := api.Requests("POST")
			if len(sent) != len(tt.decided) {
				t.Fatalf("sent %q", sent)
			}
			for _, id := range tt.decided {
				if !strings.Contains(strings.Join(sent, "\n"), id+"/"+strings.Fields(tt.args)[0]+" {") || !strings.Contains(strings.Join(sent, "\n"), `"digest":"`+mailSum) {
					t.Errorf("nothing about %s: %q", id, sent)
				}
			}
		})
	}
}
