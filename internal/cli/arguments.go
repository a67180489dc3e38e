package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/strictjson"
)

// SomeArgs takes one argument or more, none of them empty: that is what an unset variable leaves
// behind.
func SomeArgs(name, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s is missing: %s", name, what)
		}
		return AnyArgs(name)(cmd, args)
	}
}

func AnyArgs(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		for _, arg := range args {
			if arg == "" {
				return fmt.Errorf("one %s is empty", name)
			}
		}
		return nil
	}
}

func NoArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("takes flags only, no arguments")
	}
	return nil
}

func OneArg(name, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing: %s", name, what)
		case 1:
			if args[0] == "" {
				return fmt.Errorf("%s is empty: %s", name, what)
			}
			return nil
		}
		return fmt.Errorf("takes one %s, %d arguments given; put values with spaces in quotes", name, len(args))
	}
}

// ReadObject reads the value of a flag that takes a JSON object of at most most bytes, @file, or -
// for standard input. What is in it is never part of an error.
func (a *App) ReadObject(flag, value string, most int) ([]byte, error) {
	var from io.Reader = strings.NewReader(value)
	name := flag
	if value == "-" {
		from, name = a.Stdin, "standard input"
	}
	if file, ok := strings.CutPrefix(value, "@"); ok {
		if file == "" {
			return nil, UsageError(fmt.Errorf("%s: name a file after the @", flag))
		}
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		defer f.Close()
		from, name = f, file
	}
	doc, err := io.ReadAll(io.LimitReader(from, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(doc) > most {
		return nil, UsageError(fmt.Errorf("%s: more than %d "+
			"bytes of %s", name, most, strings.TrimPrefix(flag, "--")))
	}
	return doc, UsageError(strictjson.CheckObject(name, doc, most))
}

const LimitHelp = "how many at most; 0 for all"

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
