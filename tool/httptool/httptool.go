// Package httptool makes tools that are one HTTP POST.
//
// The arguments are the JSON body. The headers Idempotency-Key and Pawl-Call-Id hold the call's ID,
// Pawl-Digest its digest. A request is sent at most once: no redirect is followed, no connection is
// reused, nothing is sent again.
//
// How a run ends, in the words of package tool:
//
//   - result: any 2xx. A body that says it is JSON is the result as it is;
//     other text becomes a JSON string; no body is null.
//   - failed: a 4xx but for 408, 425, 429 and 499, by which the server says
//     itself that it did not do it; and everything before the first byte of the request: name lookup, dial,
//     TLS, proxy.
//   - unknown: everything else. A broken connection or a timeout after the
//     first byte, 5xx, 1xx and 3xx (a POST that redirects has often done its
//     work), 408, 425, 429 and 499 (which proxies answer, perhaps after the
//     tool ran), and a 2xx whose body is cut off, above approval.MaxResult, said
//     to be JSON but invalid, or not text.
package httptool

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

// Kind is the kind of these tools in the catalogue.
const Kind = "http"

const maxResponseHeader = 64 << 10 // bytes

// Options describes one tool.
type Options struct {
	// Name is what calls ask for. Required.
	Name string
	// Description tells agents and reviewers what the tool does. Default: none.
	Description string
	// Schema is the JSON Schema 2020-12 of the arguments. Required.
	Schema json.RawMessage
	// URL takes the POST: http or https, without a fragment. A user and password in it are sent as
	// basic authentication. Required.
	URL string
	// Timeout bounds the whole exchange, from name lookup to the last byte of the answer. Default:
	// tool.DefaultTimeout; at most tool.MaxTimeout.
	Timeout time.Duration
	// Headers are sent along, for instance Authorization. Those that this package or HTTP itself sets
	// are refused. Default: none.
	Headers map[string]string
	// Idempotent declares that the server runs a call once, however often it is asked with one
	// Idempotency-Key. Default: false.
	Idempotent bool
	// FailedStatuses and UnknownStatuses are of answers that this server means otherwise than above: by
	// the first ones it says that it did not run the tool; by the others it can't be told. Default:
	// none; from LeastStatus to MostStatus.
	FailedStatuses, UnknownStatuses []int
	// Judge tells from a result whether the tool did what was asked; see tool.Options. Default: a result
	// that has MCP's form says it itself (tool.JudgeMCP).
	Judge func(result json.RawMessage) error
}

// Statuses that an answer can have: those below are no answers yet.
const (
	LeastStatus = 200
	MostStatus  = 599
)

// New makes the tool. Its errors name what is wrong, but never show the URL or a header's value:
// both may hold secrets.
func New(o Options) (*tool.Tool, error) { return build(o, nil) }

// build is New with TLS settings; nil means the system's roots.
func build(o Options, config *tls.Config) (*tool.Tool, error) {
	if o.Judge == nil {
		o.Judge = tool.JudgeMCP
	}
	p, err := newPoster(o, config)
	if err != nil {
		return nil, approval.Errorf(approval.CodeInvalid, "tool \"%s\": %w", approval.Display(o.Name, 80), err)
	}
	return tool.Custom(o.Name, o.Schema, p.run, tool.Options{
		Description: o.Description, Idempotent: o.Idempotent, Timeout: o.Timeout, Kind: Kind, Judge: o.Judge,
	})
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$") // RFC 9110's token

// reserved are headers that Options.Headers must not change, beside those of Pawl and of proxies: this
// package sets them, or they say how the request is framed and its answer read.
var reserved = map[string]bool{
	"Accept-Encoding": true, "Connection": true, "Content-Encoding": true, "Content-Length": true,
	"Content-Type": true, "Expect": true, "Host": true, "Idempotency-Key": true, "Keep-Alive": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "User-Agent": true,
}

// CheckHeader refuses what can't be the name of a header in Options.Headers.
func CheckHeader(name string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !headerName.MatchString(name):
		return fmt.Errorf("\"%s\" is not a header's name", approval.Display(name, 80))
	case reserved[canonical], strings.HasPrefix(canonical, "Pawl-"), strings.HasPrefix(canonical, "Proxy-"):
		return fmt.Errorf("%s is set by the tool itself", canonical)
	}
	return nil
}

// poster sends one tool's calls. It is immutable.
type poster struct {
	url    *url.URL // without a user
	header http.Header
	tls    *tls.Config
	ends   map[int]end // of statuses that are sorted by Options
}

