package access_test

import (
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestOpen(t *testing.T) {
	api := clitest.NewAPI(t)
	run := func(args ...string) clitest.Result {
		return clitest.CommandLine{API: api.URL}.Run(t, append([]string{"open", "--print"}, args...)...)
	}
	api.Replies["GET /api/whoami"] = clitest.Reply(200, `{"subject":"rita","method":"token"}`)
	api.Replies["POST /auth/links"] = clitest.Reply(200,
		`{"code":"ABC","url":"https://pawl.example.com/#signin=ABC","expires_at":"2026-01-01T00:00:00Z"}`)
	run().Want(t, 0, []string{"https://pawl.example.com/#signin=ABC\n"}, nil)
	run("-o", "json").Want(t, 0, []string{`"code"`, "ABC"}, nil)

	api.Replies["POST /auth/links"] = clitest.Reply(200, `{"code":"ABC","expires_at":"2026-01-01T00:00:00Z"}`)
	run().Want(t, 0, []string{api.URL + "/#signin=ABC\n"}, nil)

	api.Replies["POST /auth/links"] = clitest.Reply(403, `{"status":403,"code":"read_only","detail":"It may not write."}`)
	run().Want(t, cli.ExitError, nil, []string{"It may not write."})

	delete(api.Replies, "POST /auth/links")
	api.Replies["GET /api/whoami"] = clitest.Reply(200, `{"subject":"local","method":"none"}`)
	run().Want(t, 0, []string{api.URL + "/\n"}, nil)
}
