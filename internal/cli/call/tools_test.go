package call_test

import (
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestTools(t *testing.T) {
	api := clitest.NewAPI(t)
	list := `{"items":[{"name":"send_email","description":"Send\nmail.","schema":{"type":"object"},"queue":"pawl","kind":"go","idempotent":false,"timeout":"30s"},{"name":"translate","queue":"tools-python","kind":"activity","idempotent":true,"timeout":"5s","served":false},{"name":"weather","queue":"pawl","kind":"http","idempotent":true,"timeout":"5s","served":true}],"total":3,"next_cursor":""}`
	api.On("GET /api/tools", clitest.Reply(200, list))
	want := `NAME        KIND      QUEUE         SERVED   IDEMPOTENT  TIMEOUT  DESCRIPTION
send_email  go        pawl          unknown  no          30s      Send\u{000A}mail.
translate   activity  tools-python  NO       yes         5s       -
weather     http      pawl          yes      yes         5s       -
`
	if r := (clitest.CommandLine{API: api.URL}).Run(t, "tools"); r.Code != cli.ExitDone || r.Out != want {
		t.Errorf("code %d, stdout\n%s", r.Code, r.Out)
	}
	if r := (clitest.CommandLine{API: api.URL}).Run(t, "tools", "-o", "json"); r.Out != list+"\n" {
		t.Errorf("JSON %s", r.Out)
	}
}
