package toolfile

import (
	"fmt"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/tool/httptool"
)

const (
	maxURL    = 2 << 10 // bytes
	maxHeader = 8 << 10 // bytes, of a value
)

func readHTTP(m *yamlfile.Mapping, env func(string) (string, bool)) *HTTP {
	h := &HTTP{Timeout: DefaultTimeout}
	address := m.Need("url", "write the URL that the arguments are posted to")
	if text, ok := address.Text(); ok {
		checkURL(address, text)
		h.URL = text
	}
	if d, ok := m.Field("timeout").Duration(approval.Duration(MaxTimeout)); ok {
		h.Timeout = d.Std()
	}
	if headers := m.Field("headers"); headers.Present() {
		h.Headers = readHeaders(headers.Mapping(), env)
	}
	m.Done()
	return h
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
