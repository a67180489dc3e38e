package httptool

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/tool"
)

// secret stands in every URL and header of these tests, and in no error.
const secret = "s3cr3t"

// proxied counts what the proxy that TestMain sets for https was asked for.
var proxied atomic.Int32

// TestMain sets a proxy before net/http reads the environment, which it does once. Local addresses
// never go through it; it refuses everything else.
func TestMain(m *testing.M) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		http.Error(w, secret, http.StatusForbidden)
	}))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "https_proxy"} {
		os.Unsetenv(name)
	}
	os.Setenv("HTTPS_PROXY", "http://user:"+secret+"@"+l.Addr().String())
	os.Exit(m.Run())
}

// options asks for a tool at address, with secrets wherever they may stand.
func options(address string) Options {
	scheme, rest, _ := strings.Cut(address, "://")
	return Options{
		Name: "charge_card", Schema: json.RawMessage(`{"type": "object"}`), Timeout: 10 * time.Second,
		URL:     scheme + "://user:" + secret + "@" + rest + "/charge?token=" + secret,
		Headers: map[string]string{"x-api-key": secret},
	}
}

// run says how a run of the tool ended: "result", "failed" or "unknown".
func run(t *testing.T, o Options, config *tls.Config) (end, text string) {
	t.Helper()
	made, err := build(o, config)
	if err != nil {
		t.Fatal(err)
	}
	result, err := made.Run(t.Context(), tool.Invocation{CallID: "pawl-1", Digest: "d1", Args: json.RawMessage(`{"amount": 5}`)})
	switch {
	case err == nil:
		return "result", string(result)
	case result != nil:
		t.Errorf("result %.80s beside error %v", result, err)
	case strings.Contains(err.Error(), secret):
		t.Errorf("the error shows a secret: %v", err)
	}
	if tool.IsUnknown(err) {
		return "unknown", err.Error()
	}
	return "failed", err.Error()
}

func expect(t *testing.T, o Options, config *tls.Config, end, text string) {
	t.Helper()
	gotEnd, gotText := run(t, o, config)
	if gotEnd != end || !strings.Contains(gotText, text) {
		t.Errorf("got %s %.300q\nwant %s with %q", gotEnd, gotText, end, text)
	}
}

// raw serves connections one by one and counts them.
func raw(t *testing.T, serve func(*net.TCPConn)) (address string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			serve(conn.(*net.TCPConn))
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); served.Wait() })
	return "http://" + l.Addr().String(), connections
}

// read takes one whole request.
func read(conn net.Conn) error {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err
}

// says reads one request and answers with these bytes.
func says(answer string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		if read(conn) == nil {
			io.WriteString(conn, answer)
		}
	}
}

func TestRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		got := fmt.Sprintf("%s %s body=%s length=%d user=%s password=%s close=%v proto=%s", r.Method, r.URL, body, r.ContentLength, user, password, r.Close, r.Proto)
		const want = `POST /charge?token=s3cr3t body={"amount": 5} length=13 user=user password=s3cr3t close=true proto=HTTP/1.1`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Idempotency-Key": "pawl-1", "Pawl-Call-Id": "pawl-1", "Pawl-Digest": "d1",
			"User-Agent": "pawl", "X-Api-Key": secret, "Accept-Encoding": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}))
	defer server.Close()
	expect(t, options(server.URL), nil, "result", "null")
}

