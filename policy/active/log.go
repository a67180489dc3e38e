package active

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/pawlhq/pawl/internal/yamlfile"
)

// mostProblems is how many problems of one policy are logged.
const mostProblems = 20

// LogProblems logs why a policy can't be used, each problem on its own line.
func LogProblems(ctx context.Context, l *slog.Logger, message string, err error, attrs ...any) {
	problems, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		l.ErrorContext(ctx, message, append(attrs, "error", err)...)
		return
	}
	l.ErrorContext(ctx, message, append(attrs, "problems", len(problems))...)
	logEach(ctx, l, slog.LevelError, "a problem of the policy", problems)
}

// LogWarnings logs what is hardly meant in files that are the policy now.
func LogWarnings(ctx context.Context, l *slog.Logger, warnings yamlfile.Problems) {
	logEach(ctx, l, slog.LevelWarn, "a warning about the policy", warnings)
}

func logEach(ctx context.Context, l *slog.Logger, level slog.Level, message string,
	problems yamlfile.Problems) {
	for i, p := range problems {
		if i == mostProblems {
			l.Log(ctx, level, message,
				"what", "more of this policy are not logged; 'pawl policy check' shows all", "more", len(problems)-i)
			return
		}
		what := p.Message
		if p.Hint != "" {
			what += "; " + p.Hint
		}
		// The text handler would escape every quotation mark.
		l.Log(ctx, level, message, "at", p.Where(), "what", strings.ReplaceAll(what, `"`, "'"))
	}
}
