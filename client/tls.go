package client

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
)

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
