package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/present/presenttest"
	"github.com/pawlhq/pawl/store"
)

// fixed is an outbox in memory: each of its notices can be read from its time on.
type fixed struct {
	notices []store.Notice
	place   int64
}

func (f *fixed) Notices(_ context.Context, after int64) (found []store.Notice, place int64, err error) {
	place = after
	for _, n := range f.notices {
		if n.Place > after && !n.At.After(time.Now()) {
			found, place = append(found, n), n.Place
		}
	}
	return found, place, nil
}

func (f *fixed) TakeChannel(context.Context, string, string) (place int64, taken bool, err error) {
	return f.place, true, nil
}

func (f *fixed) MoveChannel(_ context.Context, _, _ string, place int64) (held bool, err error) {
	f.place = place
	return true, nil
}

func (f *fixed) sender(types ...Type) *sender {
	c := Channel{Name: "ops", URL: "http://receiver.example/", Types: types, Every: time.Millisecond, Within: 10 * time.Second}
	return &sender{Options: Options{Store: f, Logger: slog.New(slog.DiscardHandler), interval: time.Second}, channel: c, pace: newPace(c)}
}

// network answers what the client sends, instead of the network. So time in a bubble goes on.
type network func(*http.Request) (status int, err error)

func (f network) RoundTrip(q *http.Request) (*http.Response, error) {
	status, err := f(q)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}, Request: q}, nil
}

func (f network) use(t *testing.T) {
	before := client.Transport
	client.Transport = f
	t.Cleanup(func() { client.Transport = before })
}

// What an agent chose can't look like something else where messages are shown.
func TestNothingHostileIsSent(t *testing.T) {
	hostile := map[string]string{
		"a\u200bdmin": `a\u{200B}dmin`, "txt.\u202eexe": `txt.\u{202E}exe`, "\u2066x\u2069": `\u{2066}x\u{2069}`,
		"a\x1b[2Jb": `a\u{001B}[2Jb`, "a\nb": `a\u{000A}b`, "André 運用": "André 運用",
	}
	for _, attack := range presenttest.Attacks {
		hostile[attack.Text] = approval.Display(attack.Text, 0)
	}
	for _, text := range presenttest.Breakouts {
		hostile[text] = approval.Display(text, 0)
	}
	for text, shown := range hostile {
		for _, kind := range []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindEnded} {
			var got Message
			network(func(q *http.Request) (int, error) {
				return http.StatusOK, json.NewDecoder(q.Body).Decode(&got)
			}).use(t)
			f := &fixed{notices: []store.Notice{{Place: 1, Kind: kind, Status: approval.StatusPending, At: time.Now(), Agent: text, Tool: text}}}
			if err := f.sender(Types...).serve(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got.Data.Agent != shown || got.Data.Tool != shown {
				t.Errorf("%s of %+q: agent %+q and tool %+q, want %+q", kind, text, got.Data.Agent, got.Data.Tool, shown)
			}
		}
	}
}

// Each thing that people are told of has its type, and a channel gets the types that it asks for.
func TestTypes(t *testing.T) {
	var got []Type
	network(func(q *http.Request) (int, error) {
		var m Message
		err := json.NewDecoder(q.Body).Decode(&m)
		got = append(got, m.Type)
		return http.StatusOK, err
	}).use(t)
	for _, c := range []struct {
		kind   audit.Kind
		status approval.Status
		want   []Type
	}{
		{audit.KindRequested, approval.StatusPending, []Type{Waiting}},
		{audit.KindTightened, approval.StatusPending, []Type{Waiting}},
		{audit.KindRequested, approval.StatusOutcomeUnknown, nil},
		{audit.KindDecided, approval.StatusApproved, []Type{Decided}},
		{audit.KindEnded, approval.StatusOutcomeUnknown, []Type{Unknown}},
		{audit.KindEnded, approval.StatusExecuted, []Type{Ended}},
		{audit.KindEnded, approval.StatusFailed, []Type{Ended}},
		{audit.KindEnded, approval.StatusRejected, []Type{Ended}},
		{audit.KindRefused, approval.StatusPending, nil},
	} {
		for _, types := range append([][]Type{Types}, []Type{Waiting}, []Type{Decided}, []Type{Ended}, []Type{Unknown}) {
			got = nil
			f := &fixed{notices: []store.Notice{{Place: 1, Kind: c.kind, Status: c.status, At: time.Now()}}}
			if err := f.sender(types...).serve(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(c.want), func(t Type) bool { return !slices.Contains(types, t) })
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: a channel of %v got %v, want %v", c.kind, c.status, types, got, want)
			}
		}
	}
}

