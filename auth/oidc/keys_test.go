package oidc

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

func TestRotatedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		a := i.authenticator()
		if _, err := a.Authenticate(t.Context(), sign(t, jose.RS256, rsaKey, "r", good())); err != nil {
			t.Fatal(err)
		}
		i.change(func() {
			i.keys = []jose.JSONWebKey{{Key: ecKey.Public(), KeyID: "new"}}
		})
		time.Sleep(keysPause) // an issuer shows a key before it uses it
		if _, err := a.Authenticate(t.Context(), sign(t, jose.ES256, ecKey, "new", good())); err != nil {
			t.Errorf("a token of the new key: %v", err)
		}
		_, err := a.Authenticate(t.Context(), sign(t, jose.RS256, rsaKey, "r", good()))
		refused(t, "a token of the key that is gone", err, rest.CodeTokenUnknown)

		i.change(func() { // the same ID for another key
			i.keys = []jose.JSONWebKey{{Key: edKey.Public(), KeyID: "new"}}
		})
		time.Sleep(keysPause)
		if _, err := a.Authenticate(t.Context(), sign(t, jose.EdDSA, edKey, "new", good())); err != nil {
			t.Errorf("a token of the key that took the ID over: %v", err)
		}
	})
}

// A key that the issuer withdrew counts no longer, also if nobody shows a newer.
func TestWithdrawnKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		a := i.authenticator()
		ask := func() error {
			_, err := a.Authenticate(t.Context(), sign(t, jose.RS256, rsaKey, "r", good()))
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		i.change(func() { i.keys = i.keys[1:] })
		time.Sleep(keysFresh)
		refused(t, "a token of the withdrawn key", ask(), rest.CodeTokenUnknown)
	})
}

func TestUnknownKeysDoNotFloodTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		a := i.authenticator()
		begin := time.Now()
		var flood sync.WaitGroup
		for n := range 200 {
			text := sign(t, jose.ES256, ecKey, fmt.Sprint("unknown-", n), good())
			flood.Go(func() {
				_, err := a.Authenticate(t.Context(), text)
				refused(t, "a token of an unknown key", err, rest.CodeTokenUnknown)
			})
		}
		flood.Wait()
		for range 20 {
			time.Sleep(keysPause / 4)
			_, err := a.Authenticate(t.Context(), sign(t, jose.ES256, ecKey, "unknown", good()))
			refused(t, "a token of an unknown key", err, rest.CodeTokenUnknown)
			if _, err := a.Authenticate(t.Context(), sign(t, jose.ES256, ecKey, "e", good())); err != nil {
				t.Errorf("a good token meanwhile: %v", err)
			}
		}
		if n, most := i.fetches(), int(time.Since(begin)/keysPause)+1; n > most {
			t.Errorf("%v of unknown keys made %d fetches; at most %d were due", time.Since(begin), n, most)
		}
	})
}

func TestIssuerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		i.down = true
		a := i.authenticator()
		ask := func() error {
			_, err := a.Authenticate(t.Context(), sign(t, jose.ES256, ecKey, "e", good()))
			return err
		}
		if err := ask(); err == nil || auth.Refused(err) != nil {
			t.Errorf("before there are keys: %v, want that it can't be told", err)
		}
		if a.Ready(t.Context()) == nil || a.Check(t.Context()) == nil {
			t.Error("it says that it is ready")
		}
		i.change(func() { i.down = false })
		time.Sleep(keysPause)
		if err := ask(); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		if err := a.Ready(t.Context()); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		i.change(func() { i.down = true })
		for range 3 {
			time.Sleep(keysGood / 4)
			if err := ask(); err != nil {
				t.Errorf("while its keys are good: %v", err)
			}
		}
		time.Sleep(keysGood / 4)
		if err := ask(); err == nil || auth.Refused(err) != nil {
			t.Errorf("when its keys are too old: %v, want that it can't be told", err)
		}
		i.change(func() { i.down = false })
		time.Sleep(keysPause)
		if err := ask(); err != nil {
			t.Errorf("when it is back again: %v", err)
		}
	})
}

func TestFetchRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*issuer)
		says   string
	}{
		"another name":     {func(i *issuer) { i.names = "https://evil.example" }, "calls itself"},
		"keys in the open": {func(i *issuer) { i.jwksURI = "http://id.example.com/keys" }, "https"},
		"keys nowhere":     {func(i *issuer) { i.jwksURI = "" }, "https"},
		"keys in a file":   {func(i *issuer) { i.jwksURI = "file:///etc/passwd" }, "https"},
		"no keys":          {func(i *issuer) { i.keys = nil }, "no public key"},
		"secret keys only": {func(i *issuer) { i.keys = []jose.JSONWebKey{{Key: []byte("secret"), KeyID: "o"}} }, "no public key"},
		"private keys":     {func(i *issuer) { i.keys = []jose.JSONWebKey{{Key: ecKey, KeyID: "e"}} }, "no public key"},
		"a flood of keys":  {func(i *issuer) { i.keys = make101() }, "at most"},
	} {
		i := newIssuer(t)
		c.change(i)
		if err := i.authenticator().Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", name, err, c.says)
		}
	}
}

func make101() (keys []jose.JSONWebKey) {
	for n := range maxKeys + 1 {
		keys = append(keys, jose.JSONWebKey{Key: ecKey.Public(), KeyID: fmt.Sprint(n)})
	}
	return keys
}
