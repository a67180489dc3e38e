package main

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// ours are the escape sequences the command line writes itself.
var ours = regexp.MustCompile("\x1b\\[(0|1|31|33)m")

// TestNothingHostileReachesATerminal shows a request whose every text tries to
// command the terminal, hide, or pass for Pawl's own lines.
func TestNothingHostileReachesATerminal(t *testing.T) {
	hostile := fixture(t, "hostile.json")
	for _, line := range []string{
		"pending", "show " + hostileID, "approve --as ana " + hostileID, "reject --as ana " + hostileID, "review --as ana",
		"call send_email", "continue " + hostileID, "cancel " + hostileID, "audit list", "tools",
		"show -o json " + hostileID, "pending -o json", "continue -o json " + hostileID, "show nothing",
	} {
		t.Run(line, func(t *testing.T) {
			api := newFakeAPI(t, hostile)
			api.on("POST /api/calls", reply(200, with(t, hostile, "status", "failed")))
			api.on("GET /api/calls/"+hostileID, reply(200, with(t, hostile, "status", "executed")))
			api.on("POST /api/calls/"+hostileID+"/cancel", reply(202, `{}`))
			for _, kind := range []string{"approve", "reject"} {
				api.on("POST /api/requests/"+hostileID+"/"+kind, reply(409, `{"detail":"\u001b[8mno\u202e","code":"stale","outcome":"stale\u001b[8m"}`))
			}
			api.on("GET /api/audit", reply(200, `{"items":[{"call_id":"\u001b[8m","kind":"\u001b[8m","step":"\u202e","at":"2026-03-01T12:00:00Z","payload":{"a":"\u001b[8m"},"leaf_hash":"\u001b[8m"}],"total":1}`))
			api.on("GET /api/tools", reply(200, `{"items":[{"name":"\u001b[8m","kind":"\u001b[8m","queue":"\u202e","description":"\u001b[8m\n"}],"total":1}`))
			api.on("GET /api/requests/nothing", reply(404, `{"detail":"\u001b[8mnothing\u202e","code":"unknown"}`))
			r := cmdline{api: api.URL, terminal: true, stdin: strings.NewReader("d\ny\n")}.run(t, strings.Split(line, " ")...)
			if r.out+r.err == "" {
				t.Fatal("nothing was written")
			}
			for l := range strings.Lines(ours.ReplaceAllString(r.out, "") + r.err) {
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
	hostile := fixture(t, "hostile.json")
	api := newFakeAPI(t, hostile)
	r := cmdline{api: api.URL, terminal: true}.run(t, "show", hostileID, "-o", "json")
	var got, want any
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(hostile), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("another value:\n%s", r.out)
	}
	if r = (cmdline{api: api.URL}).run(t, "show", hostileID, "-o", "json"); r.out != hostile {
		t.Error("a pipe does not get the bytes as they came")
	}
}

func TestColours(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
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
		r := cmdline{api: api.URL, terminal: tt.terminal, env: tt.env}.run(t, "show", mailID)
		if got := strings.Contains(r.out, "\x1b["); got != tt.want || r.code != exitDone {
			t.Errorf("%s: coloured %v, code %d", tt.name, got, r.code)
		}
	}
}

// Long text must not wrap to column 0 on its own, where it could imitate a
// line of Pawl's.
func TestLongTextStaysBehindItsMargin(t *testing.T) {
	doc := with(t, fixture(t, "request.json"), "reason", strings.Repeat("x", 300)+strings.Repeat("字", 100))
	doc = with(t, doc, "args", map[string]string{"body": strings.Repeat("y ", 300)})
	doc = with(t, doc, "agent", strings.Repeat("z", 200))
	api := newFakeAPI(t, doc)
	r := cmdline{api: api.URL, terminal: true, env: map[string]string{"NO_COLOR": "1"}}.run(t, "show", mailID)
	sheet, _, _ := strings.Cut(r.out, "Timeline:")
	for l := range strings.Lines(sheet) {
		l = strings.TrimSuffix(l, "\n")
		if len([]rune(l)) > lineWidth {
			t.Errorf("%d columns: %s", len([]rune(l)), l)
		}
		if strings.Trim(l, "xyz字 ") == "" {
			if !strings.HasPrefix(l, "            ") {
				t.Errorf("at the margin: %q", l)
			}
		}
	}
	for _, piece := range []string{strings.Repeat("x", 70), strings.Repeat("字", 30)} {
		if !strings.Contains(r.out, piece) {
			t.Errorf("misses text")
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		line string
		rows []string
	}{
		{"", []string{""}},
		{"exactly 10", []string{"exactly 10"}},
		{"approved at 2026-03-01", []string{"approved", "at", "2026-03-01"}},
		{"ends in a ", []string{"ends in a "}},
		{"0123456789 ", []string{"0123456789"}},
		{"0123456789abcdef gh", []string{"0123456789", "abcdef gh"}},
		{"    0123456789", []string{"    012345", "6789"}},
		{"a" + strings.Repeat(" ", 22) + "b", []string{"a         ", "          ", "  b"}},
		{"字字 字字字", []string{"字字", "字字字"}},
		{"字字字字字字", []string{"字字字字字", "字"}},
	} {
		if got := wrap(tt.line, 10); !slices.Equal(got, tt.rows) {
			t.Errorf("%q: got %q, want %q", tt.line, got, tt.rows)
		}
	}
}

// What reads a pipe gets lines as they are, foreign ones behind their margin.
func TestPipesAreNotWrapped(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 60))
	doc := with(t, with(t, fixture(t, "request.json"), "reason", long+"\n"+long), "agent", long)
	api := newFakeAPI(t, doc)
	cmdline{api: api.URL}.run(t, "show", mailID).want(t, exitDone, []string{"\nAgent       " + long + "\n", "\n  │ " + long + "\n  │ " + long + "\n"}, nil)
}

func TestWho(t *testing.T) {
	for _, tt := range []struct {
		kind, by      string
		authenticated bool
		want          string
	}{
		{"approve", "ben", false, "approved by ben (unauthenticated) via api"},
		{"approve", "ben", true, "approved by ben via api"},
		{"reject", "", false, "rejected by somebody unnamed (unauthenticated) via api"},
		{"cancel", "local", false, "cancelled by local (unauthenticated) via api"},
		{"allow", "policy", false, "allowed by policy via api"},
		{"deny", "pawl", false, "denied by pawl via api"},
		{"expire", "", false, "expired via api"},
	} {
		if got := who(tt.kind, tt.by, "api", tt.authenticated, time.Time{}); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Minute: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m",
		61 * time.Second: "1m01s", 90 * time.Second: "1m30s", 9*time.Minute + 59*time.Second + 900*time.Millisecond: "10m",
		29*time.Minute + 59*time.Second: "30m", 29*time.Minute + 29*time.Second: "29m", 59*time.Minute + 59*time.Second: "1h00m",
		time.Hour: "1h00m", 47*time.Hour + 5*time.Minute: "47h05m", 48*time.Hour - time.Second: "2d00h", 60 * time.Hour: "2d12h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestReadable(t *testing.T) {
	for doc, want := range map[string]string{
		`{"a":"\u003cb\u003e"}`:    `{"a":"<b>"}`,
		`"\u0430\u0431"`:           `"аб"`,
		`"\ud83d\ude00"`:           `"😀"`,
		`"\u202eabc\u001b[2J"`:     `"\u202eabc\u001b[2J"`,
		`"\u0022,\u005c"`:          `"\u0022,\u005c"`,
		`"\\u003c"`:                `"\\u003c"`,
		`"\n\t\"\/"`:               `"\n\t\"\/"`,
		`"\udb40\udc41x"`:          `"\udb40\udc41x"`,
		`{"a":1,"b":[true,null]}`:  `{"a":1,"b":[true,null]}`,
		`not JSON \u003c and \u00`: `not JSON < and \u00`,
	} {
		if got := readable([]byte(doc)); got != want {
			t.Errorf("%s: got %s, want %s", doc, got, want)
		}
	}
}

func TestNeeds(t *testing.T) {
	v := client.View{}
	v.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Group: "finance", Count: 1}, {Count: 2}}, Decisions: approval.DecisionsSigned}
	if got, want := needs(v), "1 approval of finance, and 2 approvals by different people, signed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
