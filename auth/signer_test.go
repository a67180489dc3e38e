package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func keyStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Keys is what a Signer needs of a store.
type Keys interface {
	store.Keys
	ID(ctx context.Context) (string, error)
}

func openSigner(t *testing.T, s Keys, file string) *auth.Signer {
	t.Helper()
	signer, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: file, Store: s, By: "pawl api"})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// signs fails unless what the signer signs verifies with the store's keys.
func signs(t *testing.T, s Keys, signer *auth.Signer) approval.Decision {
	t.Helper()
	d, err := signer.Sign(t.Context(), approval.Decision{ID: "d", Kind: approval.Approve, Reviewer: "ana", Channel: "api", Method: string(rest.MethodOIDC)}, "c1", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := verifies(t, s, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func verifies(t *testing.T, s Keys, d approval.Decision) error {
	t.Helper()
	kept, err := s.TrustedKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var keys []sign.PublicKey
	for _, k := range kept {
		key := sign.PublicKey{ID: k.ID, Store: id, Public: k.Public}
		if k.RetiredAt != nil {
			key.RetiredAt = *k.RetiredAt
		}
		keys = append(keys, key)
	}
	_, err = sign.Verify(d, "c1", "x", keys)
	return err
}

func kinds(t *testing.T, s *sqlite.Store, keyID string) []audit.Kind {
	t.Helper()
	page, err := s.Entries(t.Context(), store.EntryQuery{Subject: audit.SubjectKey + keyID})
	if err != nil {
		t.Fatal(err)
	}
	var out []audit.Kind
	for _, e := range page.Items {
		out = append(out, e.Kind)
	}
	return out
}

// slow is a store that answers which keys are trusted when it is let.
type slow struct {
	Keys
	asked chan struct{}
	let   chan struct{}
}

func (s slow) TrustedKeys(ctx context.Context, ids ...string) ([]store.SigningKey, error) {
	s.asked <- struct{}{}
	<-s.let
	return s.Keys.TrustedKeys(ctx, ids...)
}

// Decisions are signed side by side: nobody waits for another one's question to the store.
func TestSignersDoNotQueueForTheStore(t *testing.T) {
	s := slow{keyStore(t), make(chan struct{}), make(chan struct{})}
	file := filepath.Join(t.TempDir(), "signing.pem")
	openSigner(t, s.Keys, file)
	opened := make(chan *auth.Signer)
	go func() { opened <- openSigner(t, s, file) }()
	<-s.asked
	s.let <- struct{}{}
	signer := <-opened
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { signs(t, s.Keys, signer) })
	}
	for range 3 {
		<-s.asked // all three ask before any gets an answer
	}
	if signer.KeyID() == "" {
		t.Error("it has no key")
	}
	close(s.let)
	all.Wait()
}

func TestSigner(t *testing.T) {
	s, file := keyStore(t), filepath.Join(t.TempDir(), "new", "signing.pem")
	first := openSigner(t, s, file)
	d := signs(t, s, first)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again := openSigner(t, s, file)
	if again.KeyID() != first.KeyID() || !slices.Equal(kinds(t, s, first.KeyID()), []audit.Kind{audit.KindKeyAdded}) {
		t.Errorf("the second time, the key is %s, not %s", again.KeyID(), first.KeyID())
	}

	r, err := first.Rotate(t.Context(), "root", approval.Via{}, false)
	if err != nil || r.Key.ID != first.KeyID() || r.Old.ID != again.KeyID() || r.Old.RetiredBy != "root" {
		t.Fatalf("%+v, %v", r, err)
	}
	signs(t, s, first)
	if err := verifies(t, s, d); err != nil {
		t.Errorf("signed before the rotation: %v", err)
	}
	signs(t, s, again) // which has the file in common
	if again.KeyID() != r.Key.ID {
		t.Errorf("it signs with %s", again.KeyID())
	}

	r2, err := first.Rotate(t.Context(), "root", approval.Via{}, true)
	if err != nil || r2.Old.RevokedAt == nil {
		t.Fatalf("%+v, %v", r2, err)
	}
	if !slices.Equal(kinds(t, s, r.Key.ID), []audit.Kind{audit.KindKeyAdded, audit.KindKeyRevoked}) {
		t.Errorf("on record: %v", kinds(t, s, r.Key.ID))
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the key: %v, %v", left, err)
	}
}

func TestSignerWhoseKeyEnded(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		s, file := keyStore(t), filepath.Join(t.TempDir(), "signing.pem")
		signer := openSigner(t, s, file)
		if _, _, err := s.EndKey(t.Context(), store.EndKeyParams{ID: signer.KeyID(), Revoke: revoke, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if d, err := signer.Sign(t.Context(), approval.Decision{ID: "d", Kind: approval.Approve, Reviewer: "ana", Channel: "api", Method: "token"}, "c1", "x"); !errors.Is(err, auth.ErrKeyEnded) || d.Envelope != nil {
			t.Errorf("%s, %v", d.Envelope, err)
		}
		if _, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: file, Store: s, By: "b"}); !errors.Is(err, auth.ErrKeyEnded) {
			t.Errorf("%v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		signs(t, s, openSigner(t, s, file))
	}
}

func TestSignerOnAReadOnlyStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "signing.pem")
	known := openSigner(t, s, file)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	signer := openSigner(t, read, file)
	if signer.KeyID() != known.KeyID() {
		t.Error("another key")
	}
	signs(t, read, signer)
	if _, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: file + "2", Store: read, By: "b"}); !errors.Is(err, auth.ErrKeyUnknown) || !strings.Contains(err.Error(), "pawl key add") {
		t.Errorf("%v", err)
	}
	if _, err := signer.Rotate(t.Context(), "root", approval.Via{}, false); err == nil {
		t.Error("rotated")
	}
	signs(t, read, openSigner(t, read, file)) // nothing was changed
}

