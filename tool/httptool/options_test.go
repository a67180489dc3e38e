package httptool

import (
	"encoding/json"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

func TestOptionsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no name":         {func(o *Options) { o.Name = "" }, "tool is missing"},
		"no schema":       {func(o *Options) { o.Schema = nil }, "schema: it is missing"},
		"timeout":         {func(o *Options) { o.Timeout = -time.Second }, "timeout"},
		"no url":          {func(o *Options) { o.URL = "" }, "url is missing"},
		"unreadable url":  {func(o *Options) { o.URL = "http://s3cr3t:s3cr3t@h:port/" }, "can't be read"},
		"other scheme":    {func(o *Options) { o.URL = "file:///s3cr3t" }, "http:// or https://"},
		"no scheme":       {func(o *Options) { o.URL = "s3cr3t.invalid/x" }, "http:// or https://"},
		"no host":         {func(o *Options) { o.URL = "http:///s3cr3t" }, "names no host"},
		"no host, port":   {func(o *Options) { o.URL = "http://:80/s3cr3t" }, "names no host"},
		"fragment":        {func(o *Options) { o.URL += "#s3cr3t" }, "fragment"},
		"empty fragment":  {func(o *Options) { o.URL += "#" }, "fragment"},
		"header's name":   {func(o *Options) { o.Headers["a b"] = secret }, "is not a header's name"},
		"header's value":  {func(o *Options) { o.Headers["A"] = "s3cr3t\r\nB: c" }, "control character"},
		"reserved header": {func(o *Options) { o.Headers["idempotency-key"] = secret }, "Idempotency-Key is set by the tool itself"},
		"host header":     {func(o *Options) { o.Headers["host"] = secret }, "Host is set by the tool itself"},
		"header twice":    {func(o *Options) { o.Headers["X-API-Key"] = secret }, "is given twice"},
		"two credentials": {func(o *Options) { o.Headers["authorization"] = secret }, "keep one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options("http://127.0.0.1:9")
			c.change(&o)
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), c.want) || approval.CodeOf(err) != approval.CodeInvalid {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestToolIsAsAsked(t *testing.T) {
	o := options("https://127.0.0.1:9")
	o.Description, o.Idempotent = "Charge a card.", true
	made, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if made.Name() != "charge_card" || made.Kind() != Kind || made.Timeout() != 10*time.Second || !made.Idempotent() || made.Description() != o.Description {
		t.Errorf("got %+v", made)
	}
}

func TestCallsThatCannotBeNamedAreNotSent(t *testing.T) {
	address, connections := raw(t, says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	made, err := New(options(address))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]tool.Invocation{
		"no ID":         {Digest: "d"},
		"no digest":     {CallID: "c"},
		"ID of lines":   {CallID: "c\r\nX: y", Digest: "d"},
		"digest, NUL":   {CallID: "c", Digest: "d\x00"},
		"bad arguments": {CallID: "c", Digest: "d", Args: json.RawMessage(`[]`)},
	} {
		t.Run(name, func(t *testing.T) {
			if c.Args == nil {
				c.Args = json.RawMessage(`{}`)
			}
			if _, err := made.Run(t.Context(), c); err == nil || tool.IsUnknown(err) {
				t.Errorf("unknown %v: %v", tool.IsUnknown(err), err)
			}
		})
	}
	if connections.Load() != 0 {
		t.Errorf("%d connections", connections.Load())
	}
}
