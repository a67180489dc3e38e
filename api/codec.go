package api

import (
	"encoding/json"
	"net/http"
	"path"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/rest"
)

// codecPath is where the codec endpoint is. It stands beside the other routes: its bodies are
// larger, and it answers pages of the UI's origin.
const codecPath = "/codec/"

// CodecOptions say what the codec endpoint does. Whoever may use it can read every payload that
// they have.
type CodecOptions struct {
	// Keyring is that of the Temporal client. Required.
	Keyring *codec.Keyring
	// Origins are those of Temporal's UI; pages of no others get an answer. Default: none, for
	// Temporal's command line alone.
	Origins []string
	// Encode offers to encrypt, too. Default: only reading.
	Encode bool
}

func (s *Server) newCodec(o CodecOptions) (http.Handler, error) {
	h, err := codec.NewHandler(codec.HandlerOptions{
		Keyring: o.Keyring, Origins: o.Origins, Encode: o.Encode, Authorize: s.mayDecode, Logger: s.o.Logger,
	})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.hostAllowed(r) {
			w.Header().Set("Content-Type", rest.ProblemType)
			w.WriteHeader(wrongHost.Status)
			_ = json.NewEncoder(w).Encode(wrongHost.Problem)
			return
		}
		h.ServeHTTP(w, r)
	}), nil
}

// mayDecode is what authorize is for other routes.
func (s *Server) mayDecode(r *http.Request) error {
	p, err := s.authenticate(r)
	if err != nil {
		return err
	}
	route := r.Method + " " + codecPath + path.Base(r.URL.Path)
	if s.access[route].reachOf(p) == nothing {
		if err := s.quotas.countRequest(p.Subject); err != nil {
			return err
		}
		s.logNoRole(r.Context(), p, route)
		return newProblem(http.StatusForbidden, rest.CodeNotPermitted, "it needs the role admin")
	}
	return nil
}