func TestAnswers(t *testing.T) {
	text := "text/plain; charset=utf-8"
	for name, c := range map[string]struct {
		status      int
		media, body string
		end, want   string
	}{
		"JSON":               {200, "application/json", " {\"a\": 1}\n", "result", `{"a":1}`},
		"JSON of a vendor":   {201, "application/vnd.x+json; charset=utf-8", `[1]`, "result", `[1]`},
		"odd JSON":           {200, "application/json", `{"a":1,"a":9007199254740993}`, "result", `{"a":1,"a":9007199254740993}`},
		"broken parameter":   {200, "application/json; charset", `1`, "result", `1`},
		"text":               {200, text, `{"a": 1}`, "result", `"{\"a\": 1}"`},
		"no type":            {200, "", "done", "result", `"done"`},
		"no content":         {204, "", "", "result", "null"},
		"empty JSON":         {200, "application/json", "", "result", "null"},
		"largest":            {200, "application/json", `"` + strings.Repeat("x", approval.MaxResult-2) + `"`, "result", "xxx"},
		"too big":            {200, "application/json", `"` + strings.Repeat("x", approval.MaxResult-1) + `"`, "unknown", "larger than 1048576 bytes"},
		"too big as JSON":    {200, text, strings.Repeat("\"", approval.MaxResult), "unknown", "can't be delivered"},
		"invalid JSON":       {200, "application/json", `{"` + secret, "unknown", "says it is JSON and is not"},
		"not text":           {200, text, "\xff\xfe" + secret, "unknown", "neither JSON nor UTF-8"},
		"not found":          {404, text, "no such \x1b[31mcard\n", "failed", `answered 404 Not Found: no such \u{001B}[31mcard`},
		"declined":           {402, "application/problem+json", `{"title": "declined"}`, "failed", `answered 402 Payment Required: {"title": "declined"}`},
		"long explanation":   {400, text, strings.Repeat("é", 100_000), "failed", "bytes more)"},
		"binary explanation": {400, "image/png", "\x89PNG" + secret, "failed", "answered 400 Bad Request"},
		"bare refusal":       {422, text, "", "failed", "answered 422 Unprocessable Entity"},
		"server error":       {500, text, "out of ink", "unknown", "answered 500 Internal Server Error: out of ink"},
		"unavailable":        {503, "", "", "unknown", "answered 503 Service Unavailable"},
		"odd status":         {799, "", "", "unknown", "answered 799"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.Header()["Content-Type"] = []string{c.media}
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			defer server.Close()
			expect(t, options(server.URL), nil, c.end, c.want)
			if asked.Load() != 1 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

func TestCutExplanationHidesHalfASecret(t *testing.T) {
	r := redact.New([]string{"password"}, approval.RedactNone)
	r.Args(json.RawMessage(`{"password":"cörrect <horse>"}`))
	for lead := 480; lead < 510; lead++ {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, strings.Repeat("x", lead)+`c\u00f6rrect \u003Chorse> and more`)
		}))
		_, text := run(t, options(server.URL), nil)
		server.Close()
		if got := r.Text(text); strings.Contains(got, `c\u00f6rr`) || strings.Contains(got, "horse") {
			t.Errorf("behind %d characters: …%q", lead, got[len(got)-60:])
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target.URL+"/?"+secret)
			w.WriteHeader(status)
		}))
		expect(t, options(server.URL), nil, "unknown", fmt.Sprintf("answered %d", status))
		server.Close()
	}
	if reached.Load() != 0 {
		t.Errorf("the target was reached %d times", reached.Load())
	}
}

func TestNothingSentIsFailed(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	unknownCA := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked in spite of the certificate") }))
	unknownCA.Config.ErrorLog = silent()
	unknownCA.StartTLS()
	defer unknownCA.Close()
	hangsUp, _ := raw(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 1)) })

	before := proxied.Load()
	for name, c := range map[string]struct{ address, want string }{
		"refused port":          {"http://" + closed.Addr().String(), "connection refused"},
		"no such name":          {"http://tool.invalid", "its name"},
		"TLS to a plain port":   {strings.Replace(plain.URL, "http", "https", 1), "does not speak TLS"},
		"unknown certificate":   {unknownCA.URL, "certificate is not accepted"},
		"hang-up in handshake":  {strings.Replace(hangsUp, "http", "https", 1), "was not asked"},
		"refused by the proxy":  {"https://tool.invalid", "no connection could be made"},
		"port out of the range": {"http://127.0.0.1:99999", "was not asked"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, options(c.address), nil, "failed", c.want) })
	}
	if asked := proxied.Load() - before; asked != 1 {
		t.Errorf("the proxy was asked %d times", asked)
	}
}

