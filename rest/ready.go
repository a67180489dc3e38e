package rest

// Readiness is the answer of GET /readyz.
type Readiness struct {
	Ready bool `json:"ready"` // false if a check fails without which the process can't serve
	// Checks are by name. Some may fail while the process is ready all the same.
	Checks map[string]CheckState `json:"checks"`
	Detail map[string]string     `json:"detail,omitempty"` // what to do, for each check that is not ok
}

// CheckState is what became of one check.
type CheckState string

// States of a check.
const (
	CheckOK          CheckState = "ok"
	CheckUnavailable CheckState = "unavailable" // it does not answer, or says no
	CheckMissing     CheckState = "missing"     // what could say so says that it is not there
)

// Version is the answer of GET /api/version.
type Version struct {
	Version  string   `json:"version"`  // of Pawl, like v1.2.3; "devel" in a build from a working copy
	Features []string `json:"features"` // what the API offers beyond the first version of its contract
}
