package mcp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

const (
	maxPosted = 4 << 20 // bytes of a frame that a client posts
	// trusted is how long a credential that Pawl knew counts without asking again. Calls of tools go to
	// Pawl with it each time.
	trusted     = 30 * time.Second
	idle        = 30 * time.Minute // after which a session that nobody uses ends
	maxSessions = 64               // of one credential
)

// ErrOpen is why clients of other machines are served only where Pawl's API knows its callers: else whoever
// reaches the gateway could use its server's tools, as whoever they say.
var ErrOpen = errors.New("the API does not ask who its callers are, so this gateway serves this machine " +
	"alone: listen on 127.0.0.1, or start the API with --auth")

// Listener serves clients by Streamable HTTP. Each shows a credential of its own for Pawl.
type Listener struct {
	g    *Gateway
	host string

	mu       sync.Mutex
	sessions map[string]*web      // by ID; what clients without sessions share, by their credential
	known    map[string]time.Time // credentials, and when Pawl knew them
	closing  bool
	ends     sync.WaitGroup
	sweeper  *time.Ticker
	done     chan struct{}
}

// Listen makes the handler of an address on which clients are served. What Options.API returns must use
// the token it is given, and no other.
func (g *Gateway) Listen(address string) *Listener {
	host, _, _ := net.SplitHostPort(address)
	l := &Listener{
		g: g, host: host, sessions: map[string]*web{}, known: map[string]time.Time{},
		sweeper: time.NewTicker(time.Minute), done: make(chan struct{}),
	}
	go l.sweep()
	return l
}

// Close ends all sessions.
func (l *Listener) Close() {
	l.mu.Lock()
	if !l.closing {
		close(l.done)
	}
	l.closing = true
	all := l.sessions
	l.sessions = map[string]*web{}
	l.mu.Unlock()
	for _, w := range all {
		l.end(w)
	}
	l.ends.Wait()
}

func (l *Listener) sweep() {
	defer l.sweeper.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-l.sweeper.C:
		}
		l.mu.Lock()
		for id, w := range l.sessions {
			if w.unused() > idle {
				delete(l.sessions, id)
				l.end(w)
			}
		}
		l.mu.Unlock()
	}
}

// end closes a session that nobody finds any more.
func (l *Listener) end(w *web) {
	l.ends.Go(func() {
		w.s.close()
		w.drop()
	})
}

// ServeHTTP serves one request of a client.
func (l *Listener) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if err := l.local(r); err != nil {
		http.Error(rw, err.Error(), http.StatusForbidden)
		return
	}
	token := strings.TrimSpace(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	api, status, err := l.authenticate(r, token)
	if err != nil {
		if status == http.StatusUnauthorized {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			if token == "" {
				err = errors.New("have the client send an agent's token for Pawl, as Authorization: Bearer TOKEN")
			}
		}
		http.Error(rw, "Pawl: "+reason(err), status)
		return
	}
	credential := digest(token)
	id := r.Header.Get(headerSession)
	switch r.Method {
	case http.MethodPost:
		l.post(rw, r, api, credential, id)
	case http.MethodGet:
		if w := l.find(id, credential); w != nil {
			w.listen(rw, r)
		} else if id == "" {
			http.Error(rw, "there is no stream without a session", http.StatusMethodNotAllowed)
		} else {
			http.Error(rw, "there is no such session", http.StatusNotFound)
		}
	case http.MethodDelete:
		w := l.find(id, credential)
		if w == nil || id == "" {
			http.Error(rw, "there is no such session", http.StatusNotFound)
			return
		}
		l.mu.Lock()
		delete(l.sessions, id)
		l.mu.Unlock()
		l.end(w)
		rw.WriteHeader(http.StatusNoContent)
	default:
		rw.Header().Set("Allow", "POST, GET, DELETE")
		http.Error(rw, "POST, GET or DELETE", http.StatusMethodNotAllowed)
	}
}

// local refuses what another site's page sends, also by a name of its own for this machine.
func (l *Listener) local(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return err
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if loopback(l.host) && !loopback(strings.Trim(host, "[]")) {
		return errors.New("this address is for this machine only")
	}
	return nil
}

