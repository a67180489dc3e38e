package tree

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/store"
)

// maxNote is more than any checkpoint has bytes.
const maxNote = 64 << 10

// File is a Place: a file that holds the last checkpoint, where the database's administrators can't
// write.
type File string

func (f File) String() string { return "the file " + string(f) }

// Published implements Place.
func (f File) Published(context.Context) (string, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	signed, err := io.ReadAll(io.LimitReader(file, maxNote))
	return string(signed), err
}

// Publish implements Place. The file is replaced at once: who reads it sees one checkpoint or the
// other.
func (f File) Publish(_ context.Context, c store.Checkpoint) error {
	return osfile.Replace(string(f), []byte(cmp.Or(c.Cosigned, c.Note)), 0o644) // it is no secret
}

// requestTimeout bounds one request to a webhook or a witness.
const requestTimeout = 10 * time.Second

// httpClient follows no redirects: what was configured is where checkpoints go.
var httpClient = &http.Client{
	Timeout: requestTimeout,
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	},
}

// post posts a text, and returns the answer's status and body.
func post(ctx context.Context, to, text string) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(text))
	if err != nil {
		return 0, nil, errors.New("its address can't be used")
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := httpClient.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the address: it may hold a secret
	}
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxNote))
	return response.StatusCode, bytes.TrimSpace(answer), err
}

// Webhook is a Place: an address to which each checkpoint is posted, as plain text. Any answer of
// 200 to 299 takes it. It can't tell what was published before.
type Webhook struct{ url string }

// NewWebhook refuses what is not an http or https address.
func NewWebhook(address string) (Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Webhook{}, errors.New("a checkpoint webhook's address must be like https://HOST/PATH")
	}
	return Webhook{address}, nil
}

func (w Webhook) String() string {
	u, err := url.Parse(w.url)
	if err != nil {
		return "the webhook"
	}
	return "the webhook at " + u.Host // a path or query may hold a secret
}

// Published implements Place.
func (Webhook) Published(context.Context) (string, error) { return "", nil }

// Publish implements Place.
func (w Webhook) Publish(ctx context.Context, c store.Checkpoint) error {
	status, _, err := post(ctx, w.url, cmp.Or(c.Cosigned, c.Note))
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("it answered %d", status)
	}
	return err
}
