package main

import (
	"bytes"
	"context"
	"database/sql"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	_ "modernc.org/sqlite" // to ask it for its version
)

// machine says where figures come from. What can't be found out is "unknown".
type machine struct {
	Date     time.Time `json:"date"`
	Commit   string    `json:"commit"`
	Go       string    `json:"go"`
	OS       string    `json:"os"`
	CPU      string    `json:"cpu"`
	CPUs     int       `json:"cpus"`
	Memory   string    `json:"memory"`
	Load     string    `json:"load_average"` // when the run began
	Disk     string    `json:"data_directory"`
	SQLite   string    `json:"sqlite"`
	Postgres string    `json:"postgres"`
}

const unknown = "unknown"

// builtFrom is set by the linker: the commit, for builds without Go's own note of it.
var builtFrom string

func (m machine) lines() [][2]string {
	return [][2]string{
		{"date", m.Date.UTC().Format(time.RFC3339)}, {"commit", m.Commit}, {"Go", m.Go}, {"OS", m.OS},
		{"CPU", fmt.Sprintf("%d × %s", m.CPUs, m.CPU)}, {"memory", m.Memory},
		{"load", m.Load + " (average over 1, 5 and 15 minutes when the run began)"},
		{"data on", m.Disk}, {"SQLite", m.SQLite}, {"Postgres", m.Postgres},
	}
}

// inspect looks at this machine and at where the data will be.
func inspect(ctx context.Context, dir string) machine {
	m := machine{
		Date: time.Now(), Commit: unknown, Go: runtime.Version(), CPUs: runtime.NumCPU(),
		OS: fmt.Sprintf("%s, %s/%s %s", strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
			runtime.GOOS, runtime.GOARCH, first("/proc/sys/kernel/osrelease", 1)),
		CPU:    field("/proc/cpuinfo", "model name", ":"),
		Memory: memory(field("/proc/meminfo", "MemTotal", ":")), Load: first("/proc/loadavg", 3),
		Disk: filesystem(dir), SQLite: unknown, Postgres: "not measured",
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Commit = commit(info)
	}
	if m.Commit == unknown && builtFrom != "" {
		m.Commit = builtFrom
	}
	if db, err := sql.Open("sqlite", ":memory:"); err == nil {
		defer db.Close()
		_ = db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&m.SQLite) // unknown, then
	}
	return m
}

// commit is what a program was built from.
func commit(info *debug.BuildInfo) string {
	revision, dirty := "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if revision == "" {
		return unknown
	}
	if revision = revision[:min(12, len(revision))]; dirty {
		revision += ", with changes that are not committed"
	}
	return revision
}

// commitOf is the commit of another program.
func commitOf(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return unknown
	}
	return commit(info)
}

// field reads one "name<separator>value" line of a file.
func field(file, name, separator string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

// first reads the first words of a file.
func first(file string, words int) string {
	data, err := os.ReadFile(file)
	all := strings.Fields(string(data))
	if err != nil || len(all) < words {
		return unknown
	}
	return strings.Join(all[:words], " ")
}

func memory(total string) string {
	var kib float64
	if _, err := fmt.Sscanf(total, "%f kB", &kib); err != nil {
		return total
	}
	return fmt.Sprintf("%.1f GiB", kib/(1<<20))
}

// filesystem names the kind of file system a folder is on: the mount whose path is the longest that
// leads there.
func filesystem(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return unknown
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return unknown
	}
	best, kind := "", unknown
	for line := range bytes.Lines(mounts) {
		f := strings.Fields(string(line)) // device, path, type, …
		if len(f) < 3 || len(f[1]) < len(best) {
			continue
		}
		if below, err := filepath.Rel(f[1], dir); err == nil && below != ".." && !strings.HasPrefix(below, "../") {
			best, kind = f[1], f[2]
		}
	}
	return kind
}
