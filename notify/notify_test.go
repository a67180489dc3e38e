package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

var secretBytes = []byte(strings.Repeat("s", 32))

// receiver takes messages as somebody's service would, and checks what it gets.
type receiver struct {
	*testing.T
	*httptest.Server
	mu     sync.Mutex
	got    []Message
	ids    []string
	answer func(w http.ResponseWriter, r *http.Request, nth int) // nil: takes all
	tries  int
}

func receive(t *testing.T) *receiver {
	r := &receiver{T: t}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	id, sent := q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, secretBytes)
	fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(q.Header.Get("webhook-signature")), want) || err != nil {
		r.Errorf("the signature of %s is %q: %v", body, q.Header.Get("webhook-signature"), err)
	}
	if q.URL.Path == "/elsewhere" {
		r.Error("a redirect was followed")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries++; r.answer != nil {
		record := httptest.NewRecorder()
		if r.answer(record, q, r.tries); record.Code != 200 {
			w.Header().Set("Location", r.URL+"/elsewhere")
			w.WriteHeader(record.Code)
			return
		}
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		r.Error(err)
	}
	r.got, r.ids = append(r.got, m), append(r.ids, id)
}

func (r *receiver) taken() (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		text := fmt.Sprintf("%s %s %s", m.Type, m.Data.ID, m.Data.Status)
		if m.Data.Count > 0 {
			text = fmt.Sprintf("%s %d", m.Type, m.Data.Count)
		}
		texts = append(texts, text)
	}
	return texts
}

func (r *receiver) expect(want ...string) {
	r.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for {
		got := r.taken()
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) {
			r.Fatalf("got %q, want %q", got, want)
		}
		select {
		case <-tick.C:
		case <-late:
			r.Fatalf("got %q, want %q", got, want)
		}
	}
}

// bench is a store and its workers.
type bench struct {
	*testing.T
	store store.Store
}

func setup(t *testing.T) *bench {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &bench{t, s}
}

func (b *bench) channel(r *receiver, types ...Type) Channel {
	if types == nil {
		types = Types
	}
	return Channel{Name: "ops", URL: r.URL, Types: types, Every: time.Millisecond, Within: time.Second, secrets: [][]byte{secretBytes}}
}

// run serves channels as a worker; stop ends it.
func (b *bench) run(channels ...Channel) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx, Options{
			Store: b.store, Channels: channels, PublicURL: "https://pawl.example.com",
			Logger: slog.New(slog.DiscardHandler), interval: 2 * time.Millisecond, owner: "one",
		})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	b.Cleanup(stop)
	return stop
}

// known makes the store know the channel from now on.
func (b *bench) known(c Channel) {
	b.Helper()
	if _, _, err := b.store.TakeChannel(b.Context(), c.Name, "one"); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) entry(id, step string, p audit.Payload) audit.Entry {
	b.Helper()
	e, err := audit.New(id, step, time.Now(), p)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// record puts something on record that nobody is told of.
func (b *bench) record(id string) {
	b.Helper()
	if err := b.store.Append(b.Context(), b.entry(id, "refused", audit.Refused{})); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) ask(id string) {
	b.Helper()
	deadline := time.Now().Add(time.Hour)
	v := approval.View{
		ID: id, Tool: "deploy", Agent: "coder", Args: json.RawMessage(`{"key":"hush"}`), Digest: "d", Risk: approval.RiskHigh,
		Status: approval.StatusPending, CreatedAt: time.Now(), Deadline: &deadline, Requirement: approval.OneApproval(),
	}
	_, _, err := b.store.Admit(b.Context(), store.AdmitParams{
		View: v, Verdict: approval.Verdict{Kind: approval.VerdictRequire, Requirement: approval.OneApproval()}, Run: "r",
		IsRequest: true, Entries: []audit.Entry{b.entry(id, "requested", audit.Requested{})},
	})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) end(id string, status approval.Status) {
	b.Helper()
	_, _, err := b.store.Finish(b.Context(), store.FinishParams{
		Outcome: approval.Outcome{ID: id, Tool: "deploy", Digest: "d", Status: status}, Run: "r", At: time.Now(),
		Entries: []audit.Entry{b.entry(id, "ended", audit.Ended{})},
	})
	if err != nil {
		b.Fatal(err)
	}
}

func TestPeopleAreTold(t *testing.T) {
	b, r := setup(t), receive(t)
	b.ask("before")
	c := b.channel(r)
	b.known(c)
	b.ask("a")
	b.run(c)
	r.expect("request.waiting a pending")
	b.end("a", approval.StatusRejected)
	r.expect("request.waiting a pending", "call.ended a rejected")
	d := r.got[0].Data
	if d.URL != "https://pawl.example.com/requests/a" || d.Tool != "deploy" || d.Agent != "coder" || d.Risk != approval.RiskHigh || d.At == nil {
		t.Errorf("the message says %+v", d)
	}
}

// Nobody is asked about what was settled meanwhile.
func TestSettledCallsAreNotAskedAbout(t *testing.T) {
	b, r := setup(t), receive(t)
	c := b.channel(r)
	b.known(c)
	b.ask("a")
	b.end("a", approval.StatusExpired)
	b.ask("b")
	b.run(c)
	r.expect("call.ended a expired", "request.waiting b pending")
}

func TestABurstIsOneMessage(t *testing.T) {
	b, r := setup(t), receive(t)
	c := b.channel(r, Waiting)
	b.known(c)
	for i := range 12 {
		b.ask(fmt.Sprint("call-", i))
	}
	b.run(c)
	r.expect("request.waiting 12")
	if got := r.got[0].Data; got.URL != "https://pawl.example.com" || got.ID != "" || got.Tool != "" {
		t.Errorf("the message says %+v", got)
	}
}

// only answers one try with a status; first answers so many.
func only(nth, status int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, try int) {
		if try == nth {
			w.WriteHeader(status)
		}
	}
}

