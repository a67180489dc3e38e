package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

const (
	listeners = 500
	perToken  = 25 // streams: about as many as one principal may have open
	sampled   = 20 // streams of which each event is timed; the others are only read

	leastOfStarts = 0.9  // starts beside those without streams
	mostLag       = 1000 // ms, p95
)

// events measures how late streams of events are while calls come in as fast as they can, and how
// many fewer come in than without streams.
func (b *bench) events(ctx context.Context) error {
	if err := b.eventsOn(ctx, "dev stack, SQLite", ""); err != nil || b.server == "" {
		return err
	}
	return b.eventsOn(ctx, "dev stack, Postgres", b.server)
}

func (b *bench) eventsOn(ctx context.Context, name, server string) (err error) {
	s, _, err := b.devStack(ctx, name, server, "--auth", "tokens")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	tokens, err := s.readers(ctx, listeners/perToken)
	if err != nil {
		return err
	}
	if _, _, err = s.starts(ctx, b.o.duration/20); err != nil { // connections, caches
		return err
	}
	rounds := b.rounds()
	var with, without, lags, memory []float64
	for round := range rounds {
		b.say("%s: starts without and with %d streams, round %d of %d", name, listeners, round+1, rounds)
		for i := range 2 {
			listening := (round+i)%2 == 1 // who goes first changes
			if !listening {
				rate, _, err := s.starts(ctx, b.o.duration/time.Duration(2*rounds))
				if err != nil {
					return err
				}
				without = append(without, rate)
				continue
			}
			streams, err := s.listen(ctx, tokens)
			if err != nil {
				return err
			}
			rate, created, err := s.starts(ctx, b.o.duration/time.Duration(2*rounds))
			if err == nil {
				lags = append(lags, streams.lags(ctx, created)...)
			}
			bytes, memoryErr := resident(s.dev.PID())
			streams.end()
			if err = errors.Join(err, memoryErr); err != nil {
				return err
			}
			with, memory = append(with, rate), append(memory, bytes/(1<<20))
		}
	}
	b.report.median("events", name, "starts, no streams", "calls/s", without, nil)
	b.report.median("events", name, fmt.Sprintf("starts, %d streams", listeners), "calls/s", with, nil)
	b.report.median("events", name, "starts, with / without", "×", ratios(with, without), &bound{AtLeast: leastOfStarts})
	late := summarize(lags)
	b.report.median("events", name, "from a call's record until its event, p50", "ms", lags, nil)
	b.report.add(row{
		Scenario: "events", Setup: name, What: "from a call's record until its event, p95", Unit: "ms",
		Value: late.p95, Samples: late.n,
	}, &bound{AtMost: mostLag})
	b.report.median("events", name, fmt.Sprintf("resident, %d streams", listeners), "MiB", memory,
		&bound{AtMost: stackBound})
	return nil
}

// readers makes tokens of people who may read.
func (s *setup) readers(ctx context.Context, n int) (tokens []string, err error) {
	for i := range n {
		text, _, err := s.api.NewToken(ctx, rest.TokenSpec{
			Subject: fmt.Sprintf("reader-%d", i), Roles: []rest.Role{rest.RoleReviewer},
		})
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, text)
	}
	return tokens, nil
}

// starts starts calls that wait for people, some at once, and returns how many began to wait each
// second, and when each did.
func (s *setup) starts(ctx context.Context, d time.Duration) (rate float64, created map[string]time.Time, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	began, created := time.Now(), map[string]time.Time{}
	var mu sync.Mutex // of created
	var all sync.WaitGroup
	for range inFlight {
		all.Go(func() {
			for time.Since(began) < d && ctx.Err() == nil {
				run, err := s.request(ctx, toolSend)
				if err != nil {
					stop(err)
					return
				}
				v, err := s.awaitPending(ctx, run.GetID(), inFlight)
				if err != nil {
					stop(err)
					return
				}
				mu.Lock()
				created[v.ID] = v.CreatedAt
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return float64(len(created)) / time.Since(began).Seconds(), created, context.Cause(ctx)
}

// arrival is when a stream told of a call first.
type arrival struct {
	mu sync.Mutex
	of map[string]time.Time
}

// streams are some that are open.
type streams struct {
	timed []*arrival
	stop  context.CancelFunc
	all   sync.WaitGroup
}

func (x *streams) end() {
	x.stop()
	x.all.Wait()
}

// listen opens all streams, and returns once each has said that it listens.
func (s *setup) listen(ctx context.Context, tokens []string) (*streams, error) {
	ctx, stop := context.WithCancel(ctx)
	x := &streams{stop: stop}
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	for i := range listeners {
		lines, err := s.open(ctx, hc, tokens[i/perToken])
		if err != nil {
			x.end()
			return nil, err
		}
		if i >= sampled {
			x.all.Go(func() {
				defer lines.Close()
				_, _ = io.Copy(io.Discard, lines)
			})
			continue
		}
		a := &arrival{of: map[string]time.Time{}}
		x.timed = append(x.timed, a)
		x.all.Go(func() { a.read(lines) })
	}
	return x, nil
}

// open opens one stream and reads its first event.
func (s *setup) open(ctx context.Context, hc *http.Client, token string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/events", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := hc.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("a stream of events was answered %s", answer.Status)
	}
	first := make([]byte, len("event: reset"))
	if _, err := io.ReadFull(answer.Body, first); err != nil || string(first) != "event: reset" {
		answer.Body.Close()
		return nil, fmt.Errorf("a stream of events began with %q: %w", first, err)
	}
	return answer.Body, nil
}

func (a *arrival) read(body io.ReadCloser) {
	defer body.Close()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var c rest.Changed
		if !ok || json.Unmarshal([]byte(data), &c) != nil || c.ID == "" {
			continue
		}
		now := time.Now()
		a.mu.Lock()
		if _, known := a.of[c.ID]; !known {
			a.of[c.ID] = now
		}
		a.mu.Unlock()
	}
}

// lags is how late each timed stream told of each call, in ms. What it has not told of after some
// seconds counts as that late.
func (x *streams) lags(ctx context.Context, created map[string]time.Time) (all []float64) {
	const most = 5 * time.Second
	wait := time.NewTimer(most)
	defer wait.Stop()
	tick := time.NewTicker(most / 100)
	defer tick.Stop()
	for waiting := true; waiting && !x.told(created); {
		select {
		case <-tick.C:
		case <-wait.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	now := time.Now()
	for _, a := range x.timed {
		a.mu.Lock()
		for id, at := range created {
			arrived, ok := a.of[id]
			if !ok {
				arrived = now
			}
			all = append(all, ms(arrived.Sub(at)))
		}
		a.mu.Unlock()
	}
	return all
}

// told reports whether all timed streams told of all calls.
func (x *streams) told(created map[string]time.Time) bool {
	for _, a := range x.timed {
		a.mu.Lock()
		known := 0
		for id := range created {
			if _, ok := a.of[id]; ok {
				known++
			}
		}
		a.mu.Unlock()
		if known < len(created) {
			return false
		}
	}
	return true
}

// administrator is a client with the token that the dev stack made.
func administrator(url, data string) (*client.Client, error) {
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if errors.Is(err, os.ErrNotExist) { // nobody is authenticated there
		return client.New(client.Options{URL: url, Reviewer: "pawl-load"})
	}
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{URL: url, Token: strings.TrimSpace(string(token))})
}
