package health

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pawlhq/pawl/rest"
)

// fresh is how long a report holds, so that whoever can reach the port can't make the process
// hammer Temporal and the store.
const fresh = time.Second

var errChanging = errors.New("starting or stopping")

// Handler serves GET /healthz, which is 200 as long as the process lives, and GET /readyz, which is
// 200 if it is ready, else 503, with a rest.Readiness as JSON in both cases. It shows nothing
// secret, so other machines may reach it. It is safe for concurrent use.
type Handler struct {
	mux  *http.ServeMux
	log  *slog.Logger
	pace Pace

	mu     sync.Mutex // held while the checks run: who asks meanwhile gets that answer
	checks []Check
	last   rest.Readiness
	asked  time.Time
}

// NewHandler makes a Handler that is not ready until Use gives it checks. It logs why checks
// failed, which /readyz does not show.
func NewHandler(log *slog.Logger) *Handler {
	h := &Handler{mux: http.NewServeMux(), log: log}
	h.Pause()
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	h.mux.HandleFunc("GET /readyz", h.readyz)
	return h
}

// Use replaces the checks.
func (h *Handler) Use(checks ...Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks, h.asked = checks, time.Time{}
}

// Pause replaces the checks by one that fails: the process does not serve.
func (h *Handler) Pause() {
	h.Use(Check{
		Name: "process", Advice: "This process is starting or stopping.",
		Look: func(context.Context) error { return errChanging },
	})
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	report := h.report(r.Context())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !report.Ready {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report)
}

func (h *Handler) report(ctx context.Context) rest.Readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked.IsZero() || time.Since(h.asked) >= fresh {
		// Others get this answer, too: it does not end with who asked first.
		h.last = Look(context.WithoutCancel(ctx), h.log, &h.pace, h.checks...)
		h.asked = time.Now()
	}
	return h.last
}
