// Package client is a typed client of Pawl's HTTP API: start a guarded call, wait for its end, list
// what waits for people, decide. It needs net/http and nothing of Temporal, so a reviewer or an
// agent gets by with an address and a token.
//
//	c, err := client.New(client.Options{})
//	v, _, err := c.Start(ctx, approval.Call{Tool: "send_email", Args: args}, 0)
//	v, err = c.Wait(ctx, v.ID) // rides over restarts of the API
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
)

// DefaultURL is where the API listens unless told otherwise.
const DefaultURL = "http://127.0.0.1:7295"

const (
	defaultTimeout = 30 * time.Second
	longPoll       = 30 * time.Second // one held request; the server takes up to 60 s, proxies often less
	waitMargin     = 3 * time.Second  // between a held request's end and ctx's: the server may look for 2 s more
	minRound       = 500 * time.Millisecond
	maxPause       = 5 * time.Second
	resendFor      = 10 * time.Second // how long an unanswered request is sent again
	judgedWithin   = 10 * time.Second // how long a decision's answer is polled for

	// maxBody bounds one answer: a page of 100 requests with the largest arguments and results fits.
	maxBody = 160 << 20
)

// Options configures a Client. The zero value talks to DefaultURL without authentication.
type Options struct {
	URL       string        // the API's address, http or https; default DefaultURL
	Token     string        // bearer token; default: none is sent
	Reviewer  string        // name sent with decisions, for an API without authentication; default: none
	UserAgent string        // default "pawl-client"
	Timeout   time.Duration // how long one answer may take beyond the wait asked for; default 30 s
	HTTP      *http.Client  // default: a client of its own. Redirects are never followed
}

func (o *Options) validate() (*url.URL, error) {
	o.URL = cmp.Or(o.URL, DefaultURL)
	o.UserAgent = cmp.Or(o.UserAgent, "pawl-client")
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.HTTP = cmp.Or(o.HTTP, &http.Client{})
	if o.Timeout < 0 {
		return nil, approval.Errorf(approval.CodeInvalid, "client timeout %v is negative", o.Timeout)
	}
	// Never quoted: the address may hold a password.
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, approval.Errorf(approval.CodeInvalid,
			"the API address must look like %s or https://pawl.example.com", DefaultURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, approval.Errorf(approval.CodeInvalid, "the API address holds a user, query or fragment: "+
			"give scheme, host, port and path only, and credentials as a token")
	}
	for _, r := range o.Token {
		if r <= ' ' || r > '~' {
			return nil, approval.Errorf(approval.CodeInvalid, "the token holds a space, "+
				"a line break or another character that no token has: is it cut or pasted with its quotes?")
		}
	}
	return u, approval.CheckName("reviewer", o.Reviewer)
}

// Client talks to one API. It is safe for concurrent use.
type Client struct {
	o     Options
	base  string
	local bool
	http  http.Client
}

