package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

// Tests run this binary again as another process, with a role and a store.
const (
	childRole = "PAWL_SQLITE_TEST_ROLE"
	childPath = "PAWL_SQLITE_TEST_PATH"

	roleOwn   = "own"   // own the store until stdin ends
	roleRead  = "read"  // for each ID on stdin, say whether its call is there
	roleWrite = "write" // write until killed, and tell each thing that was acknowledged
)

func child(role, path string) int {
	ctx := context.Background()
	s, err := Open(ctx, Options{Path: path, ReadOnly: role == roleRead})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("open")
	if role == roleWrite {
		write(ctx, s)
		return 1 // it only stops for an error
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_, err := s.Call(ctx, lines.Text())
		fmt.Println(lines.Text(), err)
	}
	return 0
}

// write guards calls, a few at a time, until killed.
func write(ctx context.Context, s *Store) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if err := guard(ctx, s, approval.NewID(), os.Stdout); err != nil {
					fmt.Println("error:", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// guard tells each step of a call after its acknowledgement.
func guard(ctx context.Context, s *Store, id string, tell io.Writer) error {
	step := func(step string, kind audit.Kind) []audit.Entry {
		e, err := audit.New(id, step, time.Now(), storetest.Payload{Of: kind, Note: strings.Repeat("x", 3000)})
		if err != nil {
			panic(err)
		}
		return []audit.Entry{e}
	}
	a := admission(id, nil)
	a.View.Status, a.TakePermit, a.IsRequest = approval.StatusPending, false, true
	if _, _, err := s.Admit(ctx, a); err != nil {
		return err
	}
	fmt.Fprintln(tell, id, approval.StatusPending)
	if _, err := s.Claim(ctx, store.ClaimParams{ID: id, Run: "run", Digest: "digest", At: time.Now(), GoodUntil: time.Now().Add(time.Hour), Entries: step("claimed", audit.KindClaimed)}); err != nil {
		return err
	}
	fmt.Fprintln(tell, id, approval.StatusExecuting)
	if err := s.Use(ctx, store.UseParams{ID: id, Run: "run", Activity: "1", Digest: "digest", At: time.Now(), Entries: step("started", audit.KindStarted)}); err != nil {
		return err
	}
	fmt.Fprintln(tell, id, used)
	outcome := approval.Outcome{ID: id, Tool: "search", Status: approval.StatusExecuted}
	if _, _, err := s.Finish(ctx, store.FinishParams{Outcome: outcome, At: time.Now(), Entries: step("ended", audit.KindEnded)}); err != nil {
		return err
	}
	fmt.Fprintln(tell, id, approval.StatusExecuted)
	return nil
}

// used comes between executing and executed in a call's progress.
const used approval.Status = "used"

var progress = []approval.Status{approval.StatusPending, approval.StatusExecuting, used, approval.StatusExecuted}

type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// start runs a child and returns when it has opened the store.
func start(t *testing.T, role, path string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	cmd.Stderr = os.Stderr
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, stdin, bufio.NewScanner(stdout)}
	if line := p.line(); line != "open" {
		t.Fatalf("the child says %q", line)
	}
	return p
}

// line is the child's next line, or nothing when it has ended.
func (p *process) line() string {
	p.lines.Scan()
	return p.lines.Text()
}

// kill is kill -9. It returns when the process is gone, with what it still said.
func (p *process) kill(t *testing.T) (said []string) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for p.lines.Scan() {
		said = append(said, p.lines.Text())
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("the killed child ended with %v", err)
	}
	return said
}

func TestOwnerInAnotherProcess(t *testing.T) {
	path := fresh(t)
	owner := start(t, roleOwn, path)
	_, err := Open(t.Context(), Options{Path: path})
	if !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", owner.cmd.Process.Pid)) {
		t.Errorf("beside an owner: %v, want %v with its process number", err, ErrOwned)
	}
	openWith(t, Options{Path: path, ReadOnly: true})
	owner.kill(t)
	admit(t, open(t, path), "a") // its lock died with it
}

func TestReaderInAnotherProcess(t *testing.T) {
	s := open(t, fresh(t))
	reader := start(t, roleRead, s.path)
	for i := range 50 {
		id := fmt.Sprintf("call-%d", i)
		admit(t, s, id)
		fmt.Fprintln(reader.stdin, id)
		if got, want := reader.line(), id+" <nil>"; got != want {
			t.Fatalf("the reader says %q, want %q", got, want)
		}
	}
	if err := errors.Join(reader.stdin.Close(), reader.cmd.Wait()); err != nil {
		t.Error(err)
	}
	admit(t, s, "after")
}

func TestKilledWriterLosesNothing(t *testing.T) {
	path := fresh(t)
	reached := map[string]int{} // index into progress, by call
	hear := func(line string) {
		id, status, ok := strings.Cut(line, " ")
		at := slices.Index(progress, approval.Status(status))
		if !ok || at < 0 {
			t.Fatalf("the writer says %q", line)
		}
		reached[id] = max(reached[id], at)
	}
	for round := range 6 {
		writer := start(t, roleWrite, path)
		for range 40 + 67*round { // stop in other places each time
			hear(writer.line())
		}
		for _, line := range writer.kill(t) {
			hear(line)
		}
		// A reader must be able to recover too, before there is an owner.
		reader := openWith(t, Options{Path: path, ReadOnly: true})
		survived(t, reader, reached)
		s := open(t, path)
		survived(t, s, reached)
		if err := guard(t.Context(), s, approval.NewID(), io.Discard); err != nil {
			t.Errorf("after the crash: %v", err)
		}
		if err := errors.Join(reader.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// survived checks that every call is at least as far as was acknowledged, and that each is in one
// state with exactly that state's entries.
func survived(t *testing.T, s *Store, reached map[string]int) {
	t.Helper()
	for id, least := range reached {
		r, err := s.Call(t.Context(), id)
		if err != nil {
			t.Errorf("acknowledged: %v", err)
			continue
		}
		status := r.View.Status
		if status == approval.StatusExecuting && !r.Permit.UsedAt.IsZero() {
			status = used
		}
		if got := slices.Index(progress, status); got < least {
			t.Errorf("call %s is %s, acknowledged was %s", id, status, progress[least])
		}
	}
	log := map[string][]string{}
	for q := (store.EntryQuery{Limit: store.MaxPage}); ; {
		page, err := s.Entries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if err := e.Check(); err != nil {
				t.Error(err)
			}
			log[e.Subject] = append(log[e.Subject], e.Step)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for id, steps := range log {
		r, err := s.Call(t.Context(), id)
		if err != nil {
			t.Errorf("in the log: %v", err)
			continue
		}
		want := 1
		switch {
		case r.View.Status == approval.StatusExecuted:
			want = 4
		case r.View.Status == approval.StatusExecuting && !r.Permit.UsedAt.IsZero():
			want = 3
		case r.View.Status == approval.StatusExecuting:
			want = 2
		}
		if all := []string{"requested", "claimed", "started", "ended"}; !slices.Equal(steps, all[:want]) {
			t.Errorf("call %s is %s with the log %q", id, r.View.Status, steps)
		}
	}
}
