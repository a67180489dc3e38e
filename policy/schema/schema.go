// Package schema holds the JSON Schemas (2020-12) of policy files and of suites, for editors. They
// say what editors can tell while somebody types; whether a file loads is the loader's to say.
package schema

import _ "embed"

// The schemas as JSON text.
var (
	//go:embed policy.schema.json
	Policy string
	//go:embed suite.schema.json
	Suite string
)
