package cli

import (
	"errors"
	"strconv"

	"github.com/pawlhq/pawl/approval"
)

// Length is a flag that takes "90s", "24h" or seconds.
type Length approval.Duration

func (l *Length) String() string { return "" } // zero is not a default worth showing

func (l *Length) Type() string { return "duration" }

func (l *Length) Set(s string) error {
	d, err := approval.ParseDuration(s)
	*l = Length(d)
	return err
}

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
