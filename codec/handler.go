package codec

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// maxBody bounds what is decoded at once: a gRPC message's 4 MiB, in base64.
const maxBody = 8 << 20

// HandlerOptions configure a Handler.
type HandlerOptions struct {
	// Keyring is the codec. Required.
	Keyring *Keyring
	// Authorize says whether the sender of a request may see what is encrypted. It must be safe for
	// concurrent use. Its error's text goes to the log alone, at level Debug. Required.
	Authorize func(*http.Request) error
	// Origins are those of Temporal's UI, "https://temporal.example.com": pages of no others get an
	// answer. Default: none, for the command line alone.
	Origins []string
	// Encode offers to encrypt, too: for signals with a payload from Temporal's UI, and for its
	// command line. Default: only reading.
	Encode bool
	// Logger gets the causes that answers leave out. Default: nothing is logged.
	Logger *slog.Logger
}

func (o *HandlerOptions) validate() error {
	if o.Keyring == nil {
		return errors.New("codec: HandlerOptions.Keyring is missing")
	}
	if o.Authorize == nil {
		return errors.New("codec: HandlerOptions.Authorize is missing: whoever may ask can read everything")
	}
	for _, origin := range o.Origins {
		if err := CheckOrigin(origin); err != nil {
			return err
		}
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return nil
}

// CheckOrigin says what is wrong with an origin of HandlerOptions.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	web := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	if !web || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
		return fmt.Errorf("codec: the origin %.100q is not of the form https://host or http://host:port, "+
			"in lower case and without a path", origin)
	}
	return nil
}

// handler is the codec endpoint of Temporal's UI and command line.
type handler struct{ o HandlerOptions }

// NewHandler makes the codec endpoint that Temporal's UI and command line ask: POST of payloads in
// JSON to a path that ends with /decode or, where it is offered, /encode. What it can't read it
// gives back as it came, so that one lost key hides no more than its own payloads. The caller has
// to keep out requests that use a foreign host name.
func NewHandler(o HandlerOptions) (http.Handler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &handler{o}, nil
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !h.crossOrigin(w, r) {
		refuse(w, http.StatusForbidden, rest.CodeCrossOrigin,
			"Pages of this origin may not use the codec endpoint.")
		return
	}
	decode, encode := strings.HasSuffix(r.URL.Path, "/decode"), strings.HasSuffix(r.URL.Path, "/encode")
	switch {
	case !decode && !encode:
		refuse(w, http.StatusNotFound, rest.CodeNoRoute, "The codec endpoint has the paths decode and encode.")
		return
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST, OPTIONS")
		refuse(w, http.StatusMethodNotAllowed, rest.CodeNoMethod, "This path takes POST.")
		return
	}
	if err := h.o.Authorize(r); err != nil {
		h.o.Logger.DebugContext(r.Context(), "the codec endpoint refused a request",
			"error", err) // strangers can send any number
		refuse(w, http.StatusForbidden, rest.CodeNotPermitted, "You may not see encrypted data.")
		return
	}
	if encode && !h.o.Encode {
		refuse(w, http.StatusForbidden, rest.CodeNotPermitted,
			"This codec endpoint only decodes. A signal without a payload needs no encoding.")
		return
	}
	payloads, ok := h.read(w, r)
	if !ok {
		return
	}
	if decode {
		for i, p := range payloads {
			payloads[i] = h.show(r, p)
		}
	} else {
		var err error
		if payloads, err = h.o.Keyring.Encode(payloads); err != nil {
			refuse(w, http.StatusBadRequest, rest.CodeInvalidRequest, "The payloads can't be encrypted.")
			return
		}
	}
	answer, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		h.o.Logger.ErrorContext(r.Context(), "the codec endpoint could not write its answer", "error", err)
		refuse(w, http.StatusInternalServerError, approval.CodeInternalError,
			"Something is wrong inside Pawl; the log says what.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// crossOrigin reports whether the request comes from the UI or from no page at all, and lets the UI
// read the answer.
func (h *handler) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		site := r.Header.Get("Sec-Fetch-Site") // browsers send it, and always an origin with POST
		return site == "" || site == "none" || site == "same-origin"
	}
	if len(origins) > 1 || !slices.Contains(h.o.Origins, origins[0]) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origins[0])
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Methods", "POST")
		w.Header().Set("Access-Control-Allow-Headers",
			"Authorization, Authorization-Extras, Content-Type, X-Namespace")
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	return true
}

// read takes the payloads in, or says what is wrong with them.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]*commonpb.Payload, bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, rest.CodeMediaType,
			"Send the payloads as Content-Type: application/json.")
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		refuse(w, http.StatusRequestEntityTooLarge,
			rest.CodeTooLarge, fmt.Sprintf("The body is larger than %d bytes, the most that is accepted.", maxBody))
		return nil, false
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuse(w, http.StatusRequestTimeout, rest.CodeInvalidRequest, "The body took too long to arrive.")
		return nil, false
	}
	var payloads commonpb.Payloads
	if err != nil || protojson.Unmarshal(body, &payloads) != nil {
		refuse(w, http.StatusBadRequest, rest.CodeInvalidRequest,
			`The body is not {"payloads": [{"metadata": {…}, "data": "…"}]}.`)
		return nil, false
	}
	return payloads.GetPayloads(), true
}

// show is a payload as its reader may see it.
func (h *handler) show(r *http.Request, p *commonpb.Payload) *commonpb.Payload {
	if !Encrypted(p) {
		return p
	}
	opened, err := h.o.Keyring.open(p)
	if err != nil {
		h.o.Logger.WarnContext(r.Context(), "the codec endpoint can't read a payload", "error", err)
		return p
	}
	return opened
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", rest.ProblemType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(rest.NewProblem(status, code, detail))
}
