package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/store"
)

// Type says what a message is about.
type Type string

// The types of messages.
const (
	Waiting Type = "request.waiting" // a call waits for people
	Decided Type = "request.decided" // somebody's decision about it counts
	Ended   Type = "call.ended"      // a call that waited has ended, and it is known how
	Unknown Type = "call.unknown"    // a call ended, and nobody knows whether its tool ran
	Test    Type = "pawl.test"       // somebody tries the channel
)

// Types are what a channel can ask for.
var Types = []Type{Waiting, Decided, Ended, Unknown}

// Message is what a channel gets: an event of Standard Webhooks.
type Message struct {
	Type      Type      `json:"type"`
	Timestamp time.Time `json:"timestamp"` // of what it tells
	Data      Data      `json:"data"`

	id    string // the same whenever it is sent
	place int64  // in the log, of the first thing that it tells
}

// Data is what a message says: of one call, or how many there are. Arguments are never in it.
type Data struct {
	ID     string          `json:"id,omitempty"`
	URL    string          `json:"url,omitempty"`  // where people see it; nothing is decided by opening it
	Tool   string          `json:"tool,omitempty"` // as approval.Display writes it, like the agent
	Agent  string          `json:"agent,omitempty"`
	Risk   approval.Risk   `json:"risk,omitempty"`
	Status approval.Status `json:"status,omitempty"`
	At     *time.Time      `json:"at,omitempty"`
	Count  int             `json:"count,omitempty"` // of a message that stands for many
}

// typeOf says what a notice is told as; ok is false if nobody is told of it any more.
func typeOf(n store.Notice) (t Type, ok bool) {
	switch n.Kind {
	case audit.KindRequested, audit.KindTightened:
		return Waiting, n.Status == approval.StatusPending
	case audit.KindDecided:
		return Decided, true
	case audit.KindEnded:
		if n.Status == approval.StatusOutcomeUnknown {
			return Unknown, true
		}
		return Ended, true
	}
	return "", false
}

func messageOf(n store.Notice, t Type, publicURL string) Message {
	at := n.At.UTC()
	m := Message{
		Type: t, Timestamp: at, id: messageID("entry", n.ID, n.Step), place: n.Place,
		Data: Data{
			ID: n.ID, Tool: approval.Display(n.Tool, 0), Agent: approval.Display(n.Agent, 0),
			Risk: n.Risk, Status: n.Status, At: &at,
		},
	}
	if publicURL != "" {
		m.Data.URL = approval.RequestURL(publicURL, n.ID)
	}
	return m
}

// many is one message in the place of several of one type.
func many(of []Message, publicURL string) Message {
	first, last := of[0], of[len(of)-1]
	return Message{
		Type: first.Type, Timestamp: last.Timestamp, place: first.place,
		id:   messageID("many", first.id, last.id),
		Data: Data{Count: len(of), URL: publicURL, At: &last.Timestamp},
	}
}

func messageID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "msg_" + hex.EncodeToString(sum[:16])
}

const secretPrefix = "whsec_"

// sign is the value of the header webhook-signature, as Standard Webhooks defines it.
func (c Channel) sign(id string, sent time.Time, body []byte) string {
	var signatures []string
	for _, secret := range c.secrets {
		sum := hmac.New(sha256.New, secret)
		fmt.Fprintf(sum, "%s.%d.%s", id, sent.Unix(), body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}

// client follows no redirect: a receiver could send messages anywhere by one.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Send sends a message once. The error says what class of failure it was, and holds neither the
// channel's address nor what it answered.
func (c Channel) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Within)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is not one")
	}
	now := time.Now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Pawl/"+build.Version())
	r.Header.Set("webhook-id", m.id)
	r.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("webhook-signature", c.sign(m.id, now, body))
	answer, err := client.Do(r)
	if err != nil {
		return class(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection serves again
	switch {
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return fmt.Errorf("it answered %d, a redirect, which is not followed", answer.StatusCode)
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return fmt.Errorf("it answered %d", answer.StatusCode)
	}
	return nil
}

// class says what went wrong in words that hold nothing of the address.
func class(err error) error {
	var dns *net.DNSError
	var network net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &network) && network.Timeout():
		return errors.New("it did not answer in time")
	case errors.As(err, &dns):
		return errors.New("its host is not found")
	case errors.As(err, &op) && op.Op == "dial":
		return errors.New("nobody takes the connection")
	case strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: "):
		return errors.New("its certificate is not trusted, or it does not speak TLS")
	}
	return errors.New("the connection broke")
}

// TestMessage tries a channel.
func TestMessage(publicURL string, at time.Time) Message {
	at = at.UTC()
	return Message{
		Type: Test, Timestamp: at, Data: Data{URL: publicURL, At: &at},
		id: messageID("test", at.Format(time.RFC3339Nano)),
	}
}
