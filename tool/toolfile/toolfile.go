// Package toolfile reads the file in which tools are offered without writing Go:
//
//	tools:
//	  - name: charge_card
//	    description: Charge a customer's card.
//	    schema: {type: object, required: [amount], properties: {amount: {type: number}}}
//	    summary: Charge {amount}              # what a call does, for reviewers
//	    http:
//	      url: http://127.0.0.1:9000/charge
//	      timeout: 10s                        # 30s, if left out
//	      headers:
//	        Authorization: Bearer ${CHARGE_TOKEN}
//	      unknown_statuses: [404]             # of these it is not known whether the tool ran
//	      failed_statuses: [429]              # by these it says that it did not
//	    success: result.status == "ok"        # CEL over the result; false: the tool failed,
//	    error: result.message                 # and this says why
//	    idempotent: false
//	  - name: translate
//	    activity:                             # any Temporal worker, in any language
//	      task_queue: tools-python
//	      timeout: 30s                        # of one run
//	      heartbeat_timeout: 10s              # none, if left out
//
// All problems are reported at once, as yamlfile.Problems with file, line and column, and then no
// tool is returned. Whether a schema is a good one is for whoever registers the tool to say; here
// it must be an object with "type: object", written in numbers and words that JSON has too.
//
// Secrets belong into variables: ${NAME} in a header's value stands for what the environment holds
// under NAME, taken as it is and not expanded again. A variable that is missing or empty is a
// problem, since a tool would be called without its credentials. No problem ever shows a variable's
// value, a header's value or a URL.
package toolfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/pawlhq/pawl/tool/httptool"
)

// Limits and defaults of a tool.
const (
	DefaultTimeout = 30 * time.Second
	MaxTimeout     = time.Hour
	maxDescription = 4 << 10 // bytes
)

// Spec is one tool of a tools file.
type Spec struct {
	Name        string
	Description string
	Schema      json.RawMessage // JSON Schema of the arguments; {"type":"object"} if the file has none
	Idempotent  bool            // may be run again after an attempt whose end is not known
	Activity    *Activity       // how it is run: this, or HTTP; the other one is nil
	// HTTP runs it by POST. It has all that is said under http: the URL without user, password or
	// fragment, the timeout in (0, MaxTimeout], and headers with variables expanded, which may hold
	// secrets.
	HTTP *httptool.Options `json:"-"`
	// Answer tells from a result whether the tool did what was asked; nil if the file does not say.
	Answer *policy.Answer `json:"-"`
	Where  string         // "file:line:column" of the tool, for errors found later
}

// Activity runs a tool as an activity of its name on a task queue that other workers poll.
type Activity struct {
	TaskQueue string
	Timeout   time.Duration // in (0, MaxTimeout]
	Heartbeat time.Duration // 0: none; else in (0, MaxTimeout]
}

// Load reads the tools file at path. env looks up the variables in header values, as os.LookupEnv
// does; nil knows none. The error is yamlfile.Problems.
func Load(path string, env func(string) (string, bool)) ([]Spec, error) {
	var problems yamlfile.Problems
	data, ok := yamlfile.ReadFile(path, &problems)
	if !ok {
		return nil, problems.Err()
	}
	return Parse(path, data, env)
}

