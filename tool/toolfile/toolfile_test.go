package toolfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/tool/httptool"
	"github.com/pawlhq/pawl/tool/toolfile"
)

// env holds one good variable and some that can't be used.
func env(name string) (string, bool) {
	value, ok := map[string]string{
		"TOKEN": "tok-${OTHER}-$1", "EMPTY": "", "LINES": "hush\nX-Evil: 1", "NEWLINE": "hush\n",
		"LONG": strings.Repeat("x", 8<<10),
	}[name]
	return value, ok
}

func TestParse(t *testing.T) {
	const text = `
tools:
  - name: charge_card
    description: |
      Charge a customer's card.
      Twice is twice.
    schema:
      type: object
      required: [amount]
      properties:
        amount: {type: number, multipleOf: 0.01, maximum: 1e6}
        day: {const: 2024-01-01}
      additionalProperties: false
    http:
      url: https://pay.internal:8443/charge?v=2
      timeout: 10s
      headers:
        authorization: Bearer ${TOKEN}
        X-Price: 5$ {net}
    idempotent: true
  - {name: ping, http: {url: "http://[::1]:9000"}}
  - name: translate
    activity: {task_queue: tools-python, timeout: 20s, heartbeat_timeout: 5}
  - {name: slow, activity: {task_queue: q}}
`
	got, err := toolfile.Parse("dir/tools.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	want := []toolfile.Spec{
		{
			Name:        "charge_card",
			Description: "Charge a customer's card.\nTwice is twice.\n",
			Schema:      []byte(`{"type":"object","required":["amount"],"properties":{"amount":{"type":"number","multipleOf":0.01,"maximum":1e6},"day":{"const":"2024-01-01"}},"additionalProperties":false}`),
			Idempotent:  true,
			HTTP: &httptool.Options{
				URL: "https://pay.internal:8443/charge?v=2", Timeout: 10 * time.Second,
				Headers: map[string]string{"Authorization": "Bearer tok-${OTHER}-$1", "X-Price": "5$ {net}"},
			},
			Where: "dir/tools.yaml:3:5",
		},
		{
			Name: "ping", Schema: []byte(`{"type":"object"}`), Where: "dir/tools.yaml:21:5",
			HTTP: &httptool.Options{URL: "http://[::1]:9000", Timeout: 30 * time.Second},
		},
		{
			Name: "translate", Schema: []byte(`{"type":"object"}`), Where: "dir/tools.yaml:22:5",
			Activity: &toolfile.Activity{TaskQueue: "tools-python", Timeout: 20 * time.Second, Heartbeat: 5 * time.Second},
		},
		{
			Name: "slow", Schema: []byte(`{"type":"object"}`), Where: "dir/tools.yaml:24:5",
			Activity: &toolfile.Activity{TaskQueue: "q", Timeout: 30 * time.Second},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	// tool puts fields beside a name; web puts them beside a URL.
	tool := func(fields string) string { return "tools:\n- {name: a, " + fields + "}" }
	web := func(fields string) string { return tool(`http: {url: "http://h/", ` + fields + `}`) }
	header := func(h string) string { return web("headers: {" + h + "}") }
	url := func(u string) string { return tool(fmt.Sprintf("http: {url: %q}", u)) }

	for name, c := range map[string]struct{ text, want string }{
		"empty":     {"", "t:1:1: the file is empty"},
		"no tools":  {"tool: []", "t:1:1: tools is missing"},
		"not tools": {"tools: {a: 1}", "t:1:8: tools is a mapping, must be a list"},
		"no name":   {"tools: [{http: {url: http://h/}}]", "t:1:9: name is missing; name the tool"},
		"bad name":  {"tools: [{name: a b, http: {url: http://h/}}]", "t:1:16: name is not a tool name"},
		"twice":     {"tools:\n- {name: a, http: {url: http://h/}}\n- {name: b, http: {url: http://h/}}\n- {name: a, http: {url: http://h/}}", `t:4:10: the tool "a" exists already; give one of them another name; the first is at t:2:10`},
		"no way":    {"tools: [{name: a}]", `t:1:9: the tool does not say how it is run; write "http:" and "url:" under it`},
		"two ways":  {tool("activity: {task_queue: q}, http: {url: http://h/}"), `t:2:23: the tool is run in two ways; keep "http:" or "activity:"`},
		"mistyped":  {tool("http: {url: http://h/}, idempotant: true"), `unknown field "idempotant"; did you mean "idempotent"?`},
		"not a yes": {tool("http: {url: http://h/}, idempotent: yes"), "idempotent is text, must be true or false"},
		"too long":  {tool("http: {url: http://h/}, description: " + strings.Repeat("x", 4097)), "the description is too long; use at most 4096 bytes"},

		"a status twice":        {web("failed_statuses: [429, 503], unknown_statuses: [404, 429]"), "t:2:91: the status 429 is sorted already; keep one; the first is at t:2:56"},
		"no answer's status":    {web("unknown_statuses: [199]"), "write a whole number from 200 to 599"},
		"statuses as a text":    {web("failed_statuses: 4xx"), "failed_statuses is text, must be a list"},
		"statuses elsewhere":    {tool("activity: {task_queue: q, failed_statuses: [429]}"), `unknown field "failed_statuses"`},
		"success, misspelt":     {tool("success: reslt.ok, http: {url: http://h/}"), `t:2:22: the condition knows no "reslt"; did you mean "result"?`},
		"error without success": {tool("error: result.x, activity: {task_queue: q}"), "there is no success"},

		"no queue":              {tool("activity: {}"), "t:2:23: task_queue is missing; name the task queue that the tool's workers poll"},
		"an empty queue":        {tool(`activity: {task_queue: ""}`), "task_queue"},
		"Pawl's own queue":      {tool("activity: {task_queue: pawl}"), "this task queue is Pawl's own; name the one"},
		"a queue of two lines":  {tool(`activity: {task_queue: "a\nb"}`), "task_queue"},
		"no run of an activity": {tool("activity: {task_queue: q, timeout: 0}"), "timeout is out of bounds"},
		"no heartbeat":          {tool("activity: {task_queue: q, heartbeat_timeout: 0}"), "heartbeat_timeout is out of bounds"},
		"a mistyped activity":   {tool("activity: {task_queu: q}"), `did you mean "task_queue"?`},

		"schema is a list":     {tool("http: {url: http://h/}, schema: [1]"), "schema is a list, must be a mapping"},
		"schema without type":  {tool("http: {url: http://h/}, schema: {}"), "t:2:45: type is missing; arguments are always an object"},
		"schema of a string":   {tool("http: {url: http://h/}, schema: {type: string}"), "the schema's type is not object"},
		"schema of two types":  {tool("http: {url: http://h/}, schema: {type: [object]}"), "type is a list, must be text"},
		"schema with an octal": {tool("http: {url: http://h/}, schema: {type: object, maxProperties: 0o17}"), "t:2:75: the number is not written as JSON writes numbers"},
		"schema beyond 2^53":   {tool("http: {url: http://h/}, schema: {type: object, maxProperties: 9007199254740993}"), "the integer is beyond 2^53"},

		"no url":           {tool("http: {}"), "t:2:19: url is missing"},
		"http is empty":    {tool("http: "), "http is empty, must be a mapping"},
		"unknown of http":  {web("method: PUT"), `unknown field "method"; the fields here are url, timeout, failed_statuses, unknown_statuses, headers`},
		"too slow":         {web("timeout: 61m"), "timeout is out of bounds; it must be more than 0 and at most 1h"},
		"no time":          {web("timeout: 0"), "timeout is out of bounds"},
		"file url":         {url("file:///hush"), "url is neither http nor https"},
		"relative url":     {url("//h/hush"), "url is neither http nor https"},
		"no host":          {url("http:///hush"), "url has no host"},
		"opaque url":       {url("http:hush"), "url has no host"},
		"port alone":       {url("http://:80/hush"), "url has no host"},
		"high port":        {url("http://h:65536/hush"), "url has no host, or a port that can't be"},
		"empty port":       {url("http://h:/hush"), "url has no host, or a port that can't be"},
		"bad port":         {url("http://h:hush/"), "url is not a URL"},
		"space":            {url("http://h/hu sh"), "url is not a URL"},
		"user":             {url("http://u:hush@h/"), "url holds a user or password; use headers"},
		"user alone":       {url("http://hush@h/"), "url holds a user or password"},
		"fragment":         {url("http://h/#hush"), "url has a fragment"},
		"empty fragment":   {url("http://h/hush#"), "url has a fragment"},
		"variable in url":  {url("http://h/${HUSH}"), "variables are not expanded in url"},
		"very long url":    {url("http://h/hush" + strings.Repeat("x", 2<<10)), "url is too long; use at most 2048 bytes"},
		"headers are text": {web("headers: hush"), "headers is text, must be a mapping"},

		"variable not set":         {header("X: 'a${NOPE}b'"), "the variable NOPE is not set; set it where"},
		"variable empty":           {header("X: '${EMPTY}'"), "the variable EMPTY is empty; give it a value"},
		"variable with lines":      {header("X: '${LINES}'"), "the variable LINES can't stand in a header; look for a line break"},
		"variable with a line end": {header("X: '${NEWLINE}'"), "the variable NEWLINE can't stand in a header"},
		"variable too long":        {header("X: 'a${LONG}'"), "the value of the header X is too long; use at most 8192 bytes"},
		"variable not closed":      {header("X: 'hush${TOKEN'"), "${ begins no variable; write ${NAME}"},
		"variable with a bad name": {header("X: 'hush${A-B}'"), "${ begins no variable"},
		"value with a line break":  {header(`X: "hush\nY: 1"`), "X holds the control character U+000A"},
		"value with spaces":        {header(`X: " hush"`), "the value of the header X can't be sent"},
		"value is a number":        {header("X: 7"), "X is a number, must be text"},
		"header with a space":      {header("'X Y': hush"), "is not a header's name"},
		"header twice":             {header("x-a: hush, X-A: hush"), "the header X-A exists already; keep one; the first is at t:2:48"},
		"header of Pawl":           {header("pawl-call-id: hush"), "the header Pawl-Call-Id is set by the tool itself; leave it out"},
		"another of Pawl":          {header("Pawl-Digest: hush"), "the header Pawl-Digest is set by the tool itself"},
		"idempotency":              {header("idempotency-key: hush"), "the header Idempotency-Key is set by the tool itself"},
		"content type":             {header("CONTENT-TYPE: hush"), "the header Content-Type is set by the tool itself"},
		"content length":           {header("Content-Length: '1'"), "the header Content-Length is set by the tool itself"},
		"host":                     {header("Host: hush"), "the header Host is set by the tool itself"},
		"framing":                  {header("Transfer-Encoding: chunked"), "the header Transfer-Encoding is set by the tool itself"},
		"proxy":                    {header("Proxy-Authorization: hush"), "the header Proxy-Authorization is set by the tool itself"},
	} {
		t.Run(name, func(t *testing.T) {
			specs, err := toolfile.Parse("t", []byte(c.text), env)
			if err == nil || specs != nil {
				t.Fatalf("taken: %+v", specs)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant it to say\n%s", err, c.want)
			}
			if strings.Contains(strings.ToLower(err.Error()), "hush") {
				t.Errorf("the error shows what it must not: %v", err)
			}
		})
	}
}

func TestParseReportsEveryProblem(t *testing.T) {
	const text = `tools:
  - name: a
    http: {url: ftp://h/, headers: {Host: x, B: "${NOPE}"}}
  - nam: b
    schema: {type: array}
other: 1
`
	want := []string{"t:3:17: url is neither", "t:3:37: the header Host", "t:3:49: the variable NOPE",
		"t:4:5: name is missing", "t:4:5: the tool does not say", `t:4:5: unknown field "nam"`, "t:5:20: the schema's type", `t:6:1: unknown field "other"`}
	_, err := toolfile.Parse("t", []byte(text), nil)
	problems, ok := errors.AsType[yamlfile.Problems](err)
	if !ok || len(problems) != len(want) {
		t.Fatalf("got\n%v\nwant %d problems", err, len(want))
	}
	for i, p := range problems {
		if !strings.HasPrefix(p.String(), want[i]) {
			t.Errorf("problem %d: got %q, want %q", i, p, want[i])
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tools.yaml")
	if _, err := toolfile.Load(path, nil); err == nil || !strings.Contains(err.Error(), "tools.yaml: can't be read") {
		t.Errorf("an absent file: %v", err)
	}
	if err := os.WriteFile(path, []byte("tools: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if specs, err := toolfile.Load(path, nil); err != nil || len(specs) != 0 {
		t.Errorf("no tools: %v, %v", specs, err)
	}
}

func TestParseAnswers(t *testing.T) {
	specs, err := toolfile.Parse("t", []byte(`tools:
- {name: a, success: result.ok, error: result.why, http: {url: "http://h/", failed_statuses: [429], unknown_statuses: [404, 410]}}
- name: b
  success: |
    result.status == "done" &&
    result.count > 0
  activity: {task_queue: q}
- {name: c, activity: {task_queue: q}}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	if h := specs[0].HTTP; !slices.Equal(h.FailedStatuses, []int{429}) || !slices.Equal(h.UnknownStatuses, []int{404, 410}) {
		t.Errorf("statuses: %+v", h)
	}
	if err := specs[0].Answer.Judge([]byte(`{"ok":false,"why":"no"}`)); err == nil || err.Error() != "no" {
		t.Errorf("a: %v", err)
	}
	if err := specs[1].Answer.Judge([]byte(`{"status":"done","count":1}`)); err != nil {
		t.Errorf("b: %v", err)
	}
	if specs[2].Answer != nil {
		t.Errorf("c: %v", specs[2].Answer)
	}
}
