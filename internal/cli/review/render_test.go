package review_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// ours are the escape sequences the command line writes itself.
var ours = regexp.MustCompile("\x1b\\[(0|1|31|32|33)m")

// TestNothingHostileReachesATerminal shows a request whose every text tries to command the
// terminal, hide, or pass for Pawl's own lines.
func TestNothingHostileReachesATerminal(t *testing.T) {
	hostile := clitest.Fixture(t, "hostile.json")
	for _, line := range []string{
		"pending", "show " + hostileID, "approve --as ana " + hostileID, "reject --as ana " + hostileID, "review --as ana",
		"call send_email", "continue " + hostileID, "cancel " + hostileID, "audit list", "tools",
		"show -o json " + hostileID, "pending -o json", "continue -o json " + hostileID, "show nothing",
	} {
		t.Run(line, func(t *testing.T) {
			api := clitest.NewAPI(t, hostile)
			api.On("POST /api/calls", clitest.Reply(200, withField(t, hostile, "status", "failed")))
			api.On("GET /api/calls/"+hostileID, clitest.Reply(200, withField(t, hostile, "status", "executed")))
			api.On("POST /api/calls/"+hostileID+"/cancel", clitest.Reply(202, `{}`))
			for _, kind := range []string{"approve", "reject"} {
				api.On("POST /api/requests/"+hostileID+"/"+kind, clitest.Reply(409, `{"detail":"\u001b[8mno\u202e","code":"stale","outcome":"stale\u001b[8m"}`))
			}
			api.On("GET /api/audit", clitest.Reply(200, `{"items":[{"call_id":"\u001b[8m","kind":"\u001b[8m","step":"\u202e","at":"2026-03-01T12:00:00Z","payload":{"a":"\u001b[8m"},"leaf_hash":"\u001b[8m"}],"total":1}`))
			api.On("GET /api/tools", clitest.Reply(200, `{"items":[{"name":"\u001b[8m","kind":"\u001b[8m","queue":"\u202e","description":"\u001b[8m\n"}],"total":1}`))
			api.On("GET /api/requests/nothing", clitest.Reply(404, `{"detail":"\u001b[8mnothing\u202e","code":"unknown"}`))
			r := clitest.CommandLine{API: api.URL, Terminal: true, Stdin: strings.NewReader("d\ny\n")}.Run(t, strings.Split(line, " ")...)
			if r.Out+r.Err == "" {
				t.Fatal("nothing was written")
			}
			for l := range strings.Lines(ours.ReplaceAllString(r.Out, "") + r.Err) {
				if l = strings.TrimSuffix(l, "\n"); approval.Display(l, 0) != l {
					t.Errorf("raw in %q", l)
				}
				for _, fake := range []string{"Digest      0000", "ID          pawl-other", "Risk low"} {
					if strings.HasPrefix(l, fake) {
						t.Errorf("passes for Pawl's own line: %q", l)
					}
				}
			}
		})
	}
}

func TestJSONOnATerminalIsTheSameJSON(t *testing.T) {
	hostile := clitest.Fixture(t, "hostile.json")
	api := clitest.NewAPI(t, hostile)
	r := clitest.CommandLine{API: api.URL, Terminal: true}.Run(t, "show", hostileID, "-o", "json")
	var got, want any
	if err := json.Unmarshal([]byte(r.Out), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(hostile), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("another value:\n%s", r.Out)
	}
	if r = (clitest.CommandLine{API: api.URL}).Run(t, "show", hostileID, "-o", "json"); r.Out != hostile {
		t.Error("a pipe does not get the bytes as they came")
	}
}

func TestColours(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	for _, tt := range []struct {
		name     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{"terminal", true, nil, true},
		{"pipe", false, nil, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, false},
		{"dumb", true, map[string]string{"TERM": "dumb"}, false},
	} {
		r := clitest.CommandLine{API: api.URL, Terminal: tt.terminal, Env: tt.env}.Run(t, "show", clitest.MailID)
		if got := strings.Contains(r.Out, "\x1b["); got != tt.want || r.Code != cli.ExitDone {
			t.Errorf("%s: coloured %v, code %d", tt.name, got, r.Code)
		}
	}
}

// Long text must not wrap to column 0 on its own, where it could imitate a line of Pawl's.
func TestLongTextStaysBehindItsMargin(t *testing.T) {
	doc := withField(t, clitest.Fixture(t, "request.json"), "reason", strings.Repeat("x", 300)+strings.Repeat("字", 100))
	doc = withField(t, doc, "args", map[string]string{"body": strings.Repeat("y ", 300)})
	doc = withField(t, doc, "agent", strings.Repeat("z", 200))
	api := clitest.NewAPI(t, doc)
	r := clitest.CommandLine{API: api.URL, Terminal: true, Env: map[string]string{"NO_COLOR": "1"}}.Run(t, "show", clitest.MailID)
	sheet, _, _ := strings.Cut(r.Out, "Timeline:")
	for l := range strings.Lines(sheet) {
		l = strings.TrimSuffix(l, "\n")
		if len([]rune(l)) > 78 {
			t.Errorf("%d columns: %s", len([]rune(l)), l)
		}
		if strings.Trim(l, "xyz字 ") == "" {
			if !strings.HasPrefix(l, "            ") {
				t.Errorf("at the margin: %q", l)
			}
		}
	}
	for _, piece := range []string{strings.Repeat("x", 70), strings.Repeat("字", 30)} {
		if !strings.Contains(r.Out, piece) {
			t.Errorf("misses text")
		}
	}
}

// What reads a pipe gets lines as they are, foreign ones behind their margin.
func TestPipesAreNotWrapped(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 60))
	doc := withField(t, withField(t, clitest.Fixture(t, "request.json"), "reason", long+"\n"+long), "agent", long)
	api := clitest.NewAPI(t, doc)
	clitest.CommandLine{API: api.URL}.Run(t, "show", clitest.MailID).Want(t, cli.ExitDone, []string{"\nAgent       " + long + "\n", "\n  │ " + long + "\n  │ " + long + "\n"}, nil)
}

// withField returns a copy of a JSON object with a field replaced.
func withField(t *testing.T, doc, name string, value any) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	m[name] = value
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const (
	hostileID = "pawl-t7aa4nqaaaaaaaaaaaaaaaaaaa"
	mailSum   = "3f2a91bc1234567890abcdef3f2a91bc1234567890abcdef3f2a91bc12345678"
)

// Reviewers see who runs the tool, and that nothing checked its arguments.
func TestCallersCalls(t *testing.T) {
	doc := clitest.Fixture(t, "hostile.json")
	for name, value := range map[string]any{"execution": "caller", "schema_unknown": true, "status": "approved"} {
		doc = withField(t, doc, name, value)
	}
	api := clitest.NewAPI(t, doc)
	r := clitest.CommandLine{API: api.URL, Terminal: true}.Run(t, "show", hostileID)
	for _, want := range []string{"the agent itself", "nobody published this tool", "approved, waiting for the agent"} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("%q is missing in\n%s", want, r.Out)
		}
	}
}
