package approval

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// SamePerson reports whether two names are taken for one person's: they differ in case only, or in
// how Unicode writes the same letters (é as one character or two, letters of full width). Letters
// of different scripts that look alike are different.
func SamePerson(a, b string) bool {
	return strings.EqualFold(norm.NFKC.String(a), norm.NFKC.String(b))
}
