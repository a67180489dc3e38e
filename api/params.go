package api

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// maxParam bounds IDs and parameters, in bytes.
const maxParam = approval.MaxID

// anyParams is for withParams: what issuers send is theirs to say.
const anyParams = "*"

// withParams lets a request through whose query string holds only these parameters, each once and
// readable.
func withParams(h handler, names []string) handler {
	if slices.Equal(names, []string{anyParams}) {
		return h
	}
	return func(c *gin.Context) error {
		values, err := url.ParseQuery(c.Request.URL.RawQuery)
		if err != nil {
			return invalid("the query string can't be read")
		}
		for name, vs := range values {
			switch {
			case !slices.Contains(names, name):
				known := cmp.Or(strings.Join(names, ", "), "none")
				return invalid("unknown parameter %q; known here: %s", approval.Display(name, 80), known)
			case len(vs) > 1:
				return invalid("the parameter %s is given %d times", name, len(vs))
			case !readable(vs[0]):
				return invalid("%s is not readable text of at most %d bytes", name, maxParam)
			}
		}
		return h(c)
	}
}

func invalid(format string, a ...any) error {
	return approval.Errorf(approval.CodeInvalid, format, a...)
}

func readable(s string) bool {
	return len(s) <= maxParam && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// pathParam returns a parameter of the path. What can't be read is unknown.
func pathParam(c *gin.Context, name string) (string, error) {
	v, err := url.PathUnescape(c.Param(name))
	if err != nil || v == "" || !readable(v) {
		return "", store.ErrNotFound
	}
	return v, nil
}

// idParam returns the parameter id of the path. What no call can have as its ID is unknown.
func idParam(c *gin.Context) (string, error) {
	id, err := pathParam(c, "id")
	if err == nil && approval.CheckID(id) != nil {
		err = store.ErrNotFound
	}
	return id, err
}

// waitParam reads how long to wait, in whole or as s.o.MaxWait allows.
func (s *Server) waitParam(c *gin.Context) (time.Duration, error) {
	v := c.Query("wait")
	if v == "" {
		return 0, nil
	}
	d, err := approval.ParseDuration(v)
	if err != nil {
		return 0, invalid("wait: %w", err)
	}
	return min(d.Std(), s.o.MaxWait), nil
}

func limitParam(c *gin.Context) (int, error) {
	v := c.Query("limit")
	if v == "" {
		return store.DefaultPage, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > store.MaxPage {
		return 0, invalid("limit must be a whole number from 1 to %d", store.MaxPage)
	}
	return n, nil
}

// timesParam reads the times since and until.
func timesParam(c *gin.Context, since, until *time.Time) (err error) {
	for name, at := range map[string]*time.Time{"since": since, "until": until} {
		if text := c.Query(name); text != "" {
			if *at, err = time.Parse(time.RFC3339, text); err != nil {
				return invalid("%s: must be a time like 2026-01-05T12:00:00Z", name)
			}
		}
	}
	return nil
}

// reviewer returns who does what a person is asked for ("decides"). Where nobody is authenticated,
// it is who the header names.
func reviewer(c *gin.Context, does string) (string, error) {
	const header = rest.HeaderReviewer
	if p := principal(c); p.Authenticated() {
		return p.Subject, claims(header, c.Request.Header.Get(header), p.Subject)
	}
	names := c.Request.Header.Values(header)
	if len(names) == 0 || len(names) == 1 && names[0] == "" {
		p := newProblem(http.StatusUnauthorized, rest.CodeReviewerRequired,
			"Say who "+does+": send their name in the header "+header+".")
		p.challenge = header
		return "", p
	}
	if len(names) > 1 {
		return "", invalid("the header %s is given %d times", header, len(names))
	}
	return names[0], auth.CheckPerson("the header "+header, names[0])
}

// channel tells the command line from everybody else. It is a label, not evidence.
func channel(c *gin.Context) string { return channelOf(c.Request) }

func channelOf(r *http.Request) string {
	if strings.HasPrefix(r.UserAgent(), "pawl-cli/") {
		return "cli"
	}
	return "api"
}

// via says how a request's sender acts.
func via(c *gin.Context) approval.Via {
	v := approval.Via{Channel: channel(c)}
	if p := principal(c); p.Authenticated() {
		v.Method = string(p.Method)
	}
	return v
}

// actor says who sent a request, and how they act.
func actor(c *gin.Context) approval.Actor {
	return approval.Actor{By: principal(c).Subject, Via: via(c)}
}
