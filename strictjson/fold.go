package strictjson

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold is the same for texts that differ in case only, whatever letters Unicode has for it: K and
// ſ, too.
func Fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, s)
		}
	}
	return strings.ToLower(s)
}

func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return unicode.ToLower(least)
}