// Parse is Load for a file's contents. name is how problems call the file.
func Parse(name string, data []byte, env func(string) (string, bool)) ([]Spec, error) {
	var problems yamlfile.Problems
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	file := yamlfile.Parse(name, data, &problems).Mapping()
	tools, _ := file.Need("tools", `write "tools:" and a list under it`).List()
	file.Done()

	specs := make([]Spec, 0, len(tools))
	places := map[string]string{} // name to the place of its tool
	for _, v := range tools {
		spec, named := readTool(v.Mapping(), env)
		if first, taken := places[spec.Name]; taken && spec.Name != "" {
			named.Problem(fmt.Sprintf("the tool %q exists already", spec.Name),
				"give one of them another name; the first is at "+first)
		} else {
			places[spec.Name] = named.Where()
		}
		specs = append(specs, spec)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return specs, nil
}

func readTool(m *yamlfile.Mapping, env func(string) (string, bool)) (spec Spec, named yamlfile.Value) {
	named = m.Need("name", "name the tool")
	spec = Spec{Schema: json.RawMessage(`{"type":"object"}`), Where: m.Where()}
	if name, ok := named.Text(); ok {
		if approval.CheckTool(name) != nil {
			named.Problem("name is not a tool name", "use at most 200 letters, digits and _ . : / -")
		} else {
			spec.Name = name
		}
	}
	description := m.Field("description")
	spec.Description, _ = description.Lines()
	if len(spec.Description) > maxDescription {
		description.Problem("the description is too long", fmt.Sprintf("use at most %d bytes", maxDescription))
	}
	if v := m.Field("schema"); v.Present() {
		spec.Schema = readSchema(v)
	}
	if v := m.Field("summary"); v.Present() {
		spec.Schema = addSummary(v, spec.Schema)
	}
	spec.Idempotent, _ = m.Field("idempotent").Bool()
	spec.Answer = policy.ReadAnswer(m.Field("success"), m.Field("error"))

	http, activity := m.Field("http"), m.Field("activity")
	if http.Present() {
		spec.HTTP = readHTTP(http.Mapping(), env)
	}
	if activity.Present() {
		spec.Activity = readActivity(activity.Mapping())
	}
	switch {
	case http.Present() && activity.Present():
		activity.Problem("the tool is run in two ways", `keep "http:" or "activity:"`)
	case !http.Present() && !activity.Present():
		m.Problem("the tool does not say how it is run",
			`write "http:" and "url:" under it, or "activity:" and "task_queue:"`)
	}
	m.Done()
	return spec, named
}

func readActivity(m *yamlfile.Mapping) *Activity {
	a := &Activity{Timeout: DefaultTimeout}
	queue := m.Need("task_queue", "name the task queue that the tool's workers poll")
	if text, ok := queue.Text(); ok {
		switch {
		case text == approval.TaskQueue:
			queue.Problem("this task queue is Pawl's own", "name the one that the tool's workers poll")
		case text == "" || approval.CheckName("task_queue", text) != nil:
			queue.Problem("task_queue is not the name of a task queue", "use one line of at most 200 bytes")
		}
		a.TaskQueue = text
	}
	if d, ok := m.Field("timeout").Duration(approval.Duration(MaxTimeout)); ok {
		a.Timeout = d.Std()
	}
	if d, ok := m.Field("heartbeat_timeout").Duration(approval.Duration(MaxTimeout)); ok {
		a.Heartbeat = d.Std()
	}
	m.Done()
	return a
}

// readSchema checks a schema's outer form and turns it into JSON.
func readSchema(v yamlfile.Value) json.RawMessage {
	m := v.Mapping()
	if !m.Present() {
		return nil
	}
	kind := m.Need("type", `arguments are always an object: write "type: object" at the top of the schema`)
	if text, ok := kind.Text(); ok && text != "object" {
		kind.Problem("the schema's type is not object",
			`arguments are always an object: write "type: object" at the top`)
	}
	doc, _ := v.JSON()
	return doc
}

// addSummary writes the line that says what calls of the tool do into its schema, with which it
// reaches the catalogue.
func addSummary(v yamlfile.Value, schema json.RawMessage) json.RawMessage {
	text, ok := v.Text()
	if !ok || schema == nil {
		return schema
	}
	if err := present.CheckSummary(text, schema); err != nil {
		v.Problem("the summary can't be filled in", err.Error())
		return schema
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(schema, &top); err != nil {
		return schema // it has been refused
	}
	if _, there := top[present.KeywordSummary]; there {
		v.Problem("the summary is said twice", "leave it out here, or "+present.KeywordSummary+" in the schema")
		return schema
	}
	line, err := strictjson.Marshal(text)
	if err != nil {
		return schema // no text
	}
	begin := fmt.Sprintf("{%q:%s,", present.KeywordSummary, line)
	return append(json.RawMessage(begin), schema[bytes.IndexByte(schema, '{')+1:]...)
}

const (
	maxURL    = 2 << 10 // bytes
	maxHeader = 8 << 10 // bytes, of a value
)

func readHTTP(m *yamlfile.Mapping, env func(string) (string, bool)) *httptool.Options {
	h := &httptool.Options{Timeout: DefaultTimeout}
	address := m.Need("url", "write the URL that the arguments are posted to")
	if text, ok := address.Text(); ok {
		checkURL(address, text)
		h.URL = text
	}
	if d, ok := m.Field("timeout").Duration(approval.Duration(MaxTimeout)); ok {
		h.Timeout = d.Std()
	}
	taken := map[int]string{}
	h.FailedStatuses = readStatuses(m.Field("failed_statuses"), taken)
	h.UnknownStatuses = readStatuses(m.Field("unknown_statuses"), taken)
	if headers := m.Field("headers"); headers.Present() {
		h.Headers = readHeaders(headers.Mapping(), env)
	}
	m.Done()
	return h
}

// readStatuses reads a list of HTTP statuses, each of which stands once in the lists of a tool.
func readStatuses(v yamlfile.Value, taken map[int]string) []int {
	entries, _ := v.List()
	var statuses []int
	for _, e := range entries {
		status, ok := e.Int(httptool.LeastStatus, httptool.MostStatus)
		if !ok {
			continue
		}
		if first, there := taken[status]; there {
			e.Problem(fmt.Sprintf("the status %d is sorted already", status), "keep one; the first is at "+first)
			continue
		}
		taken[status] = e.Where()
		statuses = append(statuses, status)
	}
	return statuses
}

// checkURL names what is wrong without showing the URL, which may hold secrets.
func checkURL(v yamlfile.Value, text string) {
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "${"):
		v.Problem("variables are not expanded in url", "write the URL out; secrets belong into headers")
	case err != nil || strings.ContainsFunc(text, unicode.IsSpace):
		v.Problem("url is not a URL", "write one like https://host/path")
	case u.Scheme != "http" && u.Scheme != "https":
		v.Problem("url is neither http nor https", "write one like https://host/path")
	case u.User != nil:
		v.Problem("url holds a user or password", `use headers: Authorization: "Basic ${NAME}"`)
	case u.Hostname() == "" || !portFits(u):
		v.Problem("url has no host, or a port that can't be", "write one like https://host:8080/path")
	case strings.Contains(text, "#"):
		v.Problem("url has a fragment (#), which is never sent", "remove it, or write %23 for the character")
	case len(text) > maxURL:
		v.Problem("url is too long", fmt.Sprintf("use at most %d bytes", maxURL))
	}
}

