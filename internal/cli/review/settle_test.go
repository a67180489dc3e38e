package review_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

const unknownID = "pawl-t7aa4nqaaaaaaaaaaaaaaaaaaa"

const unknownCall = `{"id":"` + unknownID + `","tool":"pay","status":"outcome_unknown","digest":"d1",` +
	`"error":{"code":"outcome_unknown","message":"the worker died"}}`

const settledCall = `{"id":"` + unknownID + `","tool":"pay","status":"outcome_unknown","digest":"d1",` +
	`"settled":{"ran":false,"by":"ana","at":"2026-03-01T11:00:00Z","notes":"no such transfer"}}`

func TestSettle(t *testing.T) {
	f := clitest.NewAPI(t, unknownCall)
	f.On("POST /api/requests/"+unknownID+"/settle", clitest.Reply(200, settledCall))
	c := clitest.CommandLine{API: f.URL}
	res := c.Run(t, "settle", "pawl-t7aa4nq", "--not-run", "--notes", "no such transfer", "--as", "ana")
	res.Want(t, cli.ExitDone, []string{"by the word of ana the tool did not run: no such transfer"}, nil)
	if sent := f.Requests("POST"); len(sent) != 1 || !strings.Contains(sent[0], `{"ran":false,"notes":"no such transfer"}`) {
		t.Errorf("sent %q", sent)
	}
	for _, args := range [][]string{
		{"--notes", "x"}, {"--ran", "--not-run", "--notes", "x"}, {"--ran"}, {"--ran", "--notes", " "},
		{"--ran", "--notes", "x", "--result", "{"}, {"--not-run", "--notes", "x", "--result", "1"},
	} {
		if res := c.Run(t, append([]string{"settle", "pawl-t7aa4nq", "--as", "ana"}, args...)...); res.Code != cli.ExitUsage {
			t.Errorf("%q: exit code %d, %s", args, res.Code, res.Err)
		}
	}
	if n := len(f.Requests("POST")); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestReviewSettles(t *testing.T) {
	f := clitest.NewAPI(t, unknownCall)
	f.On("POST /api/requests/"+unknownID+"/settle", clitest.Reply(200, settledCall))
	c := clitest.CommandLine{API: f.URL, Stdin: strings.NewReader("x\nn\n\nno such transfer\n")}
	c.Run(t, "review", "--as", "ana").Want(t, cli.ExitDone,
		[]string{"what became of it?", "the tool did not run"}, []string{"answer r, n, d, s or q", "write a reason", "1 settled"})
	if sent := f.Requests("POST"); len(sent) != 1 || !strings.Contains(sent[0], `"ran":false`) {
		t.Errorf("sent %q", sent)
	}
}

func TestShowSettled(t *testing.T) {
	f := clitest.NewAPI(t, settledCall)
	clitest.CommandLine{API: f.URL}.Run(t, "show", "pawl-t7aa4nq").Want(t, cli.ExitDone,
		[]string{"Settled", "the tool did not run, says ana: no such transfer"}, nil)
}