func newPoster(o Options, config *tls.Config) (*poster, error) {
	u, err := url.Parse(o.URL) // the error quotes the URL
	switch {
	case o.URL == "":
		return nil, errors.New("url is missing")
	case err != nil:
		return nil, errors.New("url can't be read as a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("url must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("url names no host")
	case u.Fragment != "" || strings.Contains(o.URL, "#"):
		return nil, errors.New("url has a fragment (#…), which is never sent; leave it out")
	}
	p := &poster{url: u, header: http.Header{}, tls: config, ends: map[int]end{}}
	for _, list := range []struct {
		statuses []int
		means    end
	}{{o.FailedStatuses, failed}, {o.UnknownStatuses, unknown}} {
		for _, status := range list.statuses {
			if _, taken := p.ends[status]; taken || status < LeastStatus || status > MostStatus {
				return nil, fmt.Errorf("the status %d is sorted twice, or not in %d to %d",
					status, LeastStatus, MostStatus)
			}
			p.ends[status] = list.means
		}
	}
	for name, value := range o.Headers {
		if err := CheckHeader(name); err != nil {
			return nil, fmt.Errorf("headers: %w: leave it out", err)
		}
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case p.header[canonical] != nil:
			return nil, fmt.Errorf("headers: %s is given twice, in different case", canonical)
		case !validHeader(value):
			return nil, fmt.Errorf("headers: the value of %s holds a control character", canonical)
		}
		p.header.Set(canonical, value)
	}
	if u.User != nil {
		if p.header["Authorization"] != nil {
			return nil, errors.New("headers: Authorization is set, and url holds a user too; keep one of them")
		}
		password, _ := u.User.Password()
		basic := http.Request{Header: p.header}
		basic.SetBasicAuth(u.User.Username(), password)
		u.User = nil
	}
	p.header.Set("Content-Type", "application/json")
	p.header.Set("User-Agent", "pawl")
	return p, nil
}

func validHeader(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// run is a tool.Func; ctx ends at the tool's timeout.
func (p *poster) run(ctx context.Context, c tool.Invocation) (json.RawMessage, error) {
	if c.CallID == "" || c.Digest == "" || !validHeader(c.CallID) || !validHeader(c.Digest) {
		return nil, tool.Failed(errors.New("nothing was sent: " +
			"the call's ID or digest is missing or can't stand in a header"))
	}
	line := &line{}
	// A connection is handed over only when dial, proxy and TLS are done: what
	// is written from then on is the request.
	ctx = httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { line.arm() }})
	req := (&http.Request{
		Method: http.MethodPost, URL: p.url, Host: p.url.Host, Header: p.header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		// Without GetBody even a transport that wanted to could not send twice.
		Body: io.NopCloser(bytes.NewReader(c.Args)), ContentLength: int64(len(c.Args)),
	}).WithContext(ctx)
	req.Header.Set("Idempotency-Key", c.CallID)
	req.Header.Set("Pawl-Call-Id", c.CallID)
	req.Header.Set("Pawl-Digest", c.Digest)

	transport := p.transport(line)
	defer transport.CloseIdleConnections()
	// RoundTrip, not a Client: one request, no redirects, no cookies.
	resp, err := transport.RoundTrip(req)
	if err != nil {
		if line.close() {
			return nil, tool.Unknown(fmt.Errorf("%s may have run the tool: %s after the request was sent",
				p.host(), broken(ctx)))
		}
		return nil, tool.Failed(fmt.Errorf("%s was not asked: %s", p.host(), unsent(ctx, err)))
	}
	defer resp.Body.Close()
	return p.answer(ctx, resp)
}

// transport makes a transport for one request. Sharing one would let a dead
// pooled connection look like a request that was sent.
func (p *poster) transport(l *line) *http.Transport {
	only1 := new(http.Protocols)
	only1.SetHTTP1(true) // HTTP/2 retries by itself
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watched{Conn: conn, line: l}, nil
		},
		TLSClientConfig:        p.tls,
		Protocols:              only1,
		DisableKeepAlives:      true,
		DisableCompression:     true, // a result's size is what was sent
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// host is the part of the URL that errors may show.
func (p *poster) host() string { return approval.Display(p.url.Host, 200) }

var errClosed = errors.New("the request was given up")

// line watches the connection of one request, so that "nothing was sent" is a fact and not a guess
// from an error's text.
type line struct {
	mu      sync.Mutex
	armed   bool // writes are the request from here on, not proxy or TLS talk
	writing int  // request writes under way
	sent    bool // at least one byte of the request was taken by the kernel
	closed  bool
}

func (l *line) arm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = true
}

// close stops further writes and reports whether the request may have left: a byte was written, or
// a write is under way.
func (l *line) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.sent || l.writing > 0
}

func (l *line) begin() (request bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, errClosed
	}
	if l.armed {
		l.writing++
	}
	return l.armed, nil
}

func (l *line) end(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing--
	l.sent = l.sent || n > 0
}

// watched is a connection whose writes its line sees. For TLS it sits below the encryption.
type watched struct {
	net.Conn
	line *line
}

func (w *watched) Write(b []byte) (n int, err error) {
	request, err := w.line.begin()
	if err != nil {
		return 0, err
	}
	if request {
		defer func() { w.line.end(n) }()
	}
	return w.Conn.Write(b)
}
