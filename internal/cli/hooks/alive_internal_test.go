package hooks

import (
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// A host that was killed is dead also while nobody has asked for its end.
func TestAlive(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("LOUD: only Linux tells a process that nobody has waited for from one that runs")
	}
	host := exec.Command("cat") // which waits for its input
	if _, err := host.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Wait() })
	is := alive(strconv.Itoa(host.Process.Pid))
	if !is() {
		t.Error("a process that runs counts as dead")
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); is(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a process that was killed, and not waited for, counts as alive")
		}
	}
}
