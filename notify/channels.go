package notify

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// Channel is where messages go.
type Channel struct {
	Name   string
	URL    string
	Types  []Type        // of the messages that it gets
	Every  time.Duration // the shortest time between two messages, beyond a first few
	Within time.Duration // that a receiver may take to answer

	secrets [][]byte // the messages are signed with each of them
}

// Limits and defaults of a channel.
const (
	DefaultWithin    = 10 * time.Second
	MaxWithin        = time.Minute
	DefaultPerMinute = 30
	maxPerMinute     = 600
	maxChannels      = 20
	minSecretBytes   = 24
)

var (
	channelName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	variable    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Load reads the file of channels at path:
//
//	channels:
//	  - name: ops
//	    url: https://hooks.example.com/pawl   # or url_env, url_file, where it holds a secret
//	    secret_env: OPS_WEBHOOK_SECRET        # or secret_file
//	    types: [request.waiting, call.unknown] # all, if left out
//	    timeout: 10s
//	    per_minute: 30
//
// A secret is whsec_ and the base64 of 24 bytes or more. Several of them, with spaces between them,
// all sign, so that a receiver can go over to the next one. env looks up variables, as os.LookupEnv
// does; files are relative to this one. The error is yamlfile.Problems, and shows no secret and no
// URL.
func Load(path string, env func(string) (string, bool)) ([]Channel, error) {
	var problems yamlfile.Problems
	data, ok := yamlfile.ReadFile(path, &problems)
	if !ok {
		return nil, problems.Err()
	}
	file := yamlfile.Parse(path, data, &problems).Mapping()
	list := file.Need("channels", `write "channels:" and a list under it`)
	entries, _ := list.List()
	file.Done()
	if len(entries) > maxChannels {
		list.Problem("there are too many channels", fmt.Sprintf("use at most %d", maxChannels))
	}
	var channels []Channel
	r := reader{dir: filepath.Dir(path), env: env}
	for _, v := range entries {
		c, named := r.channel(v.Mapping())
		if slices.ContainsFunc(channels, func(other Channel) bool { return c.Name != "" && other.Name == c.Name }) {
			named.Problem(fmt.Sprintf("the channel %q exists already", c.Name), "give one of them another name")
		}
		channels = append(channels, c)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return channels, nil
}

type reader struct {
	dir string
	env func(string) (string, bool)
}

func (r reader) channel(m *yamlfile.Mapping) (c Channel, named yamlfile.Value) {
	c = Channel{Types: Types, Every: time.Minute / DefaultPerMinute, Within: DefaultWithin}
	named = m.Need("name", "name the channel")
	if name, ok := named.Text(); ok {
		if c.Name = name; !channelName.MatchString(name) {
			named.Problem("name is not a channel's name", "use at most 63 small letters, digits and _ -")
		}
	}
	if v, text, ok := r.kept(m, "url"); ok {
		if c.URL = text; !allowedURL(text) {
			v.Problem("url is not an address that messages go to",
				"write https://HOST/…, or http:// for this machine only, without user and fragment")
		}
	}
	if v, text, ok := r.kept(m, "secret"); ok {
		for _, one := range strings.Fields(text) {
			secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, secretPrefix))
			if err != nil || !strings.HasPrefix(one, secretPrefix) || len(secret) < minSecretBytes {
				v.Problem("this holds no secret", fmt.Sprintf("make one of %s and the output of: openssl rand -base64 32",
					secretPrefix))
				break
			}
			c.secrets = append(c.secrets, secret)
		}
		if len(strings.Fields(text)) == 0 {
			v.Problem("the secret is empty", "messages must be signed")
		}
	}
	if v := m.Field("types"); v.Present() {
		c.Types = nil
		list, _ := v.List()
		for _, entry := range list {
			if name, ok := entry.Text(); ok {
				if !slices.Contains(Types, Type(name)) {
					entry.Problem(fmt.Sprintf("there are no messages of the type %q", name),
						fmt.Sprintf("use some of %v", Types))
				}
				c.Types = append(c.Types, Type(name))
			}
		}
	}
	if v := m.Field("timeout"); v.Present() {
		if d, ok := v.Duration(approval.Duration(MaxWithin)); ok {
			c.Within = d.Std()
		}
	}
	if v := m.Field("per_minute"); v.Present() {
		if n, ok := v.Int(1, maxPerMinute); ok {
			c.Every = time.Minute / time.Duration(n)
		}
	}
	m.Done()
	return c, named
}

// kept reads a value that may be a secret: from the field itself if it is the URL, from a variable, or
// from a file.
func (r reader) kept(m *yamlfile.Mapping, name string) (v yamlfile.Value, text string, ok bool) {
	var given []yamlfile.Value
	for _, form := range []string{name, name + "_env", name + "_file"} {
		if form == "secret" {
			if m.Has(form) {
				m.Field(form).Problem("a secret does not belong into this file", "use secret_env or secret_file")
				return v, "", false
			}
			continue
		}
		value := m.Field(form)
		if !value.Present() {
			continue
		}
		given = append(given, value)
		written, isText := value.Text()
		if !isText {
			return v, "", false
		}
		switch v = value; form {
		case name + "_env":
			if !variable.MatchString(written) {
				v.Problem("this is not the name of a variable", "write NAME, without $")
				return v, "", false
			}
			if strings.HasPrefix(written, "PAWL_") { // with an unknown one of these no worker starts
				v.Problem("names that begin with PAWL_ are Pawl's own settings", "give the variable another name")
				return v, "", false
			}
			if text, ok = r.env(written); !ok || text == "" {
				v.Problem(fmt.Sprintf("the variable %s is not set", written), "set it where the worker is started")
				return v, "", false
			}
		case name + "_file":
			if !filepath.IsAbs(written) {
				written = filepath.Join(r.dir, written)
			}
			data, err := os.ReadFile(written)
			if err != nil {
				v.Problem("the file can't be read", "check its path and its rights")
				return v, "", false
			}
			text = strings.TrimSpace(string(data))
		default:
			text = written
		}
	}
	switch {
	case len(given) == 0:
		m.Need(name+"_env", fmt.Sprintf("name the variable or, by %s_file, the file that holds it", name))
	case len(given) > 1:
		given[1].Problem(name+" is said twice", "say it in exactly one way")
	}
	if len(given) != 1 {
		return v, "", false
	}
	return v, text, true
}

// allowedURL reports whether messages may go to an address: by TLS, or to this machine.
func allowedURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Fragment != "" || u.Hostname() == "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}
