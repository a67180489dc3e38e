package hook_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/hook"
)

// What was there before is there afterwards, as it was written, and nothing else.
func TestInstallAndUninstall(t *testing.T) {
	const command = "'/my apps/pawl' hook claude-code"
	for name, before := range map[string]string{
		"nothing":                            "",
		"other settings":                     "{\n  \"zeta\": 1,\n  \"alpha\": {\n    \"b\": 1.0,\n    \"a\": \"<&>\"\n  }\n}\n",
		"other hooks":                        "{\n  \"hooks\": {\n    \"Stop\": [\n      {\n        \"hooks\": []\n      }\n    ],\n    \"PreToolUse\": [\n      {\n        \"matcher\": \"Bash\",\n        \"hooks\": [\n          {\n            \"type\": \"command\",\n            \"command\": \"lint\"\n          }\n        ]\n      }\n    ]\n  },\n  \"x\": null\n}\n",
		"four blanks and a field at the end": "{\n    \"model\": \"x\",\n    \"permissions\": {\"allow\": [ \"Bash(ls)\",\"Read\" ]}\n}",
		"tabs":                               "{\n\t\"hooks\": {\n\t\t\"Stop\": [ {\"hooks\": []} ]\n\t},\n\t\"x\":1\n}\n",
		"one line":                           "{\"a\":1, \"hooks\":{\"PreToolUse\":[{\"matcher\":\"Bash\",\"hooks\":[{\"type\":\"command\",\"command\":\"lint\"}]}]} }",
		"Windows' line ends":                 "{\r\n  \"a\": 1\r\n}\r\n",
		"an empty object":                    "{}\n",
		"a byte-order mark":                  "\uFEFF{\n    \"model\": \"x\"\n}\n",
		"one before nothing much":            "\uFEFF{}",
		"one and Windows' line ends":         "\uFEFF{\r\n\t\"hooks\": {\r\n\t\t\"Stop\": []\r\n\t}\r\n}\r\n",
		"an empty one, apart":                " { } ",
		"no hooks":                           "{\n  \"hooks\": {}\n}\n",
		"an empty list":                      "{\"hooks\": {\"PreToolUse\": [], \"Stop\": [ ]}}",
		"one like it":                        "{\n  \"hooks\": {\n    \"PreToolUse\": [\n      {\n        \"hooks\": [\n          {\n            \"type\": \"command\",\n            \"command\": \"lint; pawl hook claude-code\"\n          }\n        ]\n      }\n    ]\n  }\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			once, err := hook.Install([]byte(before), command, hook.DefaultWait)
			if err != nil {
				t.Fatal(err)
			}
			twice, err := hook.Install(once, "/other/pawl hook claude-code --headless", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			again, err := hook.Install(twice, command, hook.DefaultWait)
			if err != nil || !bytes.Equal(again, once) {
				t.Errorf("installed again: %v\n%s", err, again)
			}
			if !hook.Installed(once) || hook.Installed([]byte(before)) {
				t.Error("nobody can tell that it is installed")
			}
			if bytes.HasPrefix(once, []byte("\uFEFF")) != strings.HasPrefix(before, "\uFEFF") {
				t.Errorf("the byte-order mark is not as it was: %q", once)
			}
			left, err := hook.Uninstall(again)
			if err != nil || string(left) != before {
				t.Errorf("uninstalled: %v\n%s\nwant\n%s", err, left, before)
			}
			if left, err = hook.Uninstall([]byte(before)); err != nil || string(left) != before {
				t.Errorf("uninstalled where it was not: %v\n%s", err, left)
			}
		})
	}
}

