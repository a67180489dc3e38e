package cli

import (
	"errors"
	"strconv"
)

// LimitHelp is the help of flags with a Count.
const LimitHelp = "how many at most; 0 for all"

// Count is a flag that takes a number of things.
type Count int

func (c *Count) String() string { return strconv.Itoa(int(*c)) }

func (c *Count) Type() string { return "int" }

func (c *Count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return errors.New("give a whole number, 0 for all")
	}
	*c = Count(n)
	return nil
}
