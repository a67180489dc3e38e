package health

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// readyTimeout bounds the checks of one /readyz.
	readyTimeout = 2 * time.Second
	// fresh is how long an answer of /readyz stands, so that whoever can reach
	// the port can't make the process hammer Temporal and the store.
	fresh = time.Second
)

// Handler serves GET /healthz, which is 200 as long as the process lives, and
// GET /readyz, which is 200 when every check passes that is not advisory, else
// 503, with a Readiness as JSON in both cases. It shows nothing secret, so it
// may be reached from other machines. It is safe for concurrent use.
type Handler struct {
	mux *http.ServeMux
	log *slog.Logger

	mu     sync.Mutex // held while the checks run: who asks meanwhile gets that answer
	checks []Check
	last   Readiness
	asked  time.Time
}

// NewHandler makes a Handler that is not ready: give it its checks with Set.
// Failed checks are logged with their causes, which /readyz does not show.
func NewHandler(log *slog.Logger) *Handler {
	h := &Handler{mux: http.NewServeMux(), log: log}
	h.Set([]Check{{Name: "process", Probe: func(context.Context) error { return ErrChanging }}})
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	h.mux.HandleFunc("GET /readyz", h.readyz)
	return h
}

// Set replaces the checks.
func (h *Handler) Set(checks []Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks, h.asked = checks, time.Time{}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	ready := h.ready(r.Context())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !ready.Ready {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(ready)
}

func (h *Handler) ready(ctx context.Context) Readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked.IsZero() && time.Since(h.asked) < fresh {
		return h.last
	}
	// The answer is for others, too: it outlives who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	h.last = Ready(ctx, h.checks, func(check string, err error) {
		h.log.WarnContext(ctx, "not ready", "check", check, "error", err)
	})
	h.asked = time.Now()
	return h.last
}
