package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/rest"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	// codecPath is where the codec endpoint of Temporal's UI and command line is. It stands beside the
	// other routes: its bodies are larger, and it answers pages of the UI's origin.
	codecPath = "/codec/"

	// maxPayloads bounds what is decoded at once: a gRPC message's 4 MiB, in base64.
	maxPayloads = 8 << 20
)

// CodecOptions say what the codec endpoint does. Whoever may use it can read every payload that
// they have.
type CodecOptions struct {
	// Keyring is that of the Temporal client. Required.
	Keyring *codec.Keyring
	// Origins are those of Temporal's UI, "https://temporal.example.com": pages of no others get an
	// answer. Default: none, for Temporal's command line alone.
	Origins []string
	// Encode offers to encrypt, too: for signals with a payload from Temporal's UI, and for its command
	// line. Default: only reading.
	Encode bool
}

func (o *CodecOptions) validate() error {
	if o.Keyring == nil {
		return errors.New("api: CodecOptions.Keyring is missing")
	}
	for _, origin := range o.Origins {
		if err := CheckOrigin(origin); err != nil {
			return err
		}
	}
	return nil
}

// CheckOrigin says what is wrong with an origin of CodecOptions.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	web := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	if !web || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
		return fmt.Errorf("codec: the origin %.100q is not of the form https://host or http://host:port, "+
			"in lower case and without a path", origin)
	}
	return nil
}

// serveCodec answers POST of payloads in JSON to a path that ends with /decode or, where it is
// offered, /encode. What it can't read it gives back as it came, so that one lost key hides no more
// than its own payloads.
func (s *Server) serveCodec(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	answer, err := s.recode(w, r)
	switch {
	case err != nil:
		p := problemOf(err)
		w.Header().Set("Content-Type", rest.ProblemType)
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p.Problem)
	case answer == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}
}

// recode returns the payloads of a request as its sender may see them; nothing for a preflight.
func (s *Server) recode(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	decode, encode := strings.HasSuffix(r.URL.Path, "/decode"), strings.HasSuffix(r.URL.Path, "/encode")
	switch {
	case !s.hostAllowed(r):
		return nil, wrongHost
	case !s.fromUI(w.Header(), r):
		return nil, newProblem(http.StatusForbidden, rest.CodeCrossOrigin,
			"Pages of this origin may not use the codec endpoint.")
	case !decode && !encode:
		return nil, newProblem(http.StatusNotFound, rest.CodeNoRoute,
			"The codec endpoint has the paths decode and encode.")
	case r.Method == http.MethodOptions:
		return nil, nil
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST, OPTIONS")
		return nil, newProblem(http.StatusMethodNotAllowed, rest.CodeNoMethod, "This path takes POST.")
	}
	if err := s.mayDecode(r); err != nil {
		s.o.Logger.DebugContext(r.Context(), "the codec endpoint refused a request",
			"error", err) // strangers can send any number
		return nil, newProblem(http.StatusForbidden, rest.CodeNotPermitted, "You may not see encrypted data.")
	}
	if encode && !s.o.Codec.Encode {
		return nil, newProblem(http.StatusForbidden, rest.CodeNotPermitted,
			"This codec endpoint only decodes. A signal without a payload needs no encoding.")
	}
	payloads, err := readPayloads(w, r)
	if err != nil {
		return nil, err
	}
	if decode {
		for i, p := range payloads {
			payloads[i] = s.decoded(r, p)
		}
	} else if payloads, err = s.o.Codec.Keyring.Encode(payloads); err != nil {
		return nil, newProblem(http.StatusBadRequest, rest.CodeInvalidRequest, "The payloads can't be encrypted.")
	}
	answer, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		s.o.Logger.ErrorContext(r.Context(), "the codec endpoint could not write its answer", "error", err)
		return nil, internalError(err)
	}
	return answer, nil
}

// fromUI reports whether the request comes from the UI or from no page at all, and lets the UI read
// the answer.
func (s *Server) fromUI(h http.Header, r *http.Request) bool {
	h.Add("Vary", "Origin")
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		site := r.Header.Get("Sec-Fetch-Site") // browsers send it, and always an origin with POST
		return site == "" || site == "none" || site == "same-origin"
	}
	if len(origins) > 1 || !slices.Contains(s.o.Codec.Origins, origins[0]) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Authorization-Extras, Content-Type, X-Namespace")
		h.Set("Access-Control-Max-Age", "600")
	}
	return true
}

// mayDecode is what authorize is for other routes.
func (s *Server) mayDecode(r *http.Request) error {
	p, err := s.authenticate(r, true)
	if err != nil {
		return err
	}
	route := r.Method + " " + codecPath + path.Base(r.URL.Path)
	if s.access[route].reachOf(p) == nothing {
		if err := s.quotas.countRequest(p.Subject); err != nil {
			return err
		}
		s.forbidden(r, p, route, rest.CodeNotPermitted)
		return newProblem(http.StatusForbidden, rest.CodeNotPermitted, "it needs the role admin")
	}
	return nil
}

// readPayloads takes the payloads in, or says what is wrong with them.
func readPayloads(w http.ResponseWriter, r *http.Request) ([]*commonpb.Payload, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, newProblem(http.StatusUnsupportedMediaType, rest.CodeMediaType,
			"Send the payloads as Content-Type: application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayloads))
	if unread := unreadBody(err, maxPayloads); unread != nil {
		return nil, unread
	}
	var payloads commonpb.Payloads
	if err != nil || protojson.Unmarshal(body, &payloads) != nil {
		return nil, newProblem(http.StatusBadRequest, rest.CodeInvalidRequest,
			`The body is not {"payloads": [{"metadata": {…}, "data": "…"}]}.`)
	}
	return payloads.GetPayloads(), nil
}

// decoded is a payload as its reader may see it.
func (s *Server) decoded(r *http.Request, p *commonpb.Payload) *commonpb.Payload {
	if !codec.Encrypted(p) {
		return p
	}
	opened, err := s.o.Codec.Keyring.Decode([]*commonpb.Payload{p})
	if err != nil {
		s.o.Logger.WarnContext(r.Context(), "the codec endpoint can't read a payload", "error", err)
		return p
	}
	return opened[0]
}
