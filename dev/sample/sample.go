// Package sample holds harmless tools to try Pawl with. Each writes a line to a log file, so that
// anybody can see what ran, and when.
package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pawlhq/pawl/tool"
)

// Tools returns the sample tools; they append to the file logPath.
func Tools(logPath string) ([]*tool.Tool, error) {
	l := &log{path: logPath}
	var tools []*tool.Tool
	var failed error
	describe := func(text string) tool.Options { return tool.Options{Description: text} }
	add := func(t *tool.Tool, err error) {
		tools = append(tools, t)
		if failed == nil {
			failed = err
		}
	}
	add(tool.New("read_docs", l.readDocs, describe("Read a page of the public documentation.")))
	add(tool.New("send_email", l.sendEmail, describe("Send an email to a customer.")))
	add(tool.New("read_customer", l.readCustomer, describe("Read a customer's record, personal data included.")))
	add(tool.New("delete_account", l.deleteAccount, describe("Delete a customer's account for good.")))
	add(tool.Custom("pay_refund", json.RawMessage(refundSchema), l.payRefund,
		describe("Pay a customer's money back.")))
	add(tool.New("run_command", l.runCommand, describe("Run a command on a server.")))
	add(tool.New("write_production", l.writeProduction,
		describe("Run a write against the production database.")))
	return tools, failed
}

type log struct {
	mu   sync.Mutex
	path string
}

// write notes that a tool ran. The call's ID ties the line to its record.
func (l *log) write(ctx context.Context, what string) error {
	call, _ := tool.FromContext(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	at := time.Now().UTC().Format(time.RFC3339)
	if _, err := fmt.Fprintf(f, "%s %s %s\n", at, call.CallID, what); err != nil {
		return err
	}
	return f.Close()
}

type page struct {
	Page string `json:"page" jsonschema:"name of the page"`
}

func (l *log) readDocs(ctx context.Context, in page) (map[string]string, error) {
	answer := map[string]string{"page": in.Page, "text": "Refunds take five working days."}
	return answer, l.write(ctx, "read_docs")
}

type email struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Body    string `json:"body,omitempty"`
}

func (l *log) sendEmail(ctx context.Context, in email) (map[string]string, error) {
	return map[string]string{"sent_to": in.To}, l.write(ctx, "send_email")
}

type customer struct {
	CustomerID string `json:"customer_id"`
}

func (l *log) readCustomer(ctx context.Context, in customer) (map[string]string, error) {
	answer := map[string]string{
		"customer_id": in.CustomerID, "name": "A. Customer", "email": "customer@example.com", "ssn": "000-00-0000",
	}
	return answer, l.write(ctx, "read_customer")
}

func (l *log) deleteAccount(ctx context.Context, in customer) (map[string]any, error) {
	return map[string]any{"customer_id": in.CustomerID, "deleted": true}, l.write(ctx, "delete_account")
}

// refundSchema says more than a type could: what reviewers read, and that the amount counts cents.
const refundSchema = `{
	"type": "object", "additionalProperties": false, "required": ["order", "amount", "currency"],
	"x-pawl-summary": "Pay {amount} back for order {order}",
	"properties": {
		"order": {"type": "string"},
		"amount": {"type": "integer", "exclusiveMinimum": 0, "x-pawl-minor-units": true},
		"currency": {"enum": ["EUR", "USD"]}
	}
}`

func (l *log) payRefund(ctx context.Context, call tool.Invocation) (json.RawMessage, error) {
	return json.RawMessage(`{"paid": ` + string(call.Args) + `}`), l.write(ctx, "pay_refund")
}

type command struct {
	Host    string `json:"host"`
	Command string `json:"command"`
}

func (l *log) runCommand(ctx context.Context, in command) (map[string]any, error) {
	return map[string]any{"host": in.Host, "exit_code": 0}, l.write(ctx, "run_command")
}

type statement struct {
	SQL string `json:"sql"`
}

func (l *log) writeProduction(ctx context.Context, _ statement) (map[string]int, error) {
	return map[string]int{"rows": 1}, l.write(ctx, "write_production")
}