// Whatever fails on the way, the file holds a key that is good.
func TestRotationThatFails(t *testing.T) {
	s, file := keyStore(t), filepath.Join(t.TempDir(), "signing.pem")
	for name, failing := range map[string]*halfway{"adding": {Keys: s, add: true}, "ending": {Keys: s, end: true}} {
		signer, half := openSigner(t, s, file), openSigner(t, failing, file)
		failing.away = true
		if _, err := half.Rotate(t.Context(), "root", approval.Via{}, false); err == nil {
			t.Errorf("%s: no error", name)
		}
		failing.away = false
		signs(t, s, half)
		signs(t, s, signer)
		signs(t, s, openSigner(t, s, file))
	}
}

// Of several processes that share a file, one may rotate behind the others' backs. The next to
// rotate ends the key that is in the file, which is the one that others may have.
func TestRotationAfterAnothers(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		s, file := keyStore(t), filepath.Join(t.TempDir(), "signing.pem")
		a, b := openSigner(t, s, file), openSigner(t, s, file)
		by, err := a.Rotate(t.Context(), "root", approval.Via{}, false)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Rotate(t.Context(), "root", approval.Via{}, revoke)
		if err != nil || r.Old.ID != by.Key.ID || revoke != (r.Old.RevokedAt != nil) {
			t.Errorf("revoke %v: ended %+v, want %s; %v", revoke, r.Old, by.Key.ID, err)
		}
		all, err := s.SigningKeys(t.Context(), store.Paging{})
		if err != nil || len(all.Items) != 3 {
			t.Fatalf("%+v, %v", all.Items, err)
		}
		for _, k := range all.Items {
			if ended := k.RetiredAt != nil || k.RevokedAt != nil; ended == (k.ID == r.Key.ID) {
				t.Errorf("revoke %v: of the keys, %s in use, this is left: %+v", revoke, r.Key.ID, k)
			}
		}
		signs(t, s, a)
		signs(t, s, b)
	}
}

// A key that is retired while a decision is signed, by another process and with another clock,
// still signed it: nobody who decides is to notice a rotation.
func TestSignWhileTheKeyIsRetired(t *testing.T) {
	for _, behind := range []time.Duration{0, 10 * time.Second} {
		s, file := keyStore(t), filepath.Join(t.TempDir(), "signing.pem")
		signer := openSigner(t, &retiring{Keys: s, behind: behind}, file)
		signs(t, s, signer)
		if d, err := signer.Sign(t.Context(), approval.Decision{ID: "d", Kind: approval.Approve, Reviewer: "ana", Channel: "api", Method: "token"}, "c1", "x"); !errors.Is(err, auth.ErrKeyEnded) {
			t.Errorf("the next one: %s, %v", d.Envelope, err)
		}
	}
}

// retiring is a store in which a key is retired as soon as a signer has heard that it is good, by a
// clock that is behind.
type retiring struct {
	Keys
	behind time.Duration
}

func (r *retiring) TrustedKeys(ctx context.Context, ids ...string) ([]store.SigningKey, error) {
	keys, err := r.Keys.TrustedKeys(ctx, ids...)
	for _, k := range keys {
		if _, _, ended := r.EndKey(ctx, store.EndKeyParams{ID: k.ID, By: "another", At: time.Now().Add(-r.behind)}); ended != nil {
			err = errors.Join(err, ended)
		}
	}
	return keys, err
}

// halfway is a store that fails to add keys, or to end them.
type halfway struct {
	Keys
	add, end, away bool
}

func (h *halfway) AddKey(ctx context.Context, k store.NewKey) (store.SigningKey, bool, error) {
	if h.away && h.add {
		return store.SigningKey{}, false, errors.New("the database is away")
	}
	return h.Keys.AddKey(ctx, k)
}

func (h *halfway) EndKey(ctx context.Context, e store.EndKeyParams) (store.SigningKey, bool, error) {
	if h.away && h.end {
		return store.SigningKey{}, false, errors.New("the database is away")
	}
	return h.Keys.EndKey(ctx, e)
}

func TestManySignersMakeOneKey(t *testing.T) {
	s, file := keyStore(t), filepath.Join(t.TempDir(), "signing.pem")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			signer, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: file, Store: s, By: "b"})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = signer.KeyID()
		})
	}
	wg.Wait()
	if slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) {
		t.Errorf("%v", ids)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	s, dir := keyStore(t), t.TempDir()
	good := filepath.Join(dir, "good")
	openSigner(t, s, good)
	doc, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty": "", "text": "secret", "cut": string(doc[:len(doc)-30]), "twice": string(doc) + string(doc), "another kind": strings.ReplaceAll(string(doc), "PRIVATE", "PUBLIC"),
		"RSA": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "huge": string(doc) + strings.Repeat("\n", 20000),
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: file, Store: s, By: "b"})
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(file); string(after) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: dir, Store: s, By: "b"}); err == nil {
		t.Error("a folder was taken")
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(good, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.OpenSigner(t.Context(), auth.SignerOptions{File: good, Store: s, By: "b"}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestSignerOptions(t *testing.T) {
	s := keyStore(t)
	for _, o := range []auth.SignerOptions{{Store: s, By: "b"}, {File: "f", By: "b"}, {File: "f", Store: s}} {
		if _, err := auth.OpenSigner(t.Context(), o); err == nil || !strings.Contains(fmt.Sprint(err), "SignerOptions") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
