package call_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestTools(t *testing.T) {
	api := clitest.NewAPI(t)
	list := `{"items":[{"name":"send_email","description":"Send\nmail.","schema":{"type":"object"},"queue":"pawl","kind":"go","idempotent":false,"timeout":"30s"},{"name":"translate","queue":"tools-python","kind":"activity","idempotent":true,"timeout":"5s","served":false},{"name":"weather","queue":"pawl","kind":"http","idempotent":true,"timeout":"5s","served":true}],"total":3,"next_cursor":""}`
	api.On("GET /api/tools", clitest.Reply(200, list))
	want := `NAME        KIND      QUEUE         SERVED   IDEMPOTENT  TIMEOUT  DESCRIPTION
send_email  go        pawl          unknown  no          30s      Send⟦U+000A⟧mail.
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

// A tool that takes any argument, where the policy looks at some only, is warned of.
func TestToolsWarnOfOpenSchemas(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("GET /api/tools", clitest.Reply(200, `{"items":[
		{"name":"open","queue":"q","kind":"go","timeout":"5s","schema":{"type":"object"}},
		{"name":"any","queue":"q","kind":"go","timeout":"5s","schema":{"type":"object","additionalProperties":{}}},
		{"name":"closed","queue":"q","kind":"go","timeout":"5s","schema":{"type":"object","additionalProperties":false}},
		{"name":"denied","queue":"q","kind":"go","timeout":"5s","schema":{"type":"object"}},
		{"name":"free","queue":"q","kind":"go","timeout":"5s","schema":{"type":"object"}},
		{"name":"section","queue":"q","kind":"go","timeout":"5s","schema":{"type":"object"}}],"total":6,"next_cursor":""}`))
	rules := `rules:
  - {tool: [open, any, closed], when: args.amount < 100, auto_approve: true}
  - {tool: denied, when: args.amount < 100, deny: true}
  - {tool: free, auto_approve: true}
allow: [{capability: sect*, amount_lte: 5}]
`
	layers, _ := json.Marshal([]map[string]string{{"name": "p.yaml", "text": rules}})
	api.On("GET /api/policy", clitest.Reply(200, `{"version":1,"digest":"d","layers":`+string(layers)+`}`))
	r := clitest.CommandLine{API: api.URL}.Run(t, "tools")
	for name, warned := range map[string]bool{
		"open": true, "any": true, "closed": false, "denied": false, "free": false, "section": true,
	} {
		if strings.Contains(r.Err, "allows calls of "+name+" by") != warned {
			t.Errorf("%s: warned is %v in %s", name, !warned, r.Err)
		}
	}
	api.On("GET /api/policy", clitest.Reply(403, `{"code":"forbidden"}`))
	if r := (clitest.CommandLine{API: api.URL}).Run(t, "tools"); r.Code != cli.ExitDone || r.Err != "" {
		t.Errorf("without the right to read the policy: %d, %s", r.Code, r.Err)
	}
}
