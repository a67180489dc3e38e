package temporal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// TestKilledServerLosesNothing kills a server in the middle of its work and checks every promise
// that it made.
func TestKilledServerLosesNothing(t *testing.T) {
	dir := t.TempDir()
	server := startChild(t, dir)

	if _, err := Start(t.Context(), options(dir)); !errors.Is(err, ErrLocked) {
		t.Errorf("second process on the directory: %v, want ErrLocked", err)
	}

	c := dial(t, server.Frontend)
	end := work(t, c)
	wantResult(t, execute(t, c, "done", greet, "Ada"), "hello Ada")
	execute(t, c, "waiting", await)
	execute(t, c, "signalled", await)
	execute(t, c, "napping", nap, 2*time.Second)
	eventually(t, "workers reached the waits", func() bool {
		return waits(t, c, "waiting") && waits(t, c, "signalled") && waits(t, c, "napping")
	})
	end()
	if err := c.SignalWorkflow(t.Context(), "signalled", "", "answer", "heard"); err != nil {
		t.Fatal(err)
	}

	// The kill comes while starts are being acknowledged as fast as they can be.
	acknowledged := make(chan string, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(acknowledged)
		for i := 0; ; i++ {
			id := fmt.Sprintf("burst-%d", i)
			if _, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, await); err != nil {
				return
			}
			acknowledged <- id
		}
	}()
	eventually(t, "starts are flowing", func() bool { return len(acknowledged) > 50 })
	server.kill()
	cancel()
	if rest, err := io.ReadAll(server.stdout); err != nil || len(rest) > 0 {
		t.Errorf("server printed %q on stdout (%v)", rest, err)
	}

	again := start(t, options(dir))
	c = dial(t, again.FrontendAddr())
	burst := 0
	for id := range acknowledged {
		burst++
		if got := status(t, c, id); got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			t.Errorf("%s is %s", id, got)
		}
	}
	t.Logf("%d acknowledged starts all there", burst)
	defer work(t, c)()
	wantResult(t, c.GetWorkflow(t.Context(), "done", ""), "hello Ada")
	wantResult(t, c.GetWorkflow(t.Context(), "signalled", ""), "heard")
	wantResult(t, c.GetWorkflow(t.Context(), "napping", ""), "rested")
	if err := c.SignalWorkflow(t.Context(), "waiting", "", "answer", "late"); err != nil {
		t.Fatal(err)
	}
	wantResult(t, c.GetWorkflow(t.Context(), "waiting", ""), "late")
}

// waits says whether a workflow's first workflow task is complete, so that it now waits.
func waits(t *testing.T, c client.Client, id string) bool {
	t.Helper()
	iter := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iter.HasNext() {
		e, err := iter.Next()
		var absent *serviceerror.NotFound
		if errors.As(err, &absent) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			return true
		}
	}
	return false
}

func TestKilledFirstSetUp(t *testing.T) {
	dir := t.TempDir()
	server := launchChild(t, dir)
	eventually(t, "set-up has begun", func() bool {
		aside, _ := filepath.Glob(filepath.Join(dir, databaseFile+"*"))
		return len(aside) > 0
	})
	server.kill()
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	t.Logf("killed with %v", names)
	start(t, options(dir))
}

func TestLeftoversOfACrashedSetUpAreIgnored(t *testing.T) {
	dir := t.TempDir()
	// A half-laid schema, its journal, and the log of a database that somebody deleted.
	half, err := sql.Open("sqlite", filepath.Join(dir, databaseFile+setupSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.Exec(`CREATE TABLE namespaces (half INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if err := half.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{databaseFile + setupSuffix + "-journal", databaseFile + "-wal", databaseFile + "-shm"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, start(t, options(dir)).FrontendAddr())
	execute(t, c, "fine", await)
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+setupSuffix+"*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "not SQLite": "hello, this is not a database at all"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, databaseFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Start(t.Context(), options(dir)); err == nil {
			stop(t, s)
			t.Errorf("%s file was taken for a database", name)
		}
		if b, err := os.ReadFile(filepath.Join(dir, databaseFile)); err != nil || string(b) != content {
			t.Errorf("%s file was changed to %q (%v)", name, b, err)
		}
	}
}
