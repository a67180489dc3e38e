package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
)

// maxBody bounds request bodies: the largest call, and room for its escapes.
const maxBody = 384 << 10

// bodies are the bounds of routes that take more.
var bodies = map[string]int64{
	"PUT /api/policy":               maxPolicyBody,
	"POST /api/requests/:id/settle": approval.MaxResult + maxBody,
	"POST /api/calls/:id/outcome":   approval.MaxResult + maxBody,
	"PUT /api/agents/:agent/tools":  maxPolicyBody,
}

// handler answers a request, or returns what fail makes a problem of.
type handler func(c *gin.Context) error

func (s *Server) answer(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			s.fail(c, err)
		}
	}
}

// logRequest writes the access log: the route's pattern, never the path, whose parameters are
// somebody's data.
func (s *Server) logRequest(c *gin.Context) {
	start := time.Now()
	c.Next()
	s.o.Logger.DebugContext(c.Request.Context(), "http request",
		"method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(),
		"bytes", c.Writer.Size(), "duration", time.Since(start))
}

func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { // net/http's way to drop a connection
			panic(v)
		}
		// Other panic values may hold a caller's data.
		text := fmt.Sprintf("%T", v)
		if err, ok := v.(runtime.Error); ok {
			text = err.Error()
		}
		s.o.Logger.ErrorContext(c.Request.Context(),
			"panic in a handler", "panic", text, "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		s.fail(c, internalError(nil))
	}()
	c.Next()
}

var wrongHost = newProblem(http.StatusMisdirectedRequest, rest.CodeHost,
	"The API does not answer under this Host name. Use 127.0.0.1 or localhost with the right port, "+
		"or have the operator allow the name.")

var crossOrigin = http.NewCrossOriginProtection()

// checkSource keeps browsers out that another site sent (Origin check), or that were told that a
// foreign name is this machine (DNS rebinding: Host check).
func (s *Server) checkSource(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if !s.hostAllowed(c.Request) {
		s.fail(c, wrongHost)
		return
	}
	if crossOrigin.Check(c.Request) != nil || s.unencryptedTwin(c.Request) {
		s.fail(c, newProblem(http.StatusForbidden, rest.CodeCrossOrigin,
			"The request comes from a page of another site, which may not change anything here."))
		return
	}
	c.Next()
}

// looksAhead tells whether nobody may ever see the answer to a request: a browser asks ahead, or for
// the header only.
func looksAhead(r *http.Request) bool {
	purpose := r.Header.Get("Sec-Purpose") + r.Header.Get("Purpose")
	return r.Method == http.MethodHead || r.Method == http.MethodGet && strings.Contains(purpose, "prefetch")
}

// unencryptedTwin tells whether a page of the public URL's host, but without TLS, sends a request that
// changes something. Who is on the network can write such a page, and the check for other sites
// compares hosts only where a browser does not say Sec-Fetch-Site.
func (s *Server) unencryptedTwin(r *http.Request) bool {
	host, encrypted := strings.CutPrefix(strings.TrimSuffix(s.o.PublicURL, "/"), "https://")
	safe := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method)
	if safe || !encrypted {
		return false
	}
	host, _, _ = strings.Cut(host, "/")
	return strings.EqualFold(r.Header.Get("Origin"), "http://"+host)
}

// hostAllowed compares the Host header with the names the API answers to.
func (s *Server) hostAllowed(r *http.Request) bool {
	u := url.URL{Host: r.Host}
	name, port := strings.ToLower(u.Hostname()), u.Port()
	own := port == "" || port == localPort(r)
	if own && name == "localhost" {
		return true
	}
	if a, err := netip.ParseAddr(name); own && err == nil && a.Zone() == "" && a.Unmap().IsLoopback() {
		return true
	}
	return slices.ContainsFunc(s.o.Hosts, func(allowed string) bool {
		return strings.EqualFold(allowed, r.Host) || own && strings.EqualFold(allowed, name)
	})
}

func localPort(r *http.Request) string {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return port
}

func checkHost(h string) error {
	if u, err := url.Parse("//" + h); err != nil || h == "" || u.Host != h || u.Hostname() == "" {
		return fmt.Errorf("api: Options.Hosts: %q is not a host name: use \"name\" or \"name:port\"",
			approval.Display(h, 100))
	}
	return nil
}

// bodyKey is where readBody leaves the request's body.
const bodyKey = "body"

// readBody reads the whole body, if a route is served and the caller is known, or signs in. Then it lifts the
// connection's read deadline, which would count as the client's disconnect while a request waits.
func (s *Server) readBody(c *gin.Context) {
	signsIn := c.Request.Method == http.MethodPost && c.FullPath() == sessionPath
	if c.FullPath() == "" || principal(c).Subject == "" && !signsIn {
		c.Next()
		return
	}
	most := max(maxBody, bodies[c.Request.Method+" "+c.FullPath()])
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, most))
	if err != nil {
		s.fail(c, cmp.Or(unreadBody(err, most), invalid("The body could not be read to its end.")))
		return
	}
	// Not every ResponseWriter has deadlines; those without need none lifted.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{})
	c.Set(bodyKey, body)
	c.Next()
}

// unreadBody says why a body was not read: it was too large, or too slow. Nil: there is another
// reason.
func unreadBody(err error, most int64) error {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return newProblem(http.StatusRequestEntityTooLarge, rest.CodeTooLarge,
			fmt.Sprintf("The body is larger than %d bytes, the most that is accepted.", most))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, rest.CodeInvalidRequest, "The body took too long to arrive.")
	}
	return nil
}

// decode reads the body into v, strictly. An empty body leaves v alone where it is optional.
func decode(c *gin.Context, v any, optional bool) error {
	body, _ := c.MustGet(bodyKey).([]byte)
	types := c.Request.Header.Values("Content-Type")
	if len(body) == 0 && optional && len(types) == 0 {
		return nil
	}
	mediaType := ""
	if len(types) == 1 {
		if m, _, err := mime.ParseMediaType(types[0]); err == nil {
			mediaType = m
		}
	}
	encoding := cmp.Or(c.Request.Header.Get("Content-Encoding"), "identity")
	if mediaType != "application/json" || encoding != "identity" {
		return newProblem(http.StatusUnsupportedMediaType, rest.CodeMediaType,
			"Send the body as Content-Type: application/json, without Content-Encoding.")
	}
	if len(body) == 0 && optional {
		return nil
	}
	if err := strictjson.Decode(body, v); err != nil {
		return approval.Errorf(approval.CodeInvalid, "body: %w", err)
	}
	return nil
}
