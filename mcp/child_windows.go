package mcp

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// together has nothing to do: processes know who started them.
func together(*exec.Cmd) {}

// terminate ends a server's processes: nothing on Windows asks one to end.
func terminate(p *os.Process) { kill(p) }

// kill ends a server's processes: npx is a batch file, whose shell starts the server itself as a process of
// its own, which would go on.
func kill(p *os.Process) {
	taskkill := filepath.Join(os.Getenv("SystemRoot"), "System32", "taskkill.exe")
	_ = exec.Command(taskkill, "/T", "/F", "/PID", strconv.Itoa(p.Pid)).Run()
	_ = p.Kill() // where that is not to be had
}
