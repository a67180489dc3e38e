package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"help":          {[]string{"--help"}, 0, "Ctrl-C stops it cleanly"},
		"unknown flag":  {[]string{"--dta", "x"}, 2, "unknown flag: --dta"},
		"argument":      {[]string{"demo"}, 2, `unexpected argument "demo"`},
		"log level":     {[]string{"--log-level", "loud"}, 2, "not debug, info, warn or error"},
		"auth":          {[]string{"--auth", "bogus"}, 2, `--auth "bogus" is not none or tokens`},
		"exposed":       {[]string{"--auth", "tokens", "--api-listen", "0.0.0.0:0"}, 2, "--api-listen 0.0.0.0:0: the dev stack serves loopback addresses only"},
		"missing file":  {[]string{"--config", "none.yaml"}, 1, "none.yaml"},
		"broken policy": {[]string{"--policy", "main.go", "--data", t.TempDir()}, 1, "main.go:"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(tc.args, &out, &out); code != tc.code || !strings.Contains(out.String(), tc.want) {
				t.Errorf("exit code %d:\n%s", code, out.String())
			}
		})
	}
}