func TestTimeBeforeAndAfterSending(t *testing.T) {
	untilTheClientLeaves := func(conn *net.TCPConn) { io.Copy(io.Discard, conn) }
	deaf, _ := raw(t, untilTheClientLeaves)
	slow, _ := raw(t, func(conn *net.TCPConn) {
		says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123")(conn)
		untilTheClientLeaves(conn)
	})
	for name, c := range map[string]struct{ address, end, want string }{
		"in the handshake": {strings.Replace(deaf, "http", "https", 1), "failed", "no connection was made in time"},
		"before an answer": {deaf, "unknown", "time ran out after the request was sent"},
		"in the body":      {slow, "unknown", "time ran out before it was complete"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(c.address)
			o.Timeout = 100 * time.Millisecond
			expect(t, o, nil, c.end, c.want)
		})
	}
}

func TestBrokenConnectionsAfterSendingAreUnknown(t *testing.T) {
	reset := func(conn *net.TCPConn) { conn.SetLinger(0) }
	for name, c := range map[string]struct {
		serve func(*net.TCPConn)
		want  string
	}{
		"reset while reading": {func(conn *net.TCPConn) { conn.Read(make([]byte, 1)); reset(conn) }, "may have run the tool"},
		"hang-up after it":    {says(""), "may have run the tool"},
		"reset after it":      {func(conn *net.TCPConn) { read(conn); reset(conn) }, "may have run the tool"},
		"not HTTP":            {says("SSH-2.0-x\r\n"), "may have run the tool"},
		"endless headers":     {says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "may have run the tool"},
		"half a header":       {says("HTTP/1.1 200 OK\r\nContent-Le"), "may have run the tool"},
		"half a body":         {says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n123"), "before it was complete"},
		"half a chunk":        {says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123"), "before it was complete"},
		"switches protocols":  {says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "answered 101"},
	} {
		t.Run(name, func(t *testing.T) {
			address, connections := raw(t, c.serve)
			expect(t, options(address), nil, "unknown", c.want)
			if connections.Load() != 1 {
				t.Errorf("%d connections for one call", connections.Load())
			}
		})
	}
}

func TestTLS(t *testing.T) {
	var answer atomic.Bool
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !answer.Load() {
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.ErrorLog = silent()
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	config := &tls.Config{RootCAs: roots}

	// Bytes of the handshake are not the request's, and the request's count.
	expect(t, options(server.URL), config, "unknown", "may have run the tool")
	answer.Store(true)
	expect(t, options(server.URL), config, "result", "null")
	if asked.Load() != 2 {
		t.Errorf("asked %d times for two calls", asked.Load())
	}
}

// A pooled connection that dies makes net/http send a request with an Idempotency-Key again. The
// first half shows that this server provokes it.
func TestNothingIsEverSentTwice(t *testing.T) {
	serve := func(t *testing.T) (string, *atomic.Int32) {
		requests := new(atomic.Int32)
		address, _ := raw(t, func(conn *net.TCPConn) {
			r := bufio.NewReader(conn)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				if requests.Add(1) > 1 {
					return
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		return address, requests
	}

	address, requests := serve(t)
	plain := &http.Client{Transport: &http.Transport{}}
	for range 2 {
		req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "pawl-1")
		if resp, err := plain.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	if requests.Load() != 3 {
		t.Fatalf("net/http sent %d requests; this test expects it to repeat the second", requests.Load())
	}

	address, requests = serve(t)
	o := options(address)
	o.Idempotent = true
	expect(t, o, nil, "result", "null")
	expect(t, o, nil, "unknown", "may have run the tool")
	if requests.Load() != 2 {
		t.Errorf("%d requests for two calls", requests.Load())
	}
}
