package client

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Error is an answer of the API that is not a success: its problem document. approval.CodeOf
// returns its Code. The texts come from the server; show them through approval.Display.
type Error struct {
	HTTPStatus int                    // as received, e.g. 409
	Code       string                 // stable: see rest.Problem
	Title      string                 // what kind of problem
	Detail     string                 // what went wrong here
	Outcome    approval.AnswerOutcome // what became of a decision; empty for anything else
	ID         string                 // whole ID of the call it is about; empty where the server does not say
	Problems   []rest.FileProblem     // all that is wrong with a policy; empty for anything else
	RetryAfter time.Duration          // when the server advises to ask again; zero: it does not say
}

func (e *Error) Error() string {
	if e.Detail == "" && e.Title == "" {
		return fmt.Sprintf("the API answered %d %s", e.HTTPStatus, http.StatusText(e.HTTPStatus))
	}
	return cmp.Or(e.Detail, e.Title)
}

// Unwrap returns the *approval.Error with the same code.
func (e *Error) Unwrap() error { return &approval.Error{Code: e.Code, Message: e.Error()} }

// UnreachableError means that no answer came.
type UnreachableError struct {
	URL  string // the API's address
	Sent bool   // false: certainly nothing was sent; true: the request may have arrived
	err  error
}

func (e *UnreachableError) Error() string {
	if trouble := tlsTrouble(e.err); trouble != "" {
		return fmt.Sprintf("no connection to %s that can be trusted: %s", e.URL, trouble)
	}
	if e.Sent {
		return fmt.Sprintf("the connection to %s broke: %v", e.URL, e.err)
	}
	return fmt.Sprintf("nothing answers at %s: %v", e.URL, e.err)
}

// Answers reports that something answers at URL, with which no TLS connection that can be trusted
// came about; the error says why, and what to do.
func (e *UnreachableError) Answers() bool { return tlsTrouble(e.err) != "" }

// Unwrap returns the network's error, or the context's.
func (e *UnreachableError) Unwrap() error { return e.err }

// UncertainError means that a request was sent, perhaps several times, and no answer came: it may
// have arrived. Sending it again under Key counts once.
type UncertainError struct {
	Key string // the idempotency key, or the decision's ID; empty where the request alone is enough
	err error
}

func (e *UncertainError) Error() string {
	return fmt.Sprintf("no answer came, so it may or may not have arrived: %v", e.err)
}

// Unwrap returns the error of the last try.
func (e *UncertainError) Unwrap() error { return e.err }

// transient reports errors that a restart of the API explains.
func transient(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout}, e.HTTPStatus)
	}
	return errors.As(err, new(*UnreachableError))
}

// maxAdvice, in seconds, is more than any server of ours advises to wait.
const maxAdvice = 24 * 60 * 60

// refusedNow reports that the server was asked too fast, and did nothing.
func refusedNow(err error) (wait time.Duration, ok bool) {
	var e *Error
	ok = errors.As(err, &e) && e.HTTPStatus == http.StatusTooManyRequests
	if ok {
		wait = e.RetryAfter
	}
	return wait, ok
}

// problem reads an answer that is not a success. Text that is not a problem document, a proxy's
// error page for instance, is dropped.
func problem(r response) *Error {
	e := &Error{HTTPStatus: r.status, Code: approval.CodeInternalError}
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	if err == nil && seconds > 0 && seconds < maxAdvice {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	switch {
	case isOf(r.header, rest.ProblemType):
		var doc rest.Problem
		if json.Unmarshal(r.body, &doc) == nil {
			e.Code, e.Title, e.Detail = cmp.Or(doc.Code, e.Code), doc.Title, doc.Detail
			e.Outcome, e.ID, e.Problems = doc.Outcome, doc.ID, doc.Problems
		}
	case r.status >= 300 && r.status < 400:
		e.Detail = fmt.Sprintf("the API answered %d, a redirect, which is never followed: "+
			"give the address that it redirects to", r.status)
	case plainToTLS(r):
		e.Detail = "what answers there speaks TLS: give the API's address with https://"
	case r.status == http.StatusNotFound:
		e.Detail = "what answers there does not know this route: is it Pawl's API, and as new as this client?"
	}
	return e
}

// tlsTrouble says why no connection that can be trusted came about with something that answers, and
// what to do; empty: something else is wrong.
func tlsTrouble(err error) string {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &cert):
		return certificateTrouble(cert.Err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "what answers there does not speak TLS: if it is Pawl's API, its address begins with http://"
	}
	return ""
}

func certificateTrouble(err error) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("its certificate is for another name (%v): "+
			"give the API's address by a name that the certificate holds, "+
			"or have its operator get one for this name", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("its certificate is out of date (%v): "+
			"its operator has to renew it; or is this machine's clock wrong?", err)
	}
	return fmt.Sprintf("this machine does not trust its certificate (%v). "+
		"If an authority of your own signed it, "+
		"SSL_CERT_FILE names a PEM file with that authority's certificate; "+
		"on macOS and Windows add it to the system's. "+
		"Otherwise something else than Pawl may answer there", err)
}

// plainToTLS reports the answer that a TLS port gives to who speaks plain HTTP: that of Go's
// servers, so also of Pawl's, and nginx's.
func plainToTLS(r response) bool {
	return r.status == http.StatusBadRequest &&
		(bytes.Contains(r.body, []byte("HTTP request to an HTTPS server")) ||
			bytes.Contains(r.body, []byte("HTTP request was sent to HTTPS port")))
}