// loopback reports whether a host is this machine, for nobody else.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// authenticate asks Pawl who shows a token.
func (l *Listener) authenticate(r *http.Request, token string) (*client.Client, int, error) {
	api, err := l.g.o.API(token)
	if err != nil {
		return nil, http.StatusUnauthorized, err
	}
	key := digest(token)
	if proxied(r) {
		key += " by a proxy"
	}
	l.mu.Lock()
	fresh := time.Since(l.known[key]) < trusted
	l.mu.Unlock()
	if fresh {
		return api, 0, nil
	}
	who, err := api.Whoami(r.Context())
	if e, ok := errors.AsType[*client.Error](err); ok && e.HTTPStatus < 500 {
		return nil, e.HTTPStatus, err
	}
	if err != nil {
		return nil, http.StatusServiceUnavailable, err
	}
	if who.Method == rest.MethodNone && (!loopback(l.host) || proxied(r)) {
		return nil, http.StatusForbidden, ErrOpen
	}
	l.mu.Lock()
	for old, at := range l.known {
		if time.Since(at) > trusted {
			delete(l.known, old)
		}
	}
	l.known[key] = time.Now()
	l.mu.Unlock()
	return api, 0, nil
}

// proxied reports whether a proxy says that it hands a request on from elsewhere.
func proxied(r *http.Request) bool {
	return r.Header.Get("Forwarded")+r.Header.Get("X-Forwarded-For")+r.Header.Get("X-Real-Ip") != ""
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return string(sum[:])
}

// find returns a session of a credential's own.
func (l *Listener) find(id, credential string) *web {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.sessions[id]
	if id == "" || w == nil || w.credential != credential || w.shared {
		return nil
	}
	return w
}

// post takes a frame.
func (l *Listener) post(rw http.ResponseWriter, r *http.Request, api *client.Client, credential, id string) {
	refuse := func(status, code int, err error) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_, _ = rw.Write(refusal(nil, code, "Pawl did not forward this: "+reason(err)))
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxPosted))
	if err != nil {
		refuse(http.StatusRequestEntityTooLarge, codeInvalidRequest,
			errors.New("the frame can't be read, or is too long"))
		return
	}
	m, err := parse(body)
	if err != nil {
		refuse(http.StatusBadRequest, codeInvalidRequest, err)
		return
	}
	var w *web
	switch {
	case id != "":
		if w = l.find(id, credential); w == nil {
			http.Error(rw, "there is no such session", http.StatusNotFound)
			return
		}
	case m.method == methodInitialize:
		id = rand.Text()
		w, err = l.open(api, credential, id, false)
	default:
		w, err = l.open(api, credential, "shared "+credential, true)
	}
	if err != nil {
		refuse(http.StatusServiceUnavailable, codeServer, err)
		return
	}
	if !w.shared {
		rw.Header().Set(headerSession, id)
	}
	w.take(rw, r, m)
}

// open returns the session of that ID, or begins it.
func (l *Listener) open(api *client.Client, credential, id string, shared bool) (*web, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.sessions[id]; w != nil {
		return w, nil
	}
	own := 0
	for _, w := range l.sessions {
		if w.credential == credential {
			own++
		}
	}
	switch {
	case l.closing:
		return nil, errors.New("the gateway is being stopped")
	case own >= maxSessions:
		return nil, errors.New("too many sessions: end some, or wait until those that nobody uses end")
	}
	w := newWeb(credential, shared)
	s, err := l.g.newSession(api, w.route)
	if err != nil {
		return nil, err
	}
	w.s = s
	l.sessions[id] = w
	go func() { // until the server ends, by itself or with its session
		<-s.over
		l.mu.Lock()
		gone := l.sessions[id] == w
		if gone {
			delete(l.sessions, id)
			l.end(w)
		}
		l.mu.Unlock()
	}()
	return w, nil
}

// Serve serves clients on a listener until ctx ends.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	l := g.Listen(ln.Addr().String())
	server := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		_ = server.Close()
	})
	defer stop()
	err := server.Serve(ln)
	l.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return cmp.Or(err, ctx.Err())
}
