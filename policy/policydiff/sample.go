package policydiff

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxSample bounds a sample, in bytes.
const maxSample = 1000

// sample returns a short text that a regular expression matches, if it finds
// one: an expression that asks for words' boundaries in odd places may have none
// that can be read off it.
func sample(expression string) (string, bool) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return "", false
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	write(&b, parsed)
	return b.String(), re.MatchString(b.String())
}

func write(b *strings.Builder, re *syntax.Regexp) {
	if b.Len() > maxSample {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(visible(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpCapture, syntax.OpPlus, syntax.OpAlternate:
		write(b, re.Sub[0])
	case syntax.OpRepeat:
		for range min(re.Min, maxSample) {
			write(b, re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			write(b, sub)
		}
	}
}

// visible returns a character of a class, given as pairs of first and last: one
// that can be seen, where the class has such.
func visible(class []rune) rune {
	for i := 0; i+1 < len(class); i += 2 {
		for _, r := range "xX0/ " {
			if class[i] <= r && r <= class[i+1] {
				return r
			}
		}
	}
	for i := 0; i+1 < len(class); i += 2 {
		if class[i+1] > ' ' {
			return max(class[i], '!')
		}
	}
	if len(class) > 0 {
		return class[0]
	}
	return 'x'
}