func first(many, status int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, try int) {
		if try <= many {
			w.WriteHeader(status)
		}
	}
}

// What is not taken is sent again under the same ID, in order, and nothing is lost.
func TestReceiversThatFail(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, nth int){
		"an error":   first(2, 500),
		"gone":       first(2, 410),
		"a redirect": first(2, 307),
		"no answer": func(w http.ResponseWriter, r *http.Request, nth int) {
			if nth == 1 {
				<-r.Context().Done()
				w.WriteHeader(500)
			}
		},
		"after the second": only(2, 503),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, r := setup(t), receive(t)
			r.answer = answer
			c := b.channel(r)
			c.Within = 100 * time.Millisecond
			b.known(c)
			b.ask("a")
			b.ask("b")
			b.run(c)
			r.expect("request.waiting a pending", "request.waiting b pending")
		})
	}
}

// A worker that dies after it sent a message, and before that is noted, is followed by one that sends
// it again under the same ID.
func TestADeadWorkerLosesNothing(t *testing.T) {
	b, r := setup(t), receive(t)
	c := b.channel(r)
	place, taken, err := b.store.TakeChannel(t.Context(), c.Name, "dead")
	if err != nil || !taken {
		t.Fatal(err)
	}
	b.ask("a")
	notices, _, err := b.store.Notices(t.Context(), place)
	if err != nil || len(notices) != 1 {
		t.Fatal(notices, err)
	}
	if err := c.Send(t.Context(), messageOf(notices[0], Waiting, "")); err != nil {
		t.Fatal(err)
	}
	s := &sender{Options: Options{Store: b.store, Logger: slog.New(slog.DiscardHandler)}, channel: c, owner: "dead", pace: newPace(c)}
	if err := s.serve(t.Context()); err != nil { // as its lease ran out, and another one took it
		t.Fatal(err)
	}
	if r.expect("request.waiting a pending", "request.waiting a pending"); r.ids[0] != r.ids[1] {
		t.Errorf("its IDs are %q", r.ids)
	}
	if err := s.serve(t.Context()); err != nil || len(r.taken()) != 2 {
		t.Errorf("it was sent again: %q, %v", r.taken(), err)
	}
}

// Only messages count for the pace: after any quiet time the first few are sent at once.
func TestQuietTimesCostNothing(t *testing.T) {
	b, r := setup(t), receive(t)
	c := b.channel(r)
	c.Every = time.Hour
	b.known(c)
	s := &sender{Options: Options{Store: b.store, Logger: slog.New(slog.DiscardHandler)}, channel: c, owner: "one", pace: newPace(c)}
	for i := range 3 * burst {
		b.record(fmt.Sprint("allowed-", i))
		if err := s.serve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range burst {
		b.ask(fmt.Sprint("call-", i))
		want = append(want, fmt.Sprintf("request.waiting call-%d pending", i))
	}
	if err := s.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.expect(want...)
}

// While a burst and a single message are sent, the place never passes what was not.
func TestNothingIsPassedOver(t *testing.T) {
	b, r := setup(t), receive(t)
	r.answer = only(2, 500) // the single message in the middle of the burst
	c := b.channel(r)
	b.known(c)
	for i := range 4 {
		b.ask(fmt.Sprint("call-", i))
	}
	b.ask("x")
	b.end("x", approval.StatusCancelled)
	for i := range 4 {
		b.ask(fmt.Sprint("later-", i))
	}
	b.run(c)
	r.expect("request.waiting 8", "call.ended x cancelled", "request.waiting later-0 pending", "request.waiting later-1 pending",
		"request.waiting later-2 pending", "request.waiting later-3 pending")
}

func TestErrorsHoldNoAddress(t *testing.T) {
	r := receive(t)
	r.answer = func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(302) }
	for name, url := range map[string]string{
		"a redirect":   r.URL + "/hush",
		"nobody there": "http://127.0.0.1:1/hush",
		"no host":      "https://hush.invalid/hush",
		"no TLS":       strings.Replace(r.URL, "http:", "https:", 1) + "/hush",
	} {
		c := Channel{Name: "ops", URL: url, Within: 5 * time.Second, secrets: [][]byte{secretBytes}}
		if err := c.Send(t.Context(), TestMessage("", time.Now())); err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "127.0") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
