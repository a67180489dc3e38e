// Package leak looks for secrets where they should not be.
package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Shows reports whether a text holds a secret, as it is or as base64 or hexadecimal digits.
func Shows(text []byte, secret string) bool {
	forms := []string{secret, hex.EncodeToString([]byte(secret))}
	for shift := range 3 { // base64 goes by three bytes; its ends depend on what stands beside
		form := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + secret))
		forms = append(forms, form[4:len(form)-4])
	}
	for _, form := range forms {
		if bytes.Contains(text, []byte(form)) {
			return true
		}
	}
	return false
}