// A burst is another message than each that it stands for, and than a burst with other bounds:
// receivers pass over an ID that they have handled.
func TestABurstHasItsOwnID(t *testing.T) {
	var of []Message
	seen := map[string]string{}
	note := func(what string, m Message) {
		if other, ok := seen[m.id]; ok {
			t.Errorf("%s and %s have one ID", what, other)
		}
		seen[m.id] = what
	}
	for i := range 8 {
		m := messageOf(store.Notice{Place: int64(i), ID: fmt.Sprint("call-", i), Step: "requested"}, Waiting, "")
		of = append(of, m)
		note(m.Data.ID, m)
	}
	note("all", many(of, ""))
	note("all but the last", many(of[:7], ""))
	note("all but the first", many(of[1:], ""))
	if many(of, "").id != many(slices.Clone(of), "https://pawl.example.com").id {
		t.Error("the same burst has two IDs")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		t.Errorf("%s %s was followed", q.Method, q.URL.Path)
	}))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		receiver := httptest.NewServer(http.RedirectHandler(elsewhere.URL+fmt.Sprint("/", status), status))
		t.Cleanup(receiver.Close)
		c := Channel{Name: "ops", URL: receiver.URL, Within: 5 * time.Second, secrets: [][]byte{secretBytes}}
		if err := c.Send(t.Context(), TestMessage("", time.Now())); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// The pauses after failures become longer, up to maxPause, and are short again after a success.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 18
		began := time.Now()
		f := &fixed{notices: []store.Notice{
			{Place: 1, Kind: audit.KindDecided, At: began},
			{Place: 2, Kind: audit.KindDecided, At: began.Add(2 * time.Hour)},
		}}
		var tries []time.Time
		network(func(*http.Request) (int, error) {
			if tries = append(tries, time.Now()); len(tries) == failures+1 {
				return http.StatusOK, nil
			}
			return http.StatusServiceUnavailable, nil
		}).use(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		s := f.sender(Types...)
		Run(ctx, Options{Store: f, Channels: []Channel{s.channel}, Logger: s.Logger, interval: s.interval})
		if len(tries) < 2*failures || f.place != 1 {
			t.Fatalf("%d tries, up to %d", len(tries), f.place)
		}
		for _, row := range [][]time.Time{tries[:failures+1], tries[failures+1:]} {
			want := retry.First
			for i := range row[1:] {
				if took := row[i+1].Sub(row[i]) - s.interval; took < want/2 || took > want {
					t.Errorf("the pause after failure %d is %v, want %v to %v", i+1, took, want/2, want)
				}
				want = min(2*want, maxPause)
			}
		}
	})
}

// A receiver may take as long as its channel allows: a message that it takes at last is sent once.
func TestSlowReceivers(t *testing.T) {
	for name, c := range map[string]struct {
		within, answers time.Duration
		tries           int
	}{
		"at the last moment": {10 * time.Second, 10*time.Second - time.Millisecond, 1},
		"of a long time":     {MaxWithin, 59 * time.Second, 1},
		"too late, once":     {10 * time.Second, 11 * time.Second, 2},
		"of a short time":    {time.Second, 2 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				network(func(q *http.Request) (int, error) {
					if tries++; tries == 1 && !retry.Sleep(q.Context(), c.answers) {
						return 0, q.Context().Err()
					}
					return http.StatusOK, nil
				}).use(t)
				f := &fixed{notices: []store.Notice{{Place: 1, Kind: audit.KindDecided, At: time.Now()}}}
				s := f.sender(Types...)
				s.channel.Within = c.within
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				Run(ctx, Options{Store: f, Channels: []Channel{s.channel}, Logger: s.Logger, interval: s.interval})
				if tries != c.tries || f.place != 1 {
					t.Errorf("sent %d times, up to %d; want %d", tries, f.place, c.tries)
				}
			})
		})
	}
}
