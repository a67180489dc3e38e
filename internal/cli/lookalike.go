package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// alphabets have letters that look like each other's.
var alphabets = []struct {
	name    string
	letters *unicode.RangeTable
}{
	{"Latin", unicode.Latin}, {"Cyrillic", unicode.Cyrillic}, {"Greek", unicode.Greek},
	{"Armenian", unicode.Armenian}, {"Cherokee", unicode.Cherokee}, {"Coptic", unicode.Coptic},
}

// likeLatin are the letters of other alphabets that look like Latin ones.
const likeLatin = "аеорсухіјѕһӏԁԛԝАВЕЅІЈКМНОРСТУХԚԜ" + "αινορυχϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ" + "հոսցօՏՕ"

// lookalikes returns a warning for each word of a text that may be taken for another: one of several
// alphabets, one of letters that only look like Latin ones, or one in letters that are meant for
// mathematics and East Asian type. Texts in another alphabet than Latin are no reason to warn.
func lookalikes(text string) (warnings []string) {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) })
	plain := map[string]bool{} // alphabets with letters that look like none of Latin's
	for _, r := range text {
		if !strings.ContainsRune(likeLatin, r) {
			plain[alphabetOf(r)] = true
		}
	}
	for _, word := range words {
		var found []string
		styled := false
		for _, r := range word {
			if name := alphabetOf(r); name != "" && !slices.Contains(found, name) {
				found = append(found, name)
			}
			styled = styled || r >= 0xFF21 && r <= 0xFF5A || r >= 0x1D400 && r <= 0x1D7FF
		}
		switch {
		case len(found) > 1:
			warnings = append(warnings, fmt.Sprintf("%q mixes %s letters", word, strings.Join(found, " and ")))
		case styled:
			warnings = append(warnings, fmt.Sprintf("%q is not written in ordinary letters", word))
		case len(found) == 1 && found[0] != "Latin" && !plain[found[0]]:
			warnings = append(warnings, fmt.Sprintf("%q looks like Latin letters and is %s", word, found[0]))
		}
	}
	return warnings
}

func alphabetOf(r rune) string {
	for _, a := range alphabets {
		if unicode.Is(a.letters, r) {
			return a.name
		}
	}
	return ""
}
