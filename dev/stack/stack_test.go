package stack_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/dev/stack"
)

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dev.yaml")
	load := func(text string) (stack.Config, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return loadConfig(path, true)
	}

	c, err := load("data: d\ntemporal: {listen: 127.0.0.1:1, history_shards: 8, retention: 24h}\nworker: {ordinary_steps: true}\npolicy: [p.yaml, /abs.yaml]\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != filepath.Join(dir, "d") || c.TemporalListen != "127.0.0.1:1" || c.HistoryShards != 8 || c.TemporalRetention != 24*time.Hour ||
		!c.OrdinarySteps || c.Policy[0] != filepath.Join(dir, "p.yaml") || c.Policy[1] != "/abs.yaml" || c.APIListen != stack.Default().APIListen {
		t.Errorf("%+v", c)
	}

	_, err = load("dta: x\ntemporal: {history_shards: many}\nui: 7\nworker:\n  sample_tools: yes\n")
	if err == nil {
		t.Fatal("nonsense was loaded")
	}
	for _, want := range []string{`dev.yaml:1:1`, `did you mean "data"?`, "dev.yaml:2:", "a whole number", "dev.yaml:3:", "dev.yaml:5:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}

	if c, err = load("database_url: postgres://u@h/d\n"); err != nil || c.DatabaseURL != "postgres://u@h/d" {
		t.Errorf("%+v %v", c, err)
	}
	_, err = load("database_url: mysql://u:hunter2@h/d\n")
	if err == nil || !strings.Contains(err.Error(), "dev.yaml:1:15: the database URL can't be used") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}

	missing := filepath.Join(dir, "none.yaml")
	if _, err := loadConfig(missing, true); err == nil {
		t.Error("a named file that is missing is no error")
	}
	if c, err := loadConfig(missing, false); err != nil || c.Data != stack.Default().Data {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := loadConfig("../../"+stack.DefaultFile, true); err != nil {
		t.Errorf("the file that comes with Pawl: %v", err)
	}
}

func loadConfig(path string, named bool) (stack.Config, error) {
	c := new(stack.Config)
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.AddFlags(f)
	if c.Config = path; named {
		if err := f.Set("config", path); err != nil {
			return *c, err
		}
	}
	err := c.Read(f)
	return *c, err
}

func quick(t *testing.T) stack.Config {
	c := stack.Default()
	c.Data = filepath.Join(t.TempDir(), "data")
	c.APIListen, c.TemporalListen, c.UIListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return c
}

func start(t *testing.T, c stack.Config) (*stack.Stack, error) {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Config: c})
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

func TestStartServesEverything(t *testing.T) {
	c := quick(t)
	c.SampleTools = true
	s, err := start(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{s.API + "/readyz", s.API + "/api/tools", s.UI} {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, resp.Status)
		}
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("rulez: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		change func(*stack.Config)
		want   []string
	}{
		"busy API port":      {func(c *stack.Config) { c.APIListen = busy.Addr().String() }, []string{port, "--api-listen"}},
		"busy Temporal port": {func(c *stack.Config) { c.TemporalListen = busy.Addr().String() }, []string{port, "--temporal-listen"}},
		"busy UI port":       {func(c *stack.Config) { c.UIListen = busy.Addr().String() }, []string{port, "--ui-listen"}},
		"open to the world":  {func(c *stack.Config) { c.APIListen = "0.0.0.0:0" }, []string{"loopback"}},
		"open Temporal":      {func(c *stack.Config) { c.TemporalListen = "0.0.0.0:0" }, []string{"--temporal-listen", "loopback"}},
		"open UI":            {func(c *stack.Config) { c.UIListen = "[::]:0" }, []string{"--ui-listen", "loopback"}},
		"bad policy":         {func(c *stack.Config) { c.Policy = []string{bad} }, []string{"policy", "bad.yaml:1:1"}},
		"bad tools":          {func(c *stack.Config) { c.Tools = bad }, []string{"tools", "bad.yaml:1:1"}},
		"missing policy":     {func(c *stack.Config) { c.Policy = []string{"/nowhere/p.yaml"} }, []string{"/nowhere/p.yaml"}},
		"data is a file":     {func(c *stack.Config) { c.Data = bad }, []string{"data directory", "--data"}},
		"log level":          {func(c *stack.Config) { c.TemporalLogLevel = "loud" }, []string{"log_level", "loud"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := quick(t)
			tc.change(&c)
			_, err := start(t, c)
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
		})
	}
}

func TestOneProcessOwnsTheData(t *testing.T) {
	c := quick(t)
	if _, err := start(t, c); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, c); err == nil || !strings.Contains(err.Error(), c.Data) {
		t.Errorf("a second stack on the same data: %v", err)
	}
}

func TestStartCanBeStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := stack.Start(ctx, stack.Options{Config: quick(t)})
	if err == nil {
		_ = s.Close()
		t.Fatal("it started although nobody wants it any more")
	}
}
