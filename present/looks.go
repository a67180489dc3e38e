package present

import (
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
	{"Lisu", unicode.Lisu},
}

// alike are letters that look like those of another alphabet: in each pair of lines, those of the
// first look like the ones below. Of Cherokee, Coptic and Lisu all letters count.
const (
	otherLetters = "аеорсухіјѕһӏԁԛԝѵАВЕЅІЈКМНОРСТУХԚԜ" + "αινορυχϲϳγΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ" + "հոսցօՏՕ"
	latinLetters = "aeopcyxijshldqwvABESIJKMHOPCTYXQW" + "aivopuxcjyABEZHIKMNOPTYXC" + "hnugoSO"
)

// look is a letter that looks like another one.
type look struct{ name string }

func alphabetOf(r rune) string {
	if r < 0x80 {
		if unicode.IsLetter(r) {
			return "Latin"
		}
		return ""
	}
	for _, a := range alphabets {
		if unicode.Is(a.letters, r) {
			return a.name
		}
	}
	return ""
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }

// lookalikes finds the letters of a text that look like others, by their place among its
// characters: in a word of several alphabets, each stretch of one that has only letters that look
// like another's; all of a word that only looks Latin, in a text that has no other letters of its
// alphabet; and letters that are meant for mathematics and, unless the text is East Asian, for East
// Asian type.
func lookalikes(text string) map[int]look {
	runes := []rune(text)
	distinct, asian := map[string]bool{}, false // alphabets with letters that look like no others
	for _, r := range runes {
		if r >= 0x80 {
			asian = asian || unicode.In(r, eastAsian...)
			if a := alphabetOf(r); a != "" && !deceives(r, a) {
				distinct[a] = true
			}
		}
	}
	found := map[int]look{}
	for from := 0; from < len(runes); {
		if !wordRune(runes[from]) {
			from++
			continue
		}
		end := from
		for end < len(runes) && wordRune(runes[end]) {
			end++
		}
		lookIn(runes[from:end], from, distinct, asian, found)
		from = end
	}
	return found
}

func lookIn(word []rune, at int, distinct map[string]bool, asian bool, found map[int]look) {
	count, twins := map[string]int{}, map[string]int{} // letters of each alphabet, and those like others
	all := 0
	for i, r := range word {
		switch a := alphabetOf(r); {
		case r >= 0x1D400 && r <= 0x1D7FF:
			found[at+i] = look{"mathematical letter"}
		case r >= 0xFF21 && r <= 0xFF5A && !asian:
			found[at+i] = look{"letter of full width"}
		case a != "":
			all++
			count[a]++
			if deceives(r, a) {
				twins[a]++
			}
		}
	}
	if len(count) < 2 {
		for a, n := range count {
			if a != "Latin" && twins[a] == n && !distinct[a] {
				note(word, at, a, found)
			}
		}
		return
	}
	// A stretch of one alphabet that has a letter of its own is seen to be another alphabet.
	marked := false
	var latin [][2]int
	for from := 0; from < len(word); {
		a, end, alone := alphabetOf(word[from]), from, true
		for ; end < len(word) && (alphabetOf(word[end]) == a || unicode.IsMark(word[end])); end++ {
			alone = alone && (unicode.IsMark(word[end]) || deceives(word[end], a))
		}
		end = max(end, from+1)
		switch {
		case !alone || a == "":
		case a != "Latin":
			note(word[from:end], at+from, a, found)
			marked = true
		case end-from <= 2 && 2*count[a] < all:
			latin = append(latin, [2]int{from, end})
		}
		from = end
	}
	for _, l := range latin {
		if !marked {
			note(word[l[0]:l[1]], at+l[0], "Latin", found)
		}
	}
}

// note notes the letters of one alphabet in a word.
func note(word []rune, at int, alphabet string, found map[int]look) {
	for i, r := range word {
		if alphabetOf(r) == alphabet && deceives(r, alphabet) {
			found[at+i] = look{alphabet + " " + string(r)}
		}
	}
}

// deceives reports a letter that looks like one of another alphabet.
func deceives(r rune, alphabet string) bool {
	switch alphabet {
	case "Latin":
		return strings.ContainsRune(latinLetters, r)
	case "Cherokee", "Coptic", "Lisu":
		return true
	}
	return strings.ContainsRune(otherLetters, r)
}
