package policydiff

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// maxSample bounds a sample, in bytes.
const maxSample = 1000

// maxSamples bounds the samples of one expression.
const maxSamples = 6

// samples returns short texts that a regular expression matches, as far as it
// finds any: an expression that asks for words' boundaries in odd places may
// have none that can be read off it. They differ in what an edit of the
// expression could: the other alternatives, the last of a range, how often
// something is repeated.
func samples(expression string) []string {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil
	}
	var out []string
	for variant := range maxSamples {
		s := sampler{variant: variant}
		s.write(parsed)
		if text := s.String(); re.MatchString(text) && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// sampler writes one sample.
type sampler struct {
	strings.Builder
	variant int // which of the ways there are; 0 is the shortest
}

func (s *sampler) write(re *syntax.Regexp) {
	if s.Len() > maxSample {
		return
	}
	odd := s.variant % 2
	switch re.Op {
	case syntax.OpLiteral:
		text := string(re.Rune)
		if re.Flags&syntax.FoldCase != 0 && odd == 1 {
			text = strings.ToLower(text)
		}
		s.WriteString(text)
	case syntax.OpCharClass:
		s.WriteRune(ofClass(re.Rune, s.variant))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.WriteByte('x')
	case syntax.OpCapture:
		s.write(re.Sub[0])
	case syntax.OpAlternate:
		s.write(re.Sub[s.variant%len(re.Sub)])
	case syntax.OpStar, syntax.OpQuest:
		s.repeat(re.Sub[0], odd)
	case syntax.OpPlus:
		s.repeat(re.Sub[0], 1+odd)
	case syntax.OpRepeat:
		times := re.Min
		if odd == 1 {
			if times = re.Max; times < 0 { // no bound
				times = re.Min + 1
			}
		}
		s.repeat(re.Sub[0], times)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			s.write(sub)
		}
	}
}

func (s *sampler) repeat(re *syntax.Regexp, times int) {
	for range min(times, maxSample) {
		s.write(re)
	}
}

// ofClass returns a character of a class, given as pairs of first and last: one
// that can be seen, where the class has such, or the last or first of a range.
func ofClass(class []rune, variant int) rune {
	if ranges := len(class) / 2; variant > 0 && ranges > 0 {
		if edge := class[2*((variant-1)/2%ranges)+variant%2]; unicode.IsPrint(edge) {
			return edge
		}
	}
	return visible(class)
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
