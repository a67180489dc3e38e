package mcp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/strictjson"
)

// finish takes the server's answer to a call that ran. The client gets it as it is; Pawl is told how it
// ended, and of the result its size and digest only.
func (s *session) finish(run *running, m message) {
	report := approval.ReportSignal{Status: approval.ReportExecuted}
	result, failed := m.field("result"), m.field("error")
	if len(failed) > 0 {
		code, text := failureOf(failed)
		report.Status, report.Error = approval.ReportFailed, "the server answered with an error: "+text
		if !slices.Contains(notRun, code) { // such as one that a proxy gives up with
			report.Status = approval.ReportUnknown
		}
		s.report(run, report)
		return
	}
	at, err := fields(result, "isError", "content", "resultType", "requestState", "task")
	_, task := at["task"]
	kind := text(result, at, "resultType")
	switch {
	case err != nil:
		report.Status, report.Error = approval.ReportUnknown, "the server's result can't be read: "+err.Error()
	case kind == "input_required":
		run.again += "\x00" + stateOf(result, at)
		s.mu.Lock()
		s.begun[run.again] = run
		s.mu.Unlock()
		return
	case task || kind != "" && kind != "complete":
		report.Status, report.Error = approval.ReportUnknown, "the server goes on with it as a task"
	case string(at["isError"].of(result)) == "true":
		report.Status, report.Error = approval.ReportFailed, firstText(at["content"].of(result))
	}
	sum := sha256.Sum256(result)
	report.ResultDigest, report.ResultSize = hex.EncodeToString(sum[:]), int64(len(result))
	s.report(run, report)
}

// goOn forwards a call that goes on with a run: the server asked for input before it can end. Any other
// is refused: a server that trusts its state would do again what was approved once.
func (s *session) goOn(r request) []byte {
	run := s.continues(r)
	if run == nil {
		return answer(r.id, said(true, "Not run: the gateway knows of no such call that waits for input; it may "+
			"have been started again since. Call the tool anew, without inputResponses and requestState."))
	}
	run.id = r.id
	s.run(r.message, run)
	return nil
}

// continues returns the run that a call goes on with: the client repeats it with the input, unchanged
// otherwise.
func (s *session) continues(r request) *running {
	call := approval.Call{Tool: s.o.Server + "." + r.name, Args: r.args}
	call.Normalize()
	state := "\x00" + stateOf(r.raw, r.at)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, changed := range []bool{false, true} {
		call.RequireApproval = changed
		key := likeness(call) + state
		if run := s.begun[key]; run != nil {
			delete(s.begun, key)
			run.again = likeness(call)
			return run
		}
	}
	return nil
}

// stateOf is the same for a text however it is written. Any other state counts as it stands there.
func stateOf(doc []byte, at map[string]span) string {
	raw := at["requestState"].of(doc)
	var state string
	if strictjson.Check(raw) == nil && json.Unmarshal(raw, &state) == nil && state != "" {
		return "s" + state
	}
	return string(raw)
}

// abandon reports a run that will give no result, and says so.
func (s *session) abandon(run *running, why error, acted bool) toolResult {
	if !acted {
		s.report(run, approval.ReportSignal{Status: approval.ReportNotRun})
		return said(true, "Not run: the server did not take it: "+why.Error()+"\nCall ID: "+run.call)
	}
	s.report(run, approval.ReportSignal{
		Status: approval.ReportUnknown, Error: approval.Display(why.Error(), 1000),
	})
	return abandoned(run.call, why)
}

// report tells Pawl how a call ended, as long as it takes.
func (s *session) report(run *running, report approval.ReportSignal) {
	report.StartID = run.start
	s.reports.Go(func() {
		pause := retry.Backoff{}
		for {
			_, err := s.api.Report(s.reporting, run.call, report)
			if err == nil {
				return
			}
			if refused(err) || !pause.Wait(s.reporting) {
				s.o.Logger.Warn("Pawl was not told how a call ended", "id", run.call, "tool", run.tool, "error", err)
				return
			}
		}
	})
}

// notRun are the error codes by which a server says that it has not run the tool.
var notRun = []int{codeParse, codeInvalidRequest, codeNoMethod, codeInvalidParams, codeNeedsURL}

// perhapsRun are HTTP statuses that something in front of a server answers, perhaps after it has begun.
var perhapsRun = []int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, 499}

func failureOf(failed []byte) (code int, text string) {
	var e struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(failed, &e) // what can't be read is not there
	return e.Code, approval.Display(e.Message, 1000)
}

func firstText(list []byte) string {
	var all []content
	_ = json.Unmarshal(list, &all) // of other content nothing is shown
	for _, c := range all {
		if c.Type == "text" {
			return approval.Display(c.Text, 1000)
		}
	}
	return "the tool reported an error"
}