func portFits(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n >= 1 && n <= 65535
}

func readHeaders(m *yamlfile.Mapping, env func(string) (string, bool)) map[string]string {
	headers := map[string]string{}
	places := map[string]string{} // canonical name to the place of its header
	for _, e := range m.Entries() {
		if err := httptool.CheckHeader(e.Name); err != nil {
			e.Key.Problem("the header "+err.Error(), "leave it out")
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(e.Name)
		if first, taken := places[name]; taken {
			e.Key.Problem(fmt.Sprintf("the header %s exists already", name), "keep one; the first is at "+first)
			continue
		}
		places[name] = e.Key.Where()
		if text, ok := e.Value.Text(); ok {
			headers[name] = expand(e.Value, name, text, env)
		}
	}
	return headers
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]{0,199})\}`)

// expand puts in the variables and checks the header's value. What it notes names variables, never
// values.
func expand(v yamlfile.Value, header, text string, env func(string) (string, bool)) string {
	if strings.Count(text, "${") != len(variable.FindAllString(text, -1)) {
		v.Problem("${ begins no variable", "write ${NAME} with letters, digits and _")
		return ""
	}
	if !valueFits(text) {
		v.Problem(fmt.Sprintf("the value of the header %s can't be sent", header),
			"use one line of visible text without spaces around it")
		return ""
	}
	whole := true
	expanded := variable.ReplaceAllStringFunc(text, func(match string) string {
		name := match[2 : len(match)-1]
		value, set := env(name)
		problem, hint := "", ""
		switch {
		case !set:
			problem, hint = "is not set", "set it where the tools file is read"
		case value == "":
			problem, hint = "is empty", "give it a value"
		case !valueFits(value):
			problem, hint = "can't stand in a header", "look for a line break or a space at its beginning or end"
		}
		if problem != "" {
			whole = false
			v.Problem(fmt.Sprintf("the variable %s %s", name, problem), hint)
		}
		return value
	})
	if whole && len(expanded) > maxHeader {
		v.Problem(fmt.Sprintf("the value of the header %s is too long", header),
			fmt.Sprintf("use at most %d bytes", maxHeader))
	}
	return expanded
}

// valueFits: control characters would end the header, and spaces around a value are not sent.
func valueFits(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}