// New makes a client; it opens no connection. Errors have CodeInvalid.
func New(o Options) (*Client, error) {
	u, err := o.validate()
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	c := &Client{o: o, base: strings.TrimSuffix(u.String(), "/"), local: local, http: *o.HTTP}
	// A redirect could carry token and arguments to somebody else.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// URL returns the API's address.
func (c *Client) URL() string { return c.base }

// Local reports whether the API's address is one of this machine's own: localhost, or loopback.
func (c *Client) Local() bool { return c.local }

// Version returns which version of Pawl answers, and what it offers. Errors:
// *Error (HTTPStatus 404 from an API that is older than this route),
// *UnreachableError.
func (c *Client) Version(ctx context.Context) (rest.Version, error) {
	return ask[rest.Version](ctx, c, request{path: "/api/version"})
}

// Readiness returns how ready the API is. That it is not ready is no error: look at its field
// Ready. Errors: *Error, *UnreachableError.
func (c *Client) Readiness(ctx context.Context) (rest.Readiness, error) {
	return ask[rest.Readiness](ctx, c, request{path: "/readyz", also: http.StatusServiceUnavailable})
}

type request struct {
	method, path string // default: GET
	query        url.Values
	body         any
	wait         time.Duration // how long the server was asked to hold the answer
	also         int           // a status beyond 2xx that is an answer, too
	media        string        // of the answer; default: application/json
}

type response struct {
	status int
	header http.Header
	body   []byte
}

// send makes one HTTP request and returns a 2xx answer, or one with r.also. Errors: *Error for
// every other answer, *UnreachableError where none came.
func (c *Client) send(ctx context.Context, r request) (response, error) {
	var body io.Reader
	if r.body != nil {
		doc, err := json.Marshal(r.body)
		if err != nil {
			return response{}, fmt.Errorf("request body: %w", err)
		}
		body = bytes.NewReader(doc)
	}
	limit := r.wait + c.o.Timeout
	held, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(held, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	req, err := http.NewRequestWithContext(traced, cmp.Or(r.method, http.MethodGet), c.base+r.path, body)
	if err != nil {
		return response{}, fmt.Errorf("request: %w", err)
	}
	req.URL.RawQuery = r.query.Encode()
	media := cmp.Or(r.media, "application/json")
	req.Header.Set("Accept", media)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.identify(req)

	out, err := c.exchange(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // the rest of it repeats the address with its query
		}
		if held.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("no answer within %v", limit) // not the caller's deadline: must not look like it
		}
		return response{}, &UnreachableError{URL: c.base, Sent: sent.Load(), err: err}
	}
	if (out.status < 200 || out.status > 299) && out.status != r.also {
		return response{}, problem(out)
	}
	if !isOf(out.header, media) {
		return response{}, &Error{HTTPStatus: out.status, Code: approval.CodeInternalError,
			Detail: "what answers at " + c.base + " is not Pawl's API: its answer is not " + media}
	}
	return out, nil
}

// identify says who asks.
func (c *Client) identify(req *http.Request) {
	req.Header.Set("User-Agent", c.o.UserAgent)
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if c.o.Reviewer != "" {
		req.Header.Set(rest.HeaderReviewer, c.o.Reviewer)
	}
}

// ask sends a request and reads its answer.
func ask[T any](ctx context.Context, c *Client, r request) (answer T, err error) {
	res, err := c.send(ctx, r)
	if err == nil {
		err = decodeInto(res.body, &answer)
	}
	return answer, err
}

func decodeInto(doc []byte, answer any) error {
	if err := json.Unmarshal(doc, answer); err != nil {
		return answerError(err.Error())
	}
	return nil
}

func (c *Client) exchange(req *http.Request) (response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return response{}, err
	}
	if len(body) > maxBody {
		return response{}, fmt.Errorf("the answer is larger than %d bytes", maxBody)
	}
	return response{status: res.StatusCode, header: res.Header, body: body}, nil
}

func isOf(h http.Header, want string) bool {
	got, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && got == want
}

// resend sends a request that counts once however often it arrives, until an answer comes or
// resendFor has passed since the first failure. When nothing listens at the first try it gives up
// at once: nothing was sent, and most likely the address is wrong.
func (c *Client) resend(ctx context.Context, key string, send func() error) error {
	pause, sent := retry.Backoff{Most: maxPause}, false
	var failed time.Time
	for first := true; ; first = false {
		err := send()
		if first {
			failed = time.Now()
		}
		var u *UnreachableError
		if err == nil || !transient(err) || (first && errors.As(err, &u) && !u.Sent) {
			return err
		}
		wait, refused := refusedNow(err)
		sent = sent || !refused && (u == nil || u.Sent)
		if time.Since(failed)+wait > resendFor || !retry.Sleep(ctx, max(wait, pause.Next())) {
			if sent {
				return &UncertainError{Key: key, err: err}
			}
			return err
		}
	}
}

// path joins escaped segments.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

func checkID(field, id string) error {
	if id == "" || id == "." || id == ".." {
		return approval.Errorf(approval.CodeInvalid, "%s is missing", field)
	}
	return approval.CheckName(field, id)
}
