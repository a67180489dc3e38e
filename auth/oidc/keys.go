package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pawlhq/pawl/approval"
)

// How long fetched keys are used. Between keysFresh and keysGood an issuer that is down does no
// harm; after that its keys are not used: it may have withdrawn them.
const (
	keysFresh = 10 * time.Minute
	keysGood  = time.Hour
	// keysPause is between two fetches, whatever tokens ask for.
	keysPause    = 5 * time.Second
	fetchTimeout = 5 * time.Second
	maxDocument  = 1 << 20
	maxKeys      = 100
	maxRedirects = 3
)

// errNoKey: no key of the issuer's has signed the token.
var errNoKey = errors.New("no key of the issuer's fits the token")

// keySet holds the issuer's keys. Whatever is sent to it, it asks the issuer no more than once in
// keysPause.
type keySet struct {
	issuer string
	client *http.Client
	log    *slog.Logger

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	where    endpoints
	of       time.Time // when they were fetched
	tried    time.Time // when it was tried last
	failure  error     // of that
	fetching chan struct{}
}

func newKeySet(issuer string, client *http.Client, log *slog.Logger) *keySet {
	c := *client
	c.Timeout = fetchTimeout
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || !secure(r.URL) {
			return errors.New("it redirects too often, or to where it is not encrypted")
		}
		return nil
	}
	return &keySet{issuer: issuer, client: &c, log: log}
}

// verify tries the keys that a token's header names. A token of a key that is not known makes it
// look for new ones. Errors: errNoKey; any other means that there are no keys now.
func (k *keySet) verify(ctx context.Context, header jose.Header, try func(jose.JSONWebKey) error) error {
	keys, err := k.current(ctx)
	if err != nil {
		return err
	}
	if matches(keys, header, try) {
		return nil
	}
	// Also for a key that is known: its ID may have been given to another.
	newer, fetched := k.newer(ctx)
	if fetched && matches(newer, header, try) {
		return nil
	}
	return errNoKey
}

func matches(keys []jose.JSONWebKey, header jose.Header, try func(jose.JSONWebKey) error) bool {
	for _, key := range keys {
		named := header.KeyID == "" || key.KeyID == header.KeyID
		fits := key.Algorithm == "" || key.Algorithm == header.Algorithm
		if named && fits && try(key) == nil {
			return true
		}
	}
	return false
}

// current returns keys that are good, fetched anew if they are not fresh.
func (k *keySet) current(ctx context.Context) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	fresh := k.keys != nil && time.Since(k.of) < keysFresh
	k.mu.Unlock()
	if !fresh {
		k.newer(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.keys != nil && time.Since(k.of) < keysGood:
		return k.keys, nil
	case k.failure == nil:
		return nil, ctx.Err()
	}
	return nil, k.failure
}

// endpoints returns where the issuer signs people in.
func (k *keySet) endpoints(ctx context.Context) (endpoints, error) {
	if _, err := k.current(ctx); err != nil {
		return endpoints{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.where, k.where.check()
}

// newer fetches keys, unless that was tried just now. Whoever comes while they are fetched shares
// them.
func (k *keySet) newer(ctx context.Context) ([]jose.JSONWebKey, bool) {
	k.mu.Lock()
	if k.fetching == nil {
		if time.Since(k.tried) < keysPause {
			k.mu.Unlock()
			return nil, false
		}
		k.fetching = make(chan struct{})
		go k.run(k.fetching)
	}
	done := k.fetching
	k.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, k.failure == nil
}

// run fetches for everybody who waits, so nobody's leaving ends it.
func (k *keySet) run(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*fetchTimeout)
	defer cancel()
	keys, where, err := fetch(ctx, k.client, k.issuer)
	if err != nil {
		k.log.Warn("the OpenID Connect issuer's keys could not be fetched", "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.failure, k.fetching = time.Now(), err, nil
	if err == nil {
		k.keys, k.where, k.of = keys, where, k.tried
	}
	close(done)
}

// endpoints are where people sign in, as the issuer's discovery document says.
type endpoints struct {
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Methods       []string `json:"token_endpoint_auth_methods_supported"`
}

func (e endpoints) check() error {
	for name, address := range map[string]string{
		"authorization_endpoint": e.Authorization, "token_endpoint": e.Token,
	} {
		if u, err := url.Parse(address); err != nil || !secure(u) {
			return fmt.Errorf("the issuer names no https address of its %s", name)
		}
	}
	return nil
}

// fetch reads the issuer's discovery document, and the keys it names.
func fetch(ctx context.Context, client *http.Client, issuer string) ([]jose.JSONWebKey, endpoints, error) {
	var provider struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
		endpoints
	}
	document := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	if err := get(ctx, client, document, &provider); err != nil {
		return nil, endpoints{}, err
	}
	if provider.Issuer != issuer {
		return nil, endpoints{}, fmt.Errorf("%s calls itself %q: give exactly that URL",
			issuer, approval.Display(provider.Issuer, 200))
	}
	where, err := url.Parse(provider.Keys)
	if err != nil || !secure(where) {
		return nil, endpoints{}, fmt.Errorf("%s names no https address of its keys (jwks_uri)", document)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := get(ctx, client, provider.Keys, &set); err != nil {
		return nil, endpoints{}, err
	}
	if len(set.Keys) > maxKeys {
		return nil, endpoints{}, fmt.Errorf("keys at %s: %d; at most %d are taken",
			where.Redacted(), len(set.Keys), maxKeys)
	}
	keys := []jose.JSONWebKey{}
	for _, doc := range set.Keys {
		var key jose.JSONWebKey
		// Keys of other kinds and uses stand there, too. Secret ones must not be taken for anything.
		if key.UnmarshalJSON(doc) != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, endpoints{}, fmt.Errorf("%s has no public key for signatures", where.Redacted())
	}
	return keys, provider.endpoints, nil
}

func get(ctx context.Context, client *http.Client, address string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	return do(client, r, into)
}

// do sends a request, and reads the JSON that answers it.
func do(client *http.Client, r *http.Request, into any) error {
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", r.URL.Redacted(), answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", r.URL.Redacted(), err)
	case len(body) > maxDocument:
		return fmt.Errorf("%s answers more than %d bytes", r.URL.Redacted(), maxDocument)
	case json.Unmarshal(body, into) != nil:
		return fmt.Errorf("%s answers JSON of an unexpected form", r.URL.Redacted())
	}
	return nil
}
