package mcp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// toolResult is the result of a tools/call.
type toolResult struct {
	Content []content `json:"content"`
	IsError bool      `json:"isError,omitempty"`
}

type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// said is a result in words. Names and notes in it are others': they are made safe to show.
func said(isError bool, text string) toolResult {
	return toolResult{[]content{{"text", approval.DisplayLines(text, 8000)}}, isError}
}

// denied says why a call that has ended did not run.
func denied(v client.View) toolResult {
	var b strings.Builder
	o := v.Outcome()
	switch {
	case o.Status == approval.StatusRejected:
		b.WriteString("Not run: people rejected this call.")
	case o.Status == approval.StatusExpired:
		b.WriteString("Not run: nobody approved this call in time.")
	case v.Error != nil && v.Error.Code == approval.CodeBadArguments:
		b.WriteString("Not run: the arguments do not fit the tool's schema.")
	case o.Status == approval.StatusBlocked:
		b.WriteString("Not run: the policy does not allow this call.")
	case o.Status == approval.StatusCancelled:
		b.WriteString("Not run: this call was withdrawn.")
	case v.Lost():
		b.WriteString("Pawl can't say what became of this call.")
	default:
		fmt.Fprintf(&b, "Not run for this request: the call has ended before (%s).", o.Status)
	}
	if d := o.Decision; d != nil {
		if d.By != "" {
			fmt.Fprintf(&b, "\nDecided by %s.", d.By)
		}
		if d.Notes != "" {
			fmt.Fprintf(&b, "\nNotes: %s", d.Notes)
		}
	}
	if o.Status != approval.StatusRejected || o.Decision == nil { // else it repeats the decision
		b.WriteString(errorOf(v))
	}
	fmt.Fprintf(&b, "\nCall ID: %s", v.ID)
	if o.Status == approval.StatusRejected || o.Status == approval.StatusBlocked {
		b.WriteString("\nDo not repeat it unchanged.")
	}
	return said(true, b.String())
}

func errorOf(v client.View) string {
	if v.Error == nil || v.Error.Message == "" {
		return ""
	}
	return "\nReason: " + v.Error.Message
}

// pending says that nobody has decided yet. As an ordinary result it would not fit the schema that some
// tools declare for theirs, and clients would drop it.
func pending(v client.View, page string, schema bool, trouble error) toolResult {
	where := "\nApprove at: " + page
	if silent, ok := errors.AsType[*client.UnreachableError](trouble); ok {
		where += "\n" + reason(silent)
	}
	return said(schema, fmt.Sprintf("Pending: people have not decided about this call yet. Nothing has run.\n"+
		"Call ID: %s%s\nTo get its result, repeat the call with the same arguments once it is approved. "+
		"The tool %s tells whether it is.", v.ID, where, statusTool))
}

// abandoned says that a call was started and its result will not come.
func abandoned(call string, why error) toolResult {
	return said(true, fmt.Sprintf("Outcome unknown: the tool was started and gave no result (%v). "+
		"It may have run. Find out before you call it again.\nCall ID: %s", why, call))
}

// escape is how a person goes on where the gateway itself is what keeps a tool from running.
const escape = "take the gateway out of the client's settings " +
	"('pawl mcp wrap --undo FILE', where 'wrap' put it there)."

// reason is in words, for whoever called a tool, why the gateway does not let it run. What Pawl itself has
// said of a call is no such reason: see denied.
func reason(err error) string {
	text := approval.DisplayLines(err.Error(), 2000)
	silent := errors.As(err, new(*client.UnreachableError)) || errors.As(err, new(*client.UncertainError))
	if silent {
		text = "Pawl's API did not answer: " + strings.TrimRight(text, ".\n") + ". Calls run again once it does"
	}
	if text = strings.TrimRight(text, ".\n"); !strings.HasSuffix(text, "?") {
		text += "."
	}
	e, ok := errors.AsType[*client.Error](err)
	if silent || ok && e.HTTPStatus >= http.StatusInternalServerError {
		return text + " Whoever runs it: start Pawl ('pawl-dev', in its source 'make dev'), or " + escape
	}
	return text + " Whoever runs it can " + escape
}
