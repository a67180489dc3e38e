package mcp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/internal/retry"
)

const (
	headerSession = "Mcp-Session-Id"
	headerVersion = "Mcp-Protocol-Version"

	metaVersion = "io.modelcontextprotocol/protocolVersion"
	// newEra is the first version of the protocol in which requests say of themselves all that a server
	// needs, in headers, too.
	newEra = "2026-07-28"

	resumeTimes = 5 // how often a stream that broke is taken up again
)

// remote is a server that is reached by Streamable HTTP.
type remote struct {
	url    string
	header http.Header
	http   *http.Client
	to     receiver

	ctx    context.Context
	cancel context.CancelFunc
	posts  sync.WaitGroup // requests under way
	stream sync.WaitGroup // the stream of what the server says unasked
	closed atomic.Bool

	one sync.Mutex // the receiver takes one at a time

	mu               sync.Mutex
	session, version string
	streaming        bool
	open             map[string]*opened // requests under way, by their ID
}

// opened is a request under way.
type opened struct {
	newEra    bool // it is cancelled by closing it
	hangUp    context.CancelFunc
	cancelled bool
}

// Remote returns how to reach a server at an address. The headers go with every request. Redirects are
// not followed: they could carry arguments and headers to somebody else.
func Remote(url string, header http.Header) Upstream {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &http.Client{CheckRedirect: stay}
	return Upstream{dial: func(to receiver) (upstream, error) {
		r := &remote{url: url, header: header, http: c, to: to, open: map[string]*opened{}}
		r.ctx, r.cancel = context.WithCancel(context.Background())
		return r, nil
	}}
}

func (r *remote) send(m message) error {
	if r.closed.Load() {
		return errors.New("the session has ended")
	}
	if m.method == methodCancelled && r.hangUp(m) {
		return nil
	}
	ctx, hangUp := context.WithCancel(r.ctx)
	o := &opened{newEra: r.versionFor(m) >= newEra, hangUp: hangUp}
	if m.method != "" && m.id != nil {
		r.mu.Lock()
		r.open[m.key()] = o
		r.mu.Unlock()
	}
	r.posts.Go(func() {
		defer hangUp()
		r.post(ctx, m, o)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.open[m.key()] == o {
			delete(r.open, m.key())
		}
	})
	return nil
}

// hangUp closes the request that a frame cancels, if that is how its server hears of it.
func (r *remote) hangUp(cancel message) bool {
	at, ok := locate(cancel.raw, "params", "requestId")
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.open[idKey(at.of(cancel.raw))]
	if !ok || o == nil || !o.newEra {
		return false
	}
	o.cancelled = true
	o.hangUp()
	return true
}

// versionFor is the version of the protocol that a frame is of: it says so itself, or the session does.
func (r *remote) versionFor(m message) string {
	r.mu.Lock()
	version := r.version
	r.mu.Unlock()
	if at, ok := locate(m.raw, "params", "_meta", metaVersion); ok {
		var own string
		if json.Unmarshal(at.of(m.raw), &own) == nil {
			version = cmp.Or(own, version)
		}
	}
	return version
}

// close lets what runs go on for a while, and ends the session.
func (r *remote) close() {
	if r.closed.Swap(true) {
		return
	}
	timer := time.AfterFunc(grace, r.cancel)
	r.posts.Wait()
	timer.Stop()
	r.mu.Lock()
	session := r.session
	r.mu.Unlock()
	if session != "" {
		ctx, cancel := context.WithTimeout(r.ctx, grace)
		if res, err := r.do(ctx, http.MethodDelete, message{}, ""); err == nil {
			_ = res.Body.Close()
		}
		cancel()
	}
	r.cancel()
	r.stream.Wait()
	r.to.ended(errors.New("the session has ended"))
}

