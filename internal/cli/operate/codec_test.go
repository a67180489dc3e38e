package operate_test

import (
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestCodecSettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--codec-origin", "https://ui"}, "--payload-keys"},
		{[]string{"--codec-encode", "--payload-keys", "k"}, "--codec-origin"},
		{[]string{"--codec-origin", "*", "--payload-keys", "k"}, "https://host"},
	} {
		clitest.CommandLine{}.Run(t, append([]string{"api", "--database-url", "sqlite://x.db"}, c.args...)...).Want(t, cli.ExitUsage, nil, []string{c.want})
	}
}
