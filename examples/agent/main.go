// Command agent is a small support agent whose tool calls Pawl guards. It is there to be copied
// from: ask for a call, see whether it waits for a person, use its result, take a no for a no. One of
// its tools is a function of its own, which it runs itself once Pawl has let it.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

func main() {
	api := flag.String("api", "", "the API's `address` (default $PAWL_API, else "+client.DefaultURL+")")
	session := flag.String("session", "", "`name` of the conversation; calls of a known one are picked up again (default: a new one)")
	timeout := flag.Duration("production-timeout", time.Minute, "how long people have to answer the production write")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	name := cmp.Or(*session, "support-"+strings.ToLower(rand.Text()[:8]))
	err := run(ctx, cmp.Or(*api, os.Getenv("PAWL_API")), name, *timeout)
	if err == nil {
		return
	}
	again := approval.Display(os.Args[0], 0) + " --session " + approval.Display(name, 0)
	if ctx.Err() != nil {
		fmt.Printf("\nStopped waiting. The calls go on without the agent; %s picks them up again.\n", again)
		os.Exit(130) // 128 + SIGINT, as shells have it
	}
	fmt.Fprintf(os.Stderr, "agent: %s\nCalls that were asked for go on; %s picks them up again.\n", approval.Display(err.Error(), 2000), again)
	os.Exit(1)
}

// calls is what this agent wants. One that thinks would come to its calls one by one; what it tells
// Pawl about each would be the same.
func calls(session string, timeout time.Duration) []approval.Call {
	call := func(tool, args, title, reason string) approval.Call {
		return approval.Call{
			Tool: tool, Args: json.RawMessage(args), Title: title, Reason: reason,
			Agent: "support-agent", Team: "support", Session: session,
			// The same key is the same call: an agent that crashed asks again and gets the call it had,
			// instead of a second one.
			IdempotencyKey: session + "/" + tool,
		}
	}
	production := call("write_production", `{"sql": "UPDATE refunds SET paid = true WHERE id = 77"}`,
		"Mark refund 77 as paid", "The refund has been stuck since Monday.")
	production.Timeout = approval.Duration(timeout)
	return []approval.Call{
		call("read_docs", `{"page": "refunds"}`,
			"Look up the refund rules", "The customer asks how long a refund takes."),
		call("send_email", `{"to": "customer@example.com", "subject": "Your refund",
			"body": "Hello,\n\nyour refund takes five working days.\n\nhttps://shop.example.com/refunds/77\n"}`,
			"Answer the customer", "The customer asked by email how long the refund takes."),
		call("read_customer", `{"customer_id": "c-1042"}`,
			"Look up the customer", "The refund goes to the account on file."),
		call("delete_account", `{"customer_id": "c-1042"}`,
			"Delete the customer's account", "The customer asked to be forgotten once the refund is paid."),
		call("pay_refund", `{"order": "88-1042", "amount": 1900, "currency": "EUR"}`,
			"Pay refund 77", "The parcel was lost."),
		call("run_command",
			`{"host": "files-1", "command": "rm -rf /srv/exports/c-1042 && systemctl reload exports"}`,
			"Remove the customer's exports", "They hold personal data of somebody who wants to be forgotten."),
		production,
	}
}

// reply is a change of a template, which the agent saves by a function of its own.
type reply struct {
	Path      string `json:"path"`
	OldString string `json:"old_string"`
	NewString string `json:"new_string"`
}

func saveReply(_ context.Context, r reply) (string, error) {
	return fmt.Sprintf("saved %d characters in process %d", len(r.NewString), os.Getpid()), nil
}

// guardReply guards saveReply. Its journal lets an agent that comes back neither save twice nor lose what
// was saved.
func guardReply(ctx context.Context, api, session string) (func(context.Context, reply) (string, error), error) {
	agent, err := pawl.ConnectHTTP(ctx, pawl.HTTPOptions{
		Agent: "support-agent", Team: "support", Session: session, URL: api, Token: os.Getenv("PAWL_TOKEN"),
		Dir: filepath.Join(os.TempDir(), fmt.Sprintf("pawl-support-agent-%d", os.Getuid())),
	})
	if err != nil {
		return nil, err
	}
	return pawl.GuardHTTP(agent, "save_reply", saveReply, pawl.Tool{Description: "Change the template of a reply."})
}

