package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// fakeStore is a store in memory. A set err fails everything; a panicking one stands for bugs.
type fakeStore struct {
	mu        sync.Mutex
	records   map[string]store.Record
	previous  map[string][]approval.View
	entries   []audit.Entry
	tools     []store.Tool
	applied   []store.ApplyParams // policies, oldest first
	tokens    map[string]store.Token
	sessions  fakeSessions
	keys      []store.SigningKey
	signed    []store.Checkpoint
	err       error
	broken    any
	first     *store.Record // what the next reading of a call finds, once
	asked     store.CallQuery
	appendErr error // fails what writes
	askedE    store.EntryQuery
}

func (s *fakeStore) begin() error {
	if s.broken != nil {
		panic(s.broken)
	}
	return s.err
}

func (s *fakeStore) LastCheckpoint(context.Context) (c store.Checkpoint, err error) {
	if len(s.signed) > 0 {
		c = s.signed[len(s.signed)-1]
	}
	return c, s.begin()
}

func (s *fakeStore) Checkpoints(_ context.Context, after int64, _ int) (found []store.Checkpoint, err error) {
	for _, c := range s.signed {
		if c.Size > after {
			found = append(found, c)
		}
	}
	return found, s.begin()
}

func (s *fakeStore) Nodes(context.Context, int, int64, int64) ([]audit.Hash, error) {
	return nil, s.begin()
}

func (s *fakeStore) put(r store.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[r.View.ID] = r
}

func (s *fakeStore) Call(_ context.Context, id string) (store.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return store.Record{}, err
	}
	if r := s.first; r != nil {
		s.first = nil
		return *r, nil
	}
	r, ok := s.records[id]
	if !ok {
		return r, store.ErrNotFound
	}
	return r, nil
}

func (s *fakeStore) Resolve(_ context.Context, prefix string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return "", err
	}
	if _, ok := s.records[prefix]; ok {
		return prefix, nil
	}
	found := ""
	for id := range s.records {
		if strings.HasPrefix(id, prefix) {
			if found != "" {
				return "", store.ErrAmbiguous
			}
			found = id
		}
	}
	if found == "" {
		return "", store.ErrNotFound
	}
	return found, nil
}

func (s *fakeStore) Calls(_ context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return store.Page[approval.View]{}, err
	}
	s.asked = q
	if q.Cursor == "bad" {
		return store.Page[approval.View]{}, approval.Errorf(approval.CodeInvalid, "cursor is not one that a list gave out")
	}
	var p store.Page[approval.View]
	for _, r := range s.records {
		if (len(q.Statuses) == 0 || slices.Contains(q.Statuses, r.View.Status)) && (q.Requester == "" || q.Requester == r.View.Requester) &&
			(q.Session == "" || q.Session == r.View.Session) {
			p.Items = append(p.Items, r.View)
		}
	}
	slices.SortFunc(p.Items, func(a, b approval.View) int { return strings.Compare(a.ID, b.ID) })
	p.Total = len(p.Items)
	if q.Limit < len(p.Items) {
		p.Items, p.Next = p.Items[:q.Limit], "next"
	}
	return p, nil
}

func (s *fakeStore) Previous(_ context.Context, id string) ([]approval.View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.previous[id], s.begin()
}

func (s *fakeStore) Entries(_ context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return store.Page[audit.Entry]{}, err
	}
	s.askedE = q
	var p store.Page[audit.Entry]
	for _, e := range s.entries {
		if q.Subject == "" || e.Subject == q.Subject {
			p.Items = append(p.Items, e)
		}
	}
	p.Total = len(p.Items)
	return p, nil
}

func (s *fakeStore) Tools(context.Context) ([]store.Tool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tools, s.begin()
}

func (s *fakeStore) Append(_ context.Context, entries ...audit.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.begin(), s.appendErr); err != nil {
		return err
	}
	s.entries = append(s.entries, entries...)
	return nil
}

func (s *fakeStore) AddToken(_ context.Context, t store.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.begin(), s.appendErr); err != nil {
		return err
	}
	if s.tokens == nil {
		s.tokens = map[string]store.Token{}
	}
	s.tokens[t.ID] = t
	e, err := t.Entry()
	s.entries = append(s.entries, e)
	return err
}

func (s *fakeStore) RevokeToken(_ context.Context, r store.RevokeParams) (store.Token, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tokens[r.ID]
	switch {
	case s.begin() != nil:
		return t, false, s.err
	case !known:
		return t, false, store.ErrNotFound
	case t.RevokedAt != nil:
		return t, false, nil
	}
	t.RevokedAt, t.RevokedBy = &r.At, r.By
	s.tokens[r.ID] = t
	e, err := r.Entry()
	s.entries = append(s.entries, e)
	return t, true, err
}

func (s *fakeStore) Token(_ context.Context, id string) (store.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return store.Token{}, err
	}
	t, known := s.tokens[id]
	if !known {
		return t, store.ErrNotFound
	}
	return t, nil
}

