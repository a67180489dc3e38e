package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Export reads the entries that fit, in the order written, and gives each line of the export to take,
// without its end. It ends with take's first error. After any other one, go on with the cursor of the
// last line that was taken as q.Cursor. Newest and Limit don't count. Errors: *Error,
// *UnreachableError, ErrExportCut.
func (c *Client) Export(ctx context.Context, q EntryQuery, take func(line []byte) error) error {
	query := q.values()
	set(query, "cursor", q.Cursor)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/audit/export", nil)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req.URL.RawQuery = query.Encode()
	c.identify(req)
	res, err := c.http.Do(req)
	if err != nil {
		return &UnreachableError{URL: c.base, err: errors.Unwrap(err)}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
		if err != nil {
			return &UnreachableError{URL: c.base, err: err}
		}
		return problem(response{status: res.StatusCode, header: res.Header, body: body})
	}
	if !isOf(res.Header, rest.NDJSON) {
		return &Error{HTTPStatus: res.StatusCode, Code: approval.CodeInternalError,
			Detail: "what answers at " + c.base + " is not Pawl's API: its answer is no export"}
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		var line rest.ExportedEntry
		if err := decodeInto(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%w: %w", ErrExportCut, err)
		}
		if line.Problem != "" {
			return fmt.Errorf("%w: %s", ErrExportCut, line.Problem)
		}
		if err := take(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrExportCut, err)
	}
	return nil
}

// ErrExportCut: an export ended before its end.
var ErrExportCut = errors.New("the export was cut off")

// Checkpoint returns the last signed checkpoint of the audit log, with the signatures of witnesses if
// there are any. The error's code is rest.CodeNotSealed: there is none yet.
func (c *Client) Checkpoint(ctx context.Context) (string, error) {
	res, err := c.send(ctx, request{path: "/api/audit/checkpoint", media: "text/plain"})
	return string(res.body), err
}

// Proofs returns proofs of a page of the entries about a call; p.Next is the cursor of the next one. The
// error's code is rest.CodeNotSealed: none of them is sealed yet.
func (c *Client) Proofs(ctx context.Context, id, cursor string) (rest.Proofs, error) {
	if err := checkID("id", id); err != nil {
		return rest.Proofs{}, err
	}
	query := url.Values{}
	set(query, "cursor", cursor)
	return ask[rest.Proofs](ctx, c, request{path: path("api", "audit", "proof", id), query: query})
}