// run asks for all calls at once, then reports each end as it comes.
func run(ctx context.Context, api, session string, timeout time.Duration) error {
	c, err := client.New(client.Options{URL: api, Token: os.Getenv("PAWL_TOKEN"), UserAgent: "support-agent"})
	if err != nil {
		return err
	}
	save, err := guardReply(ctx, api, session)
	if err != nil {
		return err
	}
	saved := make(chan string, 1)
	var unsaved error
	var own sync.WaitGroup
	own.Go(func() {
		about := pawl.About{
			Key: session + "/save_reply", Title: "Say in the template how long refunds take",
			Reason: "Many ask the same.",
		}
		var out string
		out, unsaved = save(pawl.With(ctx, about), reply{
			Path:      "replies/refunds.md",
			OldString: "It takes ten days.", NewString: "It takes five working days.",
		})
		saved <- ownEnding(out, unsaved)
	})
	wanted := calls(session, timeout)
	views, errs := make([]client.View, len(wanted)), make([]error, len(wanted))
	var wg sync.WaitGroup
	for i, call := range wanted {
		wg.Go(func() { views[i], _, errs[i] = c.Start(ctx, call, time.Second) })
	}
	wg.Wait()
	for i, v := range views {
		if errs[i] != nil {
			return fmt.Errorf("asking for %s: %w", wanted[i].Tool, errs[i])
		}
		fmt.Printf("  %-18s%s  %s\n", wanted[i].Tool, approval.Display(v.ID, 0), standing(v))
	}
	fmt.Printf("  %-18s%s\n", "save_reply", "this process runs it, as soon as it may")

	fmt.Print("\nWhat becomes of them:\n\n")
	for i, v := range views {
		wg.Go(func() {
			// Wait rides over restarts of everything, this agent's own excepted.
			if v, errs[i] = c.Wait(ctx, v.ID); errs[i] == nil {
				fmt.Printf("  %-18s%s\n", wanted[i].Tool, ending(v))
			}
		})
	}
	if how := <-saved; how != "" {
		fmt.Printf("  %-18s%s\n", "save_reply", how)
		unsaved = nil
	}
	own.Wait()
	wg.Wait()
	return cmp.Or(append(errs, unsaved)...)
}

// ownEnding says how a call ended whose function ran here, or nothing if it has not ended.
func ownEnding(out string, err error) string {
	var denied *pawl.DeniedError
	switch {
	case err == nil:
		return "executed here: " + approval.Display(out, 300)
	case errors.As(err, &denied):
		return string(denied.Status) + ": " + approval.Display(denied.Reason, 300)
	case errors.Is(err, pawl.ErrFailed), errors.Is(err, pawl.ErrOutcomeUnknown):
		return approval.Display(err.Error(), 300)
	}
	return ""
}

// standing says where a call stands that was just asked for.
func standing(v client.View) string {
	switch {
	case v.Status == approval.StatusExecuted:
		return "ran at once"
	case v.Status == approval.StatusPending && v.Deadline != nil:
		return "waits until " + v.Deadline.Local().Format(time.TimeOnly)
	}
	return string(v.Status)
}

// ending says how a call ended, and by whom. Names, notes and results come from elsewhere, so none
// of them reaches the terminal as it is.
func ending(v client.View) string {
	how := string(v.Status)
	if d := v.Decision; d != nil {
		switch d.Kind {
		case approval.FinalAllow:
			how += ", allowed"
		case approval.FinalApprove:
			how += ", approved"
		}
		switch {
		case d.By != "":
			how += " by " + approval.Display(d.By, 80)
		case d.Channel != "":
			how += " via " + approval.Display(d.Channel, 80)
		}
	}
	if d := v.Decision; d != nil && d.Kind == approval.FinalReject && d.By != "" {
		return how + ": " + cmp.Or(approval.Display(d.Notes, 300), "no reason given")
	}
	if v.Error != nil {
		return how + ": " + approval.Display(v.Error.Message, 300) + " (" + approval.Display(v.Error.Code, 40) + ")"
	}
	return how + ": " + approval.Display(string(v.Result), 300)
}
