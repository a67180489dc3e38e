//go:build unix

package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
)

// demoBinaries builds what `make demo` builds, into bin/ of the folder it returns, which is where
// the demo runs.
func demoBinaries(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	programs.BuildInto(t, filepath.Join(root, "bin"), "pawl-dev", "pawl-demo", "pawl", "demo-agent")
	return root
}

// demoRun is a running demo and everything it and its children have printed.
type demoRun struct {
	t    *testing.T
	root string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is complete

	mu   sync.Mutex
	text bytes.Buffer
}

func (d *demoRun) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

func (d *demoRun) output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// demoFlags let a demo run beside others, on its own data.
func demoFlags(t *testing.T) []string {
	t.Helper()
	config, err := filepath.Abs("../../temporal-dev.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"--config", config, "--data", filepath.Join(t.TempDir(), "data"), "--production-timeout", "3s",
		"--api-listen", "127.0.0.1:0", "--temporal-listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0",
	}
}

// startDemo runs the demo as a terminal would, in a process group of its own. Flags that come later
// win.
func startDemo(t *testing.T, root string, flags ...string) *demoRun {
	t.Helper()
	d := &demoRun{t: t, root: root, done: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(root, "bin", "pawl-demo"), append(demoFlags(t), flags...)...)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = root, d, d
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // ends asks how
		close(d.done)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		<-d.done
		if t.Failed() {
			t.Logf("the demo's output:\n%s", d.output())
		}
	})
	return d
}

// until polls, and gives up when the demo has ended.
func (d *demoRun) until(what string, f func() bool) {
	d.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for ended := false; !f(); {
		if ended {
			d.t.Fatalf("the demo ended before: %s", what)
		}
		select {
		case <-tick.C:
		case <-d.done:
			ended = true
		case <-deadline:
			d.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// reads waits for output that matches, and returns its first group.
func (d *demoRun) reads(pattern string) (found string) {
	d.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	d.until("output like "+pattern, func() bool {
		m := re.FindStringSubmatch(d.output())
		if m != nil {
			found = m[len(m)-1]
		}
		return m != nil
	})
	return found
}

// signal sends a signal to every process of the demo's group, as a terminal does.
func (d *demoRun) signal(s syscall.Signal) {
	d.t.Helper()
	if err := syscall.Kill(-d.cmd.Process.Pid, s); err != nil {
		d.t.Fatal(err)
	}
}

// ends waits for the demo's end, its exit code and the end of all processes.
func (d *demoRun) ends(code int) {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(patience):
		d.t.Fatalf("the demo does not end")
	}
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		d.t.Errorf("exit code %d, want %d", got, code)
	}
	if left := demoProcesses(d.t, d.root); len(left) > 0 {
		d.t.Errorf("still running:\n%s", strings.Join(left, "\n"))
	}
}

// demoProcesses lists the processes of programs below root.
func demoProcesses(t *testing.T, root string) (found []string) {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-ww", "-o", "pid=,args=").Output()
	if err != nil {
		t.Fatalf("ps: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, root) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func (d *demoRun) stackPID() int {
	d.t.Helper()
	for _, p := range demoProcesses(d.t, d.root) {
		pid, args, _ := strings.Cut(p, " ")
		if n, err := strconv.Atoi(pid); err == nil && strings.HasPrefix(args, filepath.Join(d.root, "bin", "pawl-dev ")) {
			return n
		}
	}
	d.t.Fatal("no pawl-dev runs")
	return 0
}

// paste runs a command line as if it were pasted into a terminal.
func (d *demoRun) paste(line string) string {
	d.t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = d.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

func (d *demoRun) get(url string) (body []byte) {
	d.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("GET %s: %s, %v", url, resp.Status, err)
	}
	return body
}
