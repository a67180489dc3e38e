package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// SamePerson reports whether two names are taken for one person's: they differ in case only, by
// Unicode's full case folding (ß and SS are one, ı and i are not), or in how Unicode writes the same
// letters (é as one character or two, letters of full width). Letters of different scripts that look
// alike are different.
func SamePerson(a, b string) bool {
	// EqualFold knows Cherokee, whose case package cases does not fold.
	return a == b || strings.EqualFold(folded(a), folded(b))
}

func folded(name string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
}

// maxID bounds a call's ID, in bytes; Temporal's IDs end there too.
const maxID = 1000

// CheckID refuses IDs that no call can have, as the ID of a workflow that somebody else started may
// be: an ID is also a header in requests to Temporal, which holds printable ASCII only. The error's
// code is CodeInvalid.
func CheckID(id string) error {
	if id == "" || len(id) > maxID {
		return Errorf(CodeInvalid, "the workflow ID has %d bytes; give one of 1 to %d", len(id), maxID)
	}
	for _, r := range id {
		if r < ' ' || r > '~' {
			return Errorf(CodeInvalid, "the workflow ID holds the character %U; start the call again under an ID "+
				"of printable ASCII", r)
		}
	}
	return nil
}

// EscapeID is the ID under which a call is kept that CheckID refuses: printable ASCII, and different
// for different IDs.
func EscapeID(id string) string {
	const most = 200
	quoted := strconv.QuoteToASCII(id)
	escaped := quoted[1 : len(quoted)-1]
	if len(escaped) <= most {
		return escaped
	}
	sum := sha256.Sum256([]byte(id))
	return escaped[:most-33] + "-" + hex.EncodeToString(sum[:16])
}
