package httptool

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

// Bounds of what an error shows of a body.
const (
	maxExcerptBytes = 4 << 10
	maxExcerptRunes = 500
)

// end is how a run ends.
type end int

const (
	unknown end = iota
	failed
	ran
)

// meaning is what an answer says by its status, whatever its body is. Proxies answer some of 4xx
// themselves, perhaps after they passed the request on.
func (p *poster) meaning(status int) end {
	if e, sorted := p.ends[status]; sorted {
		return e
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, statusClientClosed:
		return unknown
	}
	switch status / 100 {
	case 2:
		return ran
	case 4:
		return failed
	}
	return unknown
}

// statusClientClosed is what nginx and others answer where they think that the client went away.
const statusClientClosed = 499

// answer turns a response into the run's end.
func (p *poster) answer(ctx context.Context, resp *http.Response) (json.RawMessage, error) {
	said := strings.TrimSpace(fmt.Sprintf("%s answered %d %s",
		p.host(), resp.StatusCode, http.StatusText(resp.StatusCode)))
	means := p.meaning(resp.StatusCode)
	switch {
	case means == ran:
		result, err := readResult(ctx, resp)
		if err != nil {
			return nil, tool.Unknown(fmt.Errorf("%s, but the result can't be delivered: %w", said, err))
		}
		return result, nil
	case means == failed:
		return nil, tool.Failed(errors.New(said + excerpt(resp)))
	case resp.StatusCode/100 == 3:
		return nil, tool.Unknown(errors.New(said + "; redirects are not followed, and the tool may have run"))
	}
	return nil, tool.Unknown(errors.New(said + excerpt(resp)))
}

func readResult(ctx context.Context, resp *http.Response) (json.RawMessage, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, approval.MaxResult+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s before it was complete", broken(ctx))
	case len(body) > approval.MaxResult:
		return nil, fmt.Errorf("it is larger than %d bytes", approval.MaxResult)
	case len(bytes.TrimSpace(body)) == 0:
		return nil, nil
	case isJSON(mediaType(resp)):
		if !json.Valid(body) {
			return nil, errors.New("it says it is JSON and is not")
		}
		return body, nil
	case !utf8.Valid(body):
		return nil, errors.New("it is neither JSON nor UTF-8 text")
	}
	return json.Marshal(string(body))
}

// excerpt is the beginning of a text or JSON body, fit to be shown.
func excerpt(resp *http.Response) string {
	media := mediaType(resp)
	if !isJSON(media) && !strings.HasPrefix(media, "text/") {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerptBytes)) // part of a body is still worth showing
	text := strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
	if text == "" {
		return ""
	}
	return ": " + approval.DisplayLines(text, maxExcerptRunes)
}

// mediaType is lower-case, without parameters; empty if none can be read.
func mediaType(resp *http.Response) string {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // bad parameters leave the type
	return media
}

func isJSON(media string) bool {
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// broken says how an exchange was cut off.
func broken(ctx context.Context) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "time ran out"
	case ctx.Err() != nil:
		return "the call was interrupted"
	}
	return "the connection broke or did not speak HTTP"
}

// unsent says why no request was sent. The errors' own texts may hold proxy credentials, so only
// their kinds and fixed parts are shown.
func unsent(ctx context.Context, err error) string {
	var (
		dns         *net.DNSError
		op          *net.OpError
		errno       syscall.Errno
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
	)
	proxy := ""
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		proxy = " (the proxy)"
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "no connection was made in time"
	case ctx.Err() != nil:
		return "the call was interrupted before a connection was made"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "its name is not known" + proxy
	case errors.As(err, &dns):
		return "its name could not be looked up" + proxy
	case errors.As(err, &certificate):
		return "its TLS certificate is not accepted: " + approval.Display(certificate.Err.Error(), 200)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS there; is the URL http://?"
	case errors.As(err, &alert):
		return "it refused the TLS handshake"
	case errors.As(err, &errno):
		return errno.Error() + proxy
	}
	return "no connection could be made" + proxy
}
