package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// aging is a store of calls that ended so many hours ago.
type aging struct {
	store.Retention
	ended  map[string]int
	now    time.Time
	erased map[string]store.Erasure
	told   []audit.Erased
	tokens time.Time

	refused map[string]error // of calls that the store does not let go
}

func (a *aging) Erasable(_ context.Context, e store.Erasure, before time.Time, limit int) (ids []string, _ error) {
	for id, hours := range a.ended {
		if a.erased[id] < e && a.now.Add(-time.Duration(hours)*time.Hour).Before(before) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(limit, len(ids))], nil
}

func (a *aging) Erase(_ context.Context, p store.EraseParams) ([]string, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	told, err := audit.ReadPayload(p.Entry.Kind, p.Entry.Payload)
	if err != nil {
		return nil, err
	}
	for _, id := range p.IDs {
		if err := a.refused[id]; err != nil {
			return nil, err
		}
	}
	a.told = append(a.told, told.(audit.Erased))
	for _, id := range p.IDs {
		a.erased[id] = p.Erase
	}
	return p.IDs, nil
}

func (a *aging) PruneTokens(_ context.Context, before time.Time) (int, error) {
	a.tokens = before
	return 0, nil
}

func TestRetentionErasesByAge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := &aging{ended: map[string]int{}, now: now, erased: map[string]store.Erasure{}}
	for hours := range 500 {
		a.ended[fmt.Sprintf("call-%03d", hours)] = hours
	}
	keep := Retention{Payloads: 50 * time.Hour, Rows: 100 * time.Hour, Tokens: 48 * time.Hour}
	r := retainer{keep, a, slog.New(slog.DiscardHandler), map[string]bool{}}
	for range 2 { // the second run finds nothing to do
		if err := r.erase(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	for id, hours := range a.ended {
		want := store.Erasure(0)
		switch {
		case hours > 100:
			want = store.EraseRow
		case hours > 50:
			want = store.ErasePayloads
		}
		if a.erased[id] != want {
			t.Errorf("%s, ended %d hours ago: %d, want %d", id, hours, a.erased[id], want)
		}
	}
	told := 0
	for _, e := range a.told {
		told += len(e.Calls)
		if e.By != "retention" || e.Before == nil || len(e.Calls) > eraseBatch {
			t.Errorf("on record is %d calls, by %s, before %v", len(e.Calls), e.By, e.Before)
		}
	}
	if told != 399+50 || !a.tokens.Equal(now.Add(-48*time.Hour)) {
		t.Errorf("%d calls are on record, tokens before %v", told, a.tokens)
	}
}

// Calls that the store refuses, more and older than a batch, keep no others, and neither keeps what fails
// of one kind another.
func TestRetentionPassesOver(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := &aging{ended: map[string]int{}, now: now, erased: map[string]store.Erasure{}, refused: map[string]error{}}
	for n := range 3 * eraseBatch {
		id := fmt.Sprintf("call-%03d", n)
		a.ended[id] = 200
		switch {
		case n < eraseBatch+1:
			a.refused[id] = fmt.Errorf("erase calls: %w", store.ErrRefused)
		case n%100 == 0:
			a.refused[id] = store.ErrDamaged
		}
	}
	var said bytes.Buffer
	r := retainer{Retention{Rows: 100 * time.Hour, Tokens: 48 * time.Hour}, a, slog.New(slog.NewTextHandler(&said, nil)), map[string]bool{}}
	for range 2 { // the second run tells of nothing that the first one told of
		if err := r.erase(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	for id := range a.ended {
		want, told := store.EraseRow, 0
		if a.refused[id] != nil {
			want, told = 0, 1
		}
		if a.erased[id] != want || strings.Count(said.String(), "call="+id) != told {
			t.Errorf("%s: %d, want %d; the log has it %d times", id, a.erased[id], want, strings.Count(said.String(), "call="+id))
		}
	}
	away := errors.New("the store is away")
	a.refused["call-599"], a.erased, a.tokens, r.keep.Payloads = away, map[string]store.Erasure{}, time.Time{}, 50*time.Hour
	a.ended["young"] = 60
	if err := r.erase(t.Context(), now); strings.Count(err.Error(), away.Error()) != 2 || a.tokens.IsZero() {
		t.Errorf("%v; tokens before %v", err, a.tokens)
	}
}

func TestRetentionHasAFloor(t *testing.T) {
	for _, keep := range []Retention{{}, {Payloads: 24 * time.Hour}, {Rows: 9000 * time.Hour, Tokens: 30 * time.Hour}} {
		if err := keep.Check(); err != nil {
			t.Errorf("%+v: %v", keep, err)
		}
	}
	for _, keep := range []Retention{{Payloads: time.Hour}, {Rows: -time.Hour}, {Payloads: 48 * time.Hour, Tokens: 1}} {
		if keep.Check() == nil {
			t.Errorf("%+v is taken", keep)
		}
	}
}
