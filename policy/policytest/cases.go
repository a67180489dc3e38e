package policytest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/strictjson"
)

// maxLine bounds one line of NDJSON, in bytes: an audit entry holds a call of 256 KiB at most, and
// what was decided about it.
const maxLine = 2 << 20

const oneEach = "write one call as JSON on each line"

// LoadCases reads the calls at path: those of a suite (*.yaml, *.yml), of a folder's suites, or
// NDJSON as ReadCases takes it. The error is yamlfile.Problems.
func LoadCases(path string) ([]Case, error) {
	suites, err := Suites(path)
	if err != nil {
		return nil, err
	}
	if len(suites) == 1 && suites[0] == path && !isYAML(path) {
		f, err := os.Open(path)
		if err != nil {
			var problems yamlfile.Problems
			yamlfile.ReadFile(path, &problems)
			return nil, problems.Err()
		}
		defer f.Close()
		return ReadCases(path, f)
	}
	loaded, err := LoadAll(suites...)
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, s := range loaded {
		for _, t := range s.Tests {
			cases = append(cases, t.Case)
		}
	}
	return cases, nil
}

// ReadCases reads NDJSON. A line is a call, as 'POST /api/calls' takes it; or a call as the API
// shows it (pawl pending --all -o json, .items[]); or an audit entry, of which those that hold a
// call count and others are passed over. The error is yamlfile.Problems, holds every line that is
// none of these, and quotes no values. name is how problems call the file.
func ReadCases(name string, from io.Reader) ([]Case, error) {
	var problems yamlfile.Problems
	var cases []Case
	file, n := approval.Display(name, 300), 0
	wrong := func(err error) {
		problems.Add(yamlfile.Problem{File: file, Line: n, Column: 1, Message: err.Error(), Hint: oneEach})
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		n++
		line := lines.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		c, ok, err := readCase(line)
		c.Place = fmt.Sprintf("%s:%d", file, n)
		switch {
		case err != nil:
			wrong(err)
		case ok:
			cases = append(cases, c)
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("the line is longer than %d bytes", maxLine)
	}
	if err != nil {
		n++
		wrong(fmt.Errorf("can't be read on: %w", err))
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return cases, nil
}

// readCase returns false for an audit entry without a call.
func readCase(line []byte) (Case, bool, error) {
	if err := strictjson.Check(line); err != nil {
		return Case{}, false, err
	}
	var kind struct {
		Status  *string         `json:"status"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return Case{}, false, errors.New("is not a JSON object")
	}
	switch {
	case kind.Payload != nil:
		c, ok := FromEntry(kind.Payload)
		return c, ok, nil
	case kind.Status != nil:
		var v approval.View
		if err := json.Unmarshal(line, &v); err != nil {
			return Case{}, false, errors.New("is not a call as the API shows it")
		}
		c, err := fromView(v)
		return c, err == nil, err
	}
	call, err := approval.ParseCall(line)
	if err == nil {
		err = call.Validate()
	}
	return Case{Name: call.Tool, Call: call, At: Noon}, err == nil, err
}

// EntryKinds are the kinds of audit entries that hold a call as it was asked for.
var EntryKinds = []string{string(audit.KindRequested), string(audit.KindBlocked)}

// FromEntry returns the call that an audit entry's payload holds. It returns false if it holds
// none: only the entries of EntryKinds do, and of those some hold what could not be a call and was
// never judged. Values that the policy of that time hid are hidden in it, too; see Case.Redacted.
func FromEntry(payload json.RawMessage) (Case, bool) {
	var p audit.Blocked // whose call may be missing; that of audit.Requested has the same name
	if err := json.Unmarshal(payload, &p); err != nil || p.Call == nil {
		return Case{}, false
	}
	c, err := fromView(*p.Call)
	return c, err == nil
}

func fromView(v approval.View) (Case, error) {
	c := Case{Name: v.Tool, Place: approval.Display(v.ID, 300), At: v.CreatedAt, Call: approval.Call{
		Tool: v.Tool, Args: v.Args, Agent: v.Agent, Team: v.Team, Session: v.Session, Requester: v.Requester,
		Reason: v.Reason, Title: v.Title, Description: v.Description, Labels: v.Labels,
	}}
	c.Call.Normalize()
	return c, c.Call.Validate()
}

// Redacted reports whether values in the call's arguments were hidden before they came here:
// conditions on them see the mark instead.
func (c Case) Redacted() bool { return redact.Marked(string(c.Call.Args)) }

// IsSuite reports whether a file is a suite by its name: *_test.yaml or *_test.yml.
func IsSuite(path string) bool {
	ext := filepath.Ext(path)
	return isYAML(path) && strings.HasSuffix(strings.TrimSuffix(path, ext), "_test")
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

// Suites returns the suites that paths stand for, in order: a file itself, a folder's suites by
// their names. A folder without one is a problem, so that a mistyped path does not pass for tests
// that pass. The error is yamlfile.Problems; the other paths' files are returned all the same.
func Suites(paths ...string) ([]string, error) {
	return expand(paths, IsSuite, "holds no suite", "name suites *_test.yaml, or give their paths")
}

// PolicyFiles is Suites for the files of a policy: a folder's YAML files that are not suites.
func PolicyFiles(paths ...string) ([]string, error) {
	return expand(paths, func(name string) bool { return isYAML(name) && !IsSuite(name) },
		"holds no policy", "name the policy's files *.yaml, or give their paths")
}

func expand(paths []string, takes func(name string) bool, none, hint string) ([]string, error) {
	var problems yamlfile.Problems
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			files = append(files, path) // what can't be read is said by whoever reads it
			continue
		}
		entries, err := os.ReadDir(path) // sorted by name
		if err != nil {
			yamlfile.ReadFile(path, &problems)
			continue
		}
		found := len(files)
		for _, e := range entries {
			if name := e.Name(); !strings.HasPrefix(name, ".") && !e.IsDir() && takes(name) {
				files = append(files, filepath.Join(path, name))
			}
		}
		if len(files) == found {
			problems.Add(yamlfile.Problem{
				File: approval.Display(path, 300), Message: "the folder " + none, Hint: hint,
			})
		}
	}
	return files, problems.Err()
}
