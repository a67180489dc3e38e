package sealed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
)

// export is the log as 'pawl audit export' writes it.
func (w *world) export(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	for from := verify.FromStore(w.store); ; {
		e, signed, err := from.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return lines.String()
		}
		var line []byte
		if err == nil && e != nil {
			line, err = audit.ExportLine(*e)
		} else if err == nil {
			line, err = json.Marshal(rest.ExportedCheckpoint{Checkpoint: signed})
			line = append(line, '\n')
		}
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(line)
	}
}

// TestVerifyExport verifies an export as an auditor does, who has neither the store nor the log's own key.
func TestVerifyExport(t *testing.T) {
	w := newWorld(t)
	honest := w.export(t)
	lines := strings.SplitAfter(honest, "\n") // two entries and a checkpoint
	public := strings.TrimSpace(w.run(t, "key").Out)
	other := strings.TrimSpace(newWorld(t).run(t, "key").Out)
	_, hash, _ := strings.Cut(public, "+")
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(w.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return w.file(name)
	}
	path, key := write("log.ndjson", honest), write("log.pub", "# of the log\n\n"+public+"\n")
	both, wrong := write("both.pub", other+"\n"+public), write("wrong.pub", "pawl/x+"+hash+"\n")
	run := func(stdin string, args ...string) clitest.Result {
		return clitest.CommandLine{Stdin: strings.NewReader(stdin)}.Run(t, append([]string{"audit", "verify"}, args...)...)
	}
	for name, c := range map[string]struct {
		stdin    string
		args     []string
		code     int
		out, err string
	}{
		"a file, and the key":         {"", []string{path, "--key", public}, cli.ExitDone, "2 sealed ones", ""},
		"a file, and the key's":       {"", []string{path, "--key", key}, cli.ExitDone, "ok: ", ""},
		"keys of which one fits":      {"", []string{path, "--key", both}, cli.ExitDone, "ok: ", ""},
		"two keys":                    {"", []string{path, "--key", other, "--key", key}, cli.ExitDone, "ok: ", ""},
		"standard input":              {honest, []string{"-", "--key", key}, cli.ExitDone, "2 sealed ones", ""},
		"standard input without end":  {lines[0] + lines[1], []string{"-", "--key", key}, cli.ExitError, "NOT OK: ", ""},
		"nothing on standard input":   {"", []string{"-", "--key", key}, cli.ExitError, "NOT OK: empty", ""},
		"no export":                   {"hello\n", []string{"-", "--key", key}, cli.ExitError, "", "not one of an export"},
		"another log's key":           {"", []string{path, "--key", other}, cli.ExitError, "NOT OK: forged", ""},
		"no key":                      {"", []string{path}, cli.ExitUsage, "", "give --key"},
		"no key, and standard input":  {honest, []string{"-"}, cli.ExitUsage, "", "give --key"},
		"a key whose hash is another": {"", []string{path, "--key", wrong}, cli.ExitUsage, "", "pawl audit key"},
		"a key's file that is not":    {"", []string{path, "--key", w.file("none.pub")}, cli.ExitUsage, "", "pawl audit key"},
		"a file that is not":          {"", []string{w.file("none"), "--key", key}, cli.ExitError, "", "none"},
		"two exports":                 {"", []string{path, path, "--key", key}, cli.ExitUsage, "", "one EXPORT"},
		"with Temporal":               {"", []string{path, "--temporal", "--key", key}, cli.ExitUsage, "", "leave EXPORT out"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(c.stdin, append(c.args, "--state", "-")...)
			if r.Code != c.code || !strings.Contains(r.Out, c.out) || !strings.Contains(r.Err, c.err) || (c.err == "") != (r.Err == "") {
				t.Errorf("%d, %s, %s", r.Code, r.Out, r.Err)
			}
		})
	}
}

// TestVerifyTamperedExport has programs read what is wrong with an export.
func TestVerifyTamperedExport(t *testing.T) {
	w := newWorld(t)
	w.grow(t, "3")
	w.grow(t, "4")
	w.seal()
	lines := strings.SplitAfter(w.export(t), "\n") // two entries and a checkpoint, twice
	if len(lines) != 7 {
		t.Fatal(lines)
	}
	join := func(l ...string) string { return strings.Join(l, "") }
	public := strings.TrimSpace(w.run(t, "key").Out)
	zero, one, two, three := int64(0), int64(1), int64(2), int64(3)
	for name, c := range map[string]struct {
		export string
		fault  verify.Fault
		index  *int64
	}{
		"honest":                {join(lines...), "", nil},
		"edited":                {join(strings.Replace(lines[0], `"payload":{`, `"payload":{"a":1,`, 1), join(lines[1:]...)), verify.Edited, &zero},
		"an entry is missing":   {join(join(lines[:3]...), join(lines[4:]...)), verify.Deleted, &two},
		"places are changed":    {join(lines[1], lines[0], join(lines[2:]...)), verify.Reordered, &zero},
		"the last checkpoint":   {join(lines[:5]...), verify.Forged, nil},
		"the end":               {join(join(lines[:4]...), lines[5]), verify.Truncated, &three},
		"somebody's checkpoint": {join(join(lines[:5]...), strings.Replace(lines[5], "— pawl", "— paul", 1)), verify.Forged, nil},
		"an entry twice":        {join(lines[0], lines[1], lines[1], join(lines[2:]...)), verify.Inserted, &one},
	} {
		t.Run(name, func(t *testing.T) {
			r := clitest.CommandLine{Stdin: strings.NewReader(c.export)}.Run(t,
				"audit", "verify", "-", "--key", public, "--state", "-", "-o", "json")
			var report verify.Report
			if err := json.Unmarshal([]byte(r.Out), &report); err != nil {
				t.Fatal(r.Out, r.Err, err)
			}
			if c.fault == "" {
				if r.Code != cli.ExitDone || !report.OK || report.Problem != nil || report.Size != 4 || report.Signed != 2 {
					t.Errorf("%d, %s", r.Code, r.Out)
				}
				return
			}
			p := report.Problem
			if r.Code != cli.ExitError || report.OK || p == nil || p.Fault != c.fault || r.Err != "" ||
				c.index != nil && (p.Index == nil || *p.Index != *c.index) {
				t.Errorf("%d, %s, %s", r.Code, r.Out, r.Err)
			}
		})
	}
}