// do sends one HTTP request.
func (r *remote) do(ctx context.Context, method string, m message, after string) (*http.Response, error) {
	var body io.Reader
	if len(m.raw) > 0 {
		body = bytes.NewReader(m.raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	version := r.versionFor(m)
	r.mu.Lock()
	if r.session != "" {
		req.Header.Set(headerSession, r.session)
	}
	r.mu.Unlock()
	accept := "application/json, text/event-stream"
	if method == http.MethodGet {
		accept = "text/event-stream"
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	params := m.field("params")
	if at, err := fields(params, "name", "uri"); err == nil && version >= newEra && m.method != "" {
		req.Header.Set("Mcp-Method", m.method)
		if name := cmp.Or(text(params, at, "name"), text(params, at, "uri")); name != "" {
			req.Header.Set("Mcp-Name", headerValue(name))
		}
	}
	if version != "" {
		req.Header.Set(headerVersion, version)
	}
	return r.http.Do(req)
}

// post sends a frame, and takes what comes in answer to it. Of a request that its client cancelled nobody
// hears any more.
func (r *remote) post(ctx context.Context, m message, o *opened) {
	lost := func(why error, acted bool) {
		r.mu.Lock()
		cancelled := o.cancelled
		r.mu.Unlock()
		if m.method == "" || m.id == nil || cancelled {
			return
		}
		r.one.Lock()
		defer r.one.Unlock()
		r.to.lost(m.id, why, acted)
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	res, err := r.do(ctx, http.MethodPost, m, "")
	if err != nil {
		lost(unwrapURL(err), sent.Load())
		return
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// A refusal may say why in a frame of its own.
		doc, err := io.ReadAll(io.LimitReader(res.Body, maxFrame))
		refused := res.StatusCode >= 400 && res.StatusCode < 500 && !slices.Contains(perhapsRun, res.StatusCode)
		why := fmt.Errorf("HTTP status %d (%s)", res.StatusCode, http.StatusText(res.StatusCode))
		if got, err := parse(doc); err == nil && refused && m.method == methodCall {
			failed := got.field("error")
			if code, text := failureOf(failed); len(failed) > 0 && !slices.Contains(notRun, code) {
				lost(fmt.Errorf("%w: %s", why, text), false) // its code alone would leave that open
				return
			}
		}
		if answers, _ := r.take(doc, m, refused); err == nil && answers {
			return
		}
		lost(why, !refused)
		return
	}
	if m.method == methodInitialize {
		r.mu.Lock()
		r.session = res.Header.Get(headerSession)
		r.mu.Unlock()
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch kind {
	case "text/event-stream":
		if err := r.events(ctx, res.Body, m); err != nil {
			lost(err, true)
		}
	default:
		doc, err := io.ReadAll(io.LimitReader(res.Body, maxFrame))
		if answers, _ := r.take(doc, m, true); err != nil || !answers {
			lost(cmp.Or(err, errors.New("it gave no answer that can be read")), true)
		}
	}
	if m.method == "notifications/initialized" {
		r.listen()
	}
}

// take hands a frame on, and reports whether it answers m. Refusals of requests are handed on only with
// any, or if they are no frames.
func (r *remote) take(doc []byte, m message, handOn bool) (answers, frame bool) {
	got, err := parse(doc)
	if err != nil {
		return false, false
	}
	answers = got.method == "" && m.id != nil && got.key() == m.key()
	if !handOn {
		return false, true
	}
	if answers && m.method == methodInitialize {
		result := got.field("result")
		if at, err := fields(result, "protocolVersion"); err == nil {
			r.mu.Lock()
			r.version = text(result, at, "protocolVersion")
			r.mu.Unlock()
		}
	}
	if got.method != "" || answers {
		r.one.Lock()
		r.to.receive(got.raw)
		r.one.Unlock()
	}
	return answers, true
}

// events takes the frames of a stream until the answer to m has come. A stream that ends before is taken
// up where it ended, if the server says how: that repeats no request.
func (r *remote) events(ctx context.Context, body io.Reader, m message) error {
	pause := retry.Backoff{Most: grace}
	last := ""
	for try := 0; ; try++ {
		answered := false
		id, err := readEvents(body, func(data []byte) bool {
			if answers, _ := r.take(data, m, true); answers {
				answered = true
			}
			return !answered
		})
		last = cmp.Or(id, last)
		switch {
		case answered, m.id == nil:
			return nil
		case last == "" || try == resumeTimes || ctx.Err() != nil:
			return cmp.Or(unwrapURL(err), ctx.Err(), errors.New("its stream ended without an answer"))
		}
		if !pause.Wait(ctx) {
			return ctx.Err()
		}
		res, err := r.do(ctx, http.MethodGet, message{}, last)
		if err != nil {
			body = strings.NewReader("")
			continue
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("its stream ended, and going on was answered with HTTP status %d", res.StatusCode)
		}
		body = res.Body
	}
}

// listen takes what the server says unasked, as long as the session lasts; many servers offer no such
// stream.
func (r *remote) listen() {
	r.mu.Lock()
	already := r.streaming || r.version >= newEra
	r.streaming = true
	r.mu.Unlock()
	if already {
		return
	}
	r.stream.Go(func() {
		pause := retry.Backoff{}
		last := ""
		for pause.Wait(r.ctx) {
			res, err := r.do(r.ctx, http.MethodGet, message{}, last)
			if err != nil {
				continue
			}
			if res.StatusCode != http.StatusOK {
				_ = res.Body.Close()
				return
			}
			id, _ := readEvents(res.Body, func(data []byte) bool {
				r.take(data, message{}, true)
				pause.Reset()
				return true
			})
			last = cmp.Or(id, last)
			_ = res.Body.Close()
		}
	})
}

// readEvents calls each with the data of every event, until that returns false or the stream ends. It
// returns the last event's ID.
func readEvents(body io.Reader, each func(data []byte) bool) (last string, err error) {
	scanner := bufio.NewScanner(body)
	scanner.Buffer(make([]byte, 0, 64<<10), maxFrame)
	var data []string
	for scanner.Scan() {
		line := strings.TrimSuffix(scanner.Text(), "\r")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if text := strings.Join(data, "\n"); strings.TrimSpace(text) != "" && !each([]byte(text)) {
				return last, nil
			}
			data = nil
		case field == "data":
			data = append(data, value)
		case field == "id":
			last = value
		}
	}
	return last, scanner.Err()
}

// headerValue is a text as a header may have it.
func headerValue(s string) string {
	for _, r := range s {
		if r < ' ' || r > '~' {
			doc, _ := json.Marshal([]byte(s)) // base64
			return "=?base64?" + strings.Trim(string(doc), `"`) + "?="
		}
	}
	return s
}

// unwrapURL drops the address from an error: it may hold a secret.
func unwrapURL(err error) error {
	var inner interface{ Unwrap() error }
	if errors.As(err, &inner) && inner.Unwrap() != nil {
		return inner.Unwrap()
	}
	return err
}