func (s *fakeStore) Tokens(context.Context, store.Paging) (store.Page[store.Token], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := store.Page[store.Token]{Items: slices.Collect(maps.Values(s.tokens)), Total: len(s.tokens)}
	return p, s.begin()
}

func (s *fakeStore) AddKey(_ context.Context, k store.NewKey) (store.SigningKey, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.begin(), s.appendErr); err != nil {
		return k.SigningKey, false, err
	}
	if i := s.keyAt(k.ID); i >= 0 {
		return s.keys[i], false, nil
	}
	s.keys = append(s.keys, k.SigningKey)
	s.wrote(k)
	return k.SigningKey, true, nil
}

func (s *fakeStore) EndKey(_ context.Context, e store.EndKeyParams) (store.SigningKey, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return store.SigningKey{}, false, err
	}
	i := s.keyAt(e.ID)
	if i < 0 {
		return store.SigningKey{}, false, store.ErrNotFound
	}
	k := &s.keys[i]
	if e.Done(*k) {
		return *k, false, nil
	}
	if e.Revoke {
		k.RevokedAt, k.RevokedBy = &e.At, e.By
	} else {
		k.RetiredAt, k.RetiredBy = &e.At, e.By
	}
	s.wrote(e)
	return *k, true, nil
}

// wrote keeps the entry of what was changed.
func (s *fakeStore) wrote(change interface{ Entry() (audit.Entry, error) }) {
	if e, err := change.Entry(); err == nil {
		s.entries = append(s.entries, e)
	}
}

func (s *fakeStore) keyAt(id string) int {
	return slices.IndexFunc(s.keys, func(k store.SigningKey) bool { return k.ID == id })
}

func (s *fakeStore) TrustedKeys(_ context.Context, ids ...string) (out []store.SigningKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.RevokedAt == nil && (len(ids) == 0 || slices.Contains(ids, k.ID)) {
			out = append(out, k)
		}
	}
	return out, s.begin()
}

func (s *fakeStore) SigningKeys(context.Context, store.Paging) (store.Page[store.SigningKey], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return store.Page[store.SigningKey]{Items: slices.Clone(s.keys), Total: len(s.keys)}, s.begin()
}

const fakeStoreID = "store-1"

func (s *fakeStore) ID(context.Context) (string, error) { return fakeStoreID, nil }

func (s *fakeStore) Ping(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.appendErr, store.ErrReadOnly) {
		return s.begin()
	}
	return cmp.Or(s.begin(), s.appendErr)
}

func (s *fakeStore) ApplyPolicy(_ context.Context, a store.ApplyParams) (v store.PolicyVersion, fresh bool, err error) {
	if err := a.Check(); err != nil {
		return v, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return v, false, err
	}
	if n := len(s.applied); n > 0 {
		v = s.applied[n-1].Version()
	}
	switch {
	case v.Digest == a.Set.Digest:
		return v, false, nil
	case v.Version != a.Expect:
		return v, false, store.ErrPolicyChanged
	}
	a.At = testTime
	s.applied = append(s.applied, a)
	s.wrote(a)
	return a.Version(), true, nil
}

func (s *fakeStore) ActivePolicy(context.Context) (v store.PolicyVersion, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return v, err
	}
	if n := len(s.applied); n > 0 {
		return s.applied[n-1].Version(), nil
	}
	return v, store.ErrNotFound
}

func (s *fakeStore) Policy(_ context.Context, digest string) (set store.PolicySet, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return set, err
	}
	for _, a := range s.applied {
		if strings.HasPrefix(a.Set.Digest, digest) {
			if set.Digest != "" && set.Digest != a.Set.Digest {
				return set, store.ErrAmbiguous
			}
			set = a.Set
		}
	}
	if set.Digest == "" {
		return set, store.ErrNotFound
	}
	return set, nil
}

func (s *fakeStore) PolicyVersions(_ context.Context, q store.Paging) (p store.Page[store.PolicyVersion], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return p, err
	}
	if q.Cursor == "bad" {
		return p, approval.Errorf(approval.CodeInvalid, "cursor is not one that a list gave out")
	}
	for _, a := range slices.Backward(s.applied) {
		p.Items = append(p.Items, a.Version())
	}
	p.Total = len(p.Items)
	if q.Limit < len(p.Items) {
		p.Items, p.Next = p.Items[:q.Limit], "next"
	}
	return p, nil
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func (s *fakeStore) Changes(_ context.Context, after int64) ([]store.Change, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place := int64(len(s.entries))
	if err := s.begin(); err != nil || after < 0 {
		return nil, place, err
	}
	var changed []store.Change
	for _, e := range s.entries[after:] {
		r := s.records[e.Subject]
		changed = append(changed, store.Change{ID: e.Subject, Requester: r.View.Requester, Revision: r.Revision})
	}
	return changed, place, nil
}