// TestExportGoesOnWhileSealing cuts an export off, has the rest of the log sealed, and goes on: what comes of
// it can be verified.
func TestExportGoesOnWhileSealing(t *testing.T) {
	const afterOpen = 4                      // so many lines end behind an entry that is not sealed: two entries, a checkpoint, one more
	for half := 2 * 2; half <= 2*5; half++ { // from before the checkpoint on
		for _, how := range []string{"the file", "the answer to a file", "the answer"} {
			t.Run(fmt.Sprintf("%s behind %d half lines", how, half), func(t *testing.T) {
				w := newWorld(t)
				w.grow(t, "3")
				w.grow(t, "4")
				address, file := w.serve(t), w.file("log.ndjson")
				cut := func(text string) string {
					lines := strings.SplitAfter(text, "\n")
					if len(lines) != 6 {
						t.Fatalf("the log is %s", text)
					}
					part := lines[half/2]
					return strings.Join(lines[:half/2], "") + part[:len(part)/2*(half%2)]
				}
				broken := false
				proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					res, err := http.Get(address + r.URL.RequestURI())
					if err != nil {
						t.Error(err)
						return
					}
					defer res.Body.Close()
					body, err := io.ReadAll(res.Body)
					if err != nil {
						t.Error(err)
					}
					rw.Header().Set("Content-Type", rest.NDJSON)
					text := string(body)
					if !broken && how != "the file" {
						broken = true
						w.seal()
						text = cut(text)
						if half%2 == 0 {
							text += `{"problem":"the store does not answer"}` + "\n"
						}
					}
					_, _ = io.WriteString(rw, text)
				}))
				defer proxy.Close()
				export := func(args ...string) clitest.Result {
					return clitest.CommandLine{API: proxy.URL}.Run(t, append([]string{"audit", "export"}, args...)...)
				}
				var got string
				if how == "the answer" {
					r := export()
					if half/2 >= afterOpen {
						r.Want(t, cli.ExitError, nil, []string{"run it again"})
						r = export()
					}
					r.Want(t, cli.ExitDone, nil, nil)
					got = r.Out
				} else {
					r := export("--file", file)
					if how == "the file" {
						w.seal()
						text, err := os.ReadFile(file)
						err = errors.Join(err, os.WriteFile(file, []byte(cut(string(text))), 0o600))
						if err != nil {
							t.Fatal(err)
						}
						r = export("--file", file)
					} else if half/2 >= afterOpen {
						r.Want(t, cli.ExitError, nil, []string{"run it again"})
						r = export("--file", file)
					}
					r.Want(t, cli.ExitDone, nil, nil)
					text, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					got = string(text)
				}
				entries, signed := strings.Count(got, `"leaf_hash":`), strings.Count(got, `{"checkpoint":`)
				if entries != 4 || signed != 2 {
					t.Errorf("%d entries, %d checkpoints:\n%s", entries, signed, got)
				}
				w.isHonest(t, got)
			})
		}
	}
}

// TestExportGoesOnInAFile goes on with an export of when nothing was sealed yet, and with whole ones whose last
// checkpoint was cut off.
func TestExportGoesOnInAFile(t *testing.T) {
	w := newWorld(t)
	w.grow(t, "3")
	w.grow(t, "4")
	w.seal()
	run, file := clitest.CommandLine{API: w.serve(t)}, w.file("log.ndjson")
	whole := run.Run(t, "audit", "export").Out
	early := regexp.MustCompile(`"index":\d+,|(?m)^{"checkpoint":.*\n`).ReplaceAllString(whole, "")
	last := strings.LastIndex(whole, `{"checkpoint":`)
	for _, there := range []string{early, whole[:last], whole[:last+20], whole} {
		if err := os.WriteFile(file, []byte(there), 0o600); err != nil {
			t.Fatal(err)
		}
		run.Run(t, "audit", "export", "--file", file).Want(t, cli.ExitDone, nil, nil)
		got, err := os.ReadFile(file)
		if err != nil || string(got) != whole {
			t.Errorf("%v; it goes on from\n%s\nto\n%s", err, there, got)
		}
		w.isHonest(t, string(got))
	}
}

// isHonest has Pawl and Python verify an export.
func (w *world) isHonest(t *testing.T, export string) {
	t.Helper()
	file, key := w.file("export"), w.file("log.pub")
	public := w.run(t, "key")
	public.Want(t, cli.ExitDone, []string{"pawl/"}, nil)
	err := errors.Join(os.WriteFile(file, []byte(export), 0o600), os.WriteFile(key, []byte(public.Out), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	clitest.CommandLine{}.Run(t, "audit", "verify", file, "--key", key, "--state", "-").
		Want(t, cli.ExitDone, []string{"4 sealed ones"}, nil)
	said, err := exec.Command("python3", "../../../examples/verify/verify.py", "--key", key, file).CombinedOutput()
	if err != nil || !strings.Contains(string(said), ": ok: ") {
		t.Errorf("Python says %s, %v", said, err)
	}
}
