package temporal

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
	"go.uber.org/fx"
)

func TestFatalEndsTheCallerAndNotTheProcess(t *testing.T) {
	var out bytes.Buffer
	s := &Server{failed: newFailure()}
	logger := log.With(serverLogger{slog: slog.New(slog.NewTextHandler(&out, nil)), failed: s.failed, settled: &s.settled}, tag.String("service", "history"))
	cause := errors.New("disk is gone")
	returned := false
	err := s.guard(func() error {
		logger.Fatal("cannot go on", tag.Error(cause))
		returned = true
		return nil
	})
	if returned {
		t.Error("Fatal returned")
	}
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "cannot go on") {
		t.Errorf("error %v does not carry message and cause", err)
	}
	if line := out.String(); !strings.Contains(line, "service=history") || !strings.Contains(line, "disk is gone") {
		t.Errorf("log line lacks tags: %s", line)
	}
	if err := s.guard(func() error { panic("odd") }); err == nil || !strings.Contains(err.Error(), "odd") {
		t.Errorf("panic came back as %v", err)
	}
	if err := s.guard(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("the end of the goroutine came back as success")
	}
}

func TestFatalWhileAServiceStarts(t *testing.T) {
	s := &Server{failed: newFailure()}
	logger := serverLogger{slog: slog.New(slog.DiscardHandler), failed: s.failed, settled: &s.settled}
	cause := errors.New("port is gone")
	app := fx.New(fx.NopLogger, fx.Invoke(func(l fx.Lifecycle) {
		l.Append(fx.StartHook(func() { logger.Fatal("cannot serve", tag.Error(cause)) }))
	}))
	services := []service{{name: "odd", app: app, opened: &resources{}}}
	err := s.guard(func() error { return startServices(t.Context(), services) })
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "start odd service") {
		t.Errorf("error %v does not carry cause and service", err)
	}
	if err := stopServices(t.Context(), services); err != nil {
		t.Errorf("stop of a service that did not start: %v", err)
	}
}

func TestLogLevels(t *testing.T) {
	var out bytes.Buffer
	var settled atomic.Bool
	logger := serverLogger{
		slog:    slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})),
		failed:  newFailure(),
		settled: &settled,
	}
	logger.Debug("quiet")
	logger.Info("quiet")
	logger.Warn("quiet while it starts")
	settled.Store(true)
	logger.Warn("loud")
	logger.DPanic("not a panic")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") || !strings.Contains(got, "level=ERROR") {
		t.Errorf("log is %s", got)
	}
}
