package yamlfile

import (
	"fmt"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Int reads a whole number from least to most.
func (v Value) Int(least, most int) (int, bool) {
	if !v.readable() {
		return 0, false
	}
	hint := fmt.Sprintf("write a whole number from %d to %d", least, most)
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != intTag {
		v.wrong("a whole number", hint)
		return 0, false
	}
	n, err := strconv.Atoi(v.node.Value)
	if err != nil || n < least || n > most {
		v.Problem(v.what+" is out of bounds", hint)
		return 0, false
	}
	return n, true
}

// Number reads a number as JSON writes them, which no reader of JSON rounds.
func (v Value) Number() (float64, bool) {
	if !v.readable() {
		return 0, false
	}
	if !v.IsNumber() {
		v.wrong("a number", "write it in plain decimal digits, without quotes")
		return 0, false
	}
	if !v.exact() {
		return 0, false
	}
	n, err := strconv.ParseFloat(v.node.Value, 64)
	return n, err == nil
}
