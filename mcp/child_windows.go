package mcp

import "os"

// terminate ends a process: nothing on Windows asks one to end.
var terminate = os.Kill
