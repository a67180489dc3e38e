package policy

// DangerousWord and Match let tests look at names and patterns without a file around each.
var DangerousWord = dangerousWord

func Match(pattern, name string) bool { return glob(pattern).match(name) }