// Where somebody has added hooks of their own to a group of ours, or changed ours, ours alone is taken out.
func TestUninstallFromSharedGroups(t *testing.T) {
	const ours, theirs = `{"type":"command","timeout":1.5,"command":"/bin/pawl hook claude-code"}`, `{"command": "lint"}`
	for name, tt := range map[string][2]string{
		"the first":      {ours + ", " + theirs, theirs},
		"the last":       {theirs + ", " + ours, theirs},
		"in the middle":  {theirs + ",\n" + ours + ",\n" + theirs, theirs + ",\n" + theirs},
		"twice":          {ours + "," + theirs + "," + ours, theirs},
		"beside nothing": {theirs + `, "x", ` + ours, theirs + `, "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			doc := func(hooks string) string {
				return `{"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [` + hooks + "]}]}}\n"
			}
			if !hook.Installed([]byte(doc(tt[0]))) {
				t.Error("nobody can tell that it is installed")
			}
			left, err := hook.Uninstall([]byte(doc(tt[0])))
			if err != nil || string(left) != doc(tt[1]) {
				t.Errorf("%v\n%s\nwant\n%s", err, left, doc(tt[1]))
			}
		})
	}
}

func TestInstalled(t *testing.T) {
	doc, err := hook.Install(nil, "/bin/pawl hook claude-code", 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var settings struct {
		Hooks map[string][]struct {
			Matcher string
			Hooks   []struct {
				Type, Command, OnFailure string
				Timeout                  int
			}
		}
	}
	if err := json.Unmarshal(doc, &settings); err != nil {
		t.Fatal(err)
	}
	for _, event := range hook.Events {
		groups := settings.Hooks[event]
		if len(groups) != 1 || len(groups[0].Hooks) != 1 {
			t.Fatalf("%s: %v", event, groups)
		}
		g, h := groups[0], groups[0].Hooks[0]
		first := event == "PreToolUse"
		if first && (h.Timeout != 120 || h.OnFailure != "block" || !strings.HasSuffix(h.Command, " --wait 1m30s")) {
			t.Errorf("%+v", h)
		}
		if h.Type != "command" || (h.OnFailure == "block") != first || (g.Matcher == "*") != (event != "SessionEnd") {
			t.Errorf("%s: %+v", event, g)
		}
	}
}

func TestSettingsThatAreNone(t *testing.T) {
	for name, doc := range map[string]string{
		"comments": "{\n// mine\n}", "a list": "[]", "cut short": "{", "twice": `{"hooks":{},"hooks":{}}`,
		"hooks of another kind": `{"hooks":[]}`, "an event of another kind": `{"hooks":{"PreToolUse":{}}}`,
		"two byte-order marks": "\uFEFF\uFEFF{}", "a mark inside": "{\uFEFF}",
		"UTF-16": "\xFF\xFE{\x00}\x00", "UTF-16, the other way round": "\xFE\xFF\x00{\x00}",
	} {
		if out, err := hook.Install([]byte(doc), "pawl hook claude-code", time.Minute); err == nil {
			t.Errorf("%s: %s", name, out)
		}
		out, err := hook.Uninstall([]byte(doc))
		if err == nil || strings.HasPrefix(name, "UTF-16") && !strings.Contains(err.Error(), "save them as UTF-8") {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
}

func TestCheckClaude(t *testing.T) {
	for printed, good := range map[string]bool{
		"2.1.295 (Claude Code)": true, "2.1.332 (Claude Code)\n": true, "2.2.0": true, "3.0.0": true, "10.0.1": true,
		"2.1.294 (Claude Code)": false, "2.0.999": false, "1.9.400": false, "": false, "Claude Code": false, "v2.1.332": false,
	} {
		if err := hook.CheckClaude(printed); (err == nil) != good {
			t.Errorf("%q: %v", printed, err)
		}
	}
}

// The plugin does what Install does, with pawl from PATH.
func TestPlugin(t *testing.T) {
	const file = "../examples/claude-code-plugin/hooks/hooks.json"
	want, err := hook.Install(nil, "pawl hook claude-code", hook.DefaultWait)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %v; it should be\n%s", file, err, want)
	}
}
