// Package build knows which Pawl this is.
package build

import (
	"runtime/debug"
	"strings"
)

// version is set by the linker, in builds that Go stamps no version into:
// -ldflags "-X github.com/pawlhq/pawl/internal/build.version=v1.2.3".
var version string

const module = "github.com/pawlhq/pawl"

// Version is the version of Pawl in this program, like v1.2.3, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	m := &info.Main
	for _, d := range info.Deps { // in a program of another module
		if d.Path == module {
			m = d
		}
	}
	if m.Version == "" {
		return "devel"
	}
	return strings.Trim(m.Version, "()")
}
