package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
	"go.uber.org/zap/zapcore"
)

// failure keeps the first error that the server cannot live with.
type failure struct {
	once sync.Once
	err  chan error
}

func newFailure() *failure { return &failure{err: make(chan error, 1)} }

func (f *failure) set(err error) { f.once.Do(func() { f.err <- err }) }

// take answers the recorded error, or nil.
func (f *failure) take() error {
	select {
	case err := <-f.err:
		return err
	default:
		return nil
	}
}

// serverLogger gives Temporal's server a slog.Logger. Tags are rendered only when a line is
// written: the server derives loggers on its hot paths.
type serverLogger struct {
	slog   *slog.Logger
	failed *failure
	// settled is false while the server starts and stops. Its warnings in that time are about parts of
	// itself that are not there yet or any more, and count as information.
	settled *atomic.Bool
	tags    []tag.Tag
}

var (
	_ log.Logger     = serverLogger{}
	_ log.WithLogger = serverLogger{}
)

func (l serverLogger) Debug(msg string, tags ...tag.Tag) { l.write(slog.LevelDebug, msg, tags) }
func (l serverLogger) Info(msg string, tags ...tag.Tag)  { l.write(slog.LevelInfo, msg, tags) }
func (l serverLogger) Error(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

func (l serverLogger) Warn(msg string, tags ...tag.Tag) {
	level := slog.LevelWarn
	if !l.settled.Load() {
		level = slog.LevelInfo
	}
	l.write(level, msg, tags)
}

// DPanic panics only in Temporal's development builds.
func (l serverLogger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

func (l serverLogger) Panic(msg string, tags ...tag.Tag) { l.die(msg, tags) }
func (l serverLogger) Fatal(msg string, tags ...tag.Tag) { l.die(msg, tags) }

func (l serverLogger) With(tags ...tag.Tag) log.Logger {
	l.tags = slices.Concat(l.tags, tags)
	return l
}

// die ends the calling goroutine instead of the process, which is not the server's to end. Callers
// inside the server rely on Fatal and Panic not returning.
func (l serverLogger) die(msg string, tags []tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	err := errors.New("temporal: server failed: " + msg)
	for _, t := range slices.Concat(l.tags, tags) {
		if cause, ok := value(t).(error); ok {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	l.failed.set(err)
	runtime.Goexit()
}

func (l serverLogger) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if !l.slog.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, len(l.tags)+len(tags))
	for _, t := range slices.Concat(l.tags, tags) {
		attrs = append(attrs, slog.Any(t.Key(), value(t)))
	}
	l.slog.LogAttrs(ctx, level, msg, attrs...)
}

// value keeps errors as errors: the tag's own Value answers a text, and at random one of two.
func value(t tag.Tag) any {
	if z, ok := t.(tag.ZapTag); ok && z.Field().Type == zapcore.ErrorType {
		return z.Field().Interface
	}
	return t.Value()
}

// lineWriter sends what libraries print as lines to the log.
type lineWriter struct{ slog *slog.Logger }

func (w lineWriter) Write(p []byte) (int, error) {
	w.slog.Warn("message from a library", "text", strings.TrimSpace(string(p)))
	return len(p), nil
}
