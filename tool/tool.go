package tool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// Bounds of one run.
const (
	DefaultTimeout = time.Minute
	MaxTimeout     = 24 * time.Hour
)

const (
	kindGo       = "go"       // a Go function of this process
	kindActivity = "activity" // an activity on another task queue
)

// Options describes a tool beyond its name, arguments and function.
type Options struct {
	// Description tells agents and reviewers what the tool does: at most 4 KiB. Default: none.
	Description string
	// Idempotent declares that running the tool twice for one call ID does no more than running it
	// once, so an executor may try again. Default: false.
	Idempotent bool
	// Timeout is how long one run may take. Default: DefaultTimeout; at most MaxTimeout.
	Timeout time.Duration
	// Kind says what runs the tool, for the catalogue. New sets it to "go", Remote to "activity".
	// Default: "go".
	Kind string
	// Heartbeat, of a remote tool, is how long the process that runs it may be silent before it is
	// taken for dead. Default: it sends no heartbeats, and only Timeout ends it.
	Heartbeat time.Duration
	// Judge tells from a result whether the tool did what was asked. Its error is how the run ended
	// then: Failed or Unknown. Default: whatever it answers, a tool did.
	Judge func(result json.RawMessage) error
}

func (o *Options) validate() error {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Kind = cmp.Or(o.Kind, kindGo)
	if o.Timeout < 0 || o.Timeout > MaxTimeout {
		return approval.Errorf(approval.CodeInvalid, "timeout %v is not in (0, %v]", o.Timeout, MaxTimeout)
	}
	if o.Heartbeat < 0 || o.Heartbeat > MaxTimeout {
		return approval.Errorf(approval.CodeInvalid,
			"heartbeat timeout %v is not in (0, %v]; 0 means no heartbeats", o.Heartbeat, MaxTimeout)
	}
	return nil
}

// Invocation is one run of a tool for one call. CallID stays the same over every attempt at the
// call, so it is the idempotency key to pass on.
type Invocation struct {
	CallID string
	Digest string // of the call that was allowed
	Tool   string
	Args   json.RawMessage // fits the tool's schema
}

// Func runs a tool and returns its result as JSON; empty means null. The package's documentation
// says what its error means. It must be safe for concurrent use and should stop when ctx is done.
type Func func(ctx context.Context, c Invocation) (json.RawMessage, error)

// Tool is something a guarded call can run. Make one with New or Custom.
type Tool struct {
	name, description, kind string
	idempotent              bool
	timeout, heartbeat      time.Duration
	queue                   string // "": runs in this process
	schema                  *schema
	fits                    func(args json.RawMessage) error // nil, or what New's type asks beyond the schema
	run                     Func
	judge                   func(result json.RawMessage) error // nil: no result is judged
}

// New makes a tool from a Go function. The schema is derived from In, a struct or map[string]any:
// properties are the fields' JSON names, all are required but those marked omitempty or omitzero, a
// `jsonschema` tag is a property's description, and unknown properties are refused at every depth,
// so a name in another case never reaches a field. The function finds its Invocation with
// FromContext.
//
// Types whose JSON form can't be derived (their own UnmarshalJSON, the tag option "string", fields
// that hide each other) are errors that name the field.
func New[In, Out any](
	name string, fn func(ctx context.Context, in In) (Out, error), o Options,
) (*Tool, error) {
	if fn == nil {
		return nil, invalidTool(name, fmt.Errorf("its function is nil"))
	}
	doc, err := deriveSchema(reflect.TypeFor[In]())
	if err != nil {
		return nil, invalidTool(name, err)
	}
	o.Kind = kindGo
	t, err := Custom(name, doc, func(ctx context.Context, c Invocation) (json.RawMessage, error) {
		in, err := decode[In](c.Args)
		if err != nil {
			return nil, Failed(err)
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		result, err := json.Marshal(out)
		if err != nil {
			return nil, undeliverable(fmt.Sprintf("%v does not marshal to JSON", reflect.TypeFor[Out]()), err)
		}
		return result, nil
	}, o)
	if err != nil {
		return nil, err
	}
	t.fits = func(args json.RawMessage) error {
		_, err := decode[In](args)
		return err
	}
	return t, nil
}

// Custom makes a tool from a schema and a function over raw JSON. The schema is JSON Schema 2020-12
// of at most 64 KiB with "type": "object" at the top; it refers to nothing outside itself. Formats
// are asserted.
func Custom(name string, schema json.RawMessage, run Func, o Options) (*Tool, error) {
	if err := o.validate(); err != nil {
		return nil, invalidTool(name, err)
	}
	// A tool is nameable and describable exactly if a call can say the same.
	call := approval.Call{Tool: name, Description: o.Description, Args: json.RawMessage("{}")}
	if err := call.Validate(); err != nil {
		return nil, invalidTool(name, err)
	}
	if run == nil {
		return nil, invalidTool(name, fmt.Errorf("its function is nil"))
	}
	compiled, err := compileSchema(schema)
	if err != nil {
		return nil, invalidTool(name, fmt.Errorf("schema: %w", err))
	}
	return &Tool{
		name: name, description: o.Description, kind: o.Kind,
		idempotent: o.Idempotent, timeout: o.Timeout,
		schema: compiled, run: run, judge: o.Judge,
	}, nil
}

// Remote describes a tool that other workers run: an ordinary activity of this name on a task queue
// of theirs, in any language. Its arguments are checked here; Run refuses it.
func Remote(name string, schema json.RawMessage, queue string, o Options) (*Tool, error) {
	if queue == "" {
		return nil, invalidTool(name, fmt.Errorf("the task queue on which it runs is missing"))
	}
	if queue == approval.TaskQueue {
		return nil, invalidTool(name,
			fmt.Errorf("the task queue %s is Pawl's own: name the one that its workers poll", queue))
	}
	if err := approval.CheckName("task queue", queue); err != nil {
		return nil, invalidTool(name, err)
	}
	o.Kind = kindActivity
	t, err := Custom(name, schema, func(context.Context, Invocation) (json.RawMessage, error) {
		return nil, Failed(fmt.Errorf("the tool was not started: it runs on the task queue %s", quote(queue)))
	}, o)
	if err != nil {
		return nil, err
	}
	t.queue, t.heartbeat = queue, o.Heartbeat
	return t, nil
}

func invalidTool(name string, err error) error {
	return approval.Errorf(approval.CodeInvalid, "tool %s: %w", quote(name), err)
}

// What calls ask for, and what Options said, with its defaults.

func (t *Tool) Name() string             { return t.name }
func (t *Tool) Description() string      { return t.description }
func (t *Tool) Kind() string             { return t.kind }
func (t *Tool) Idempotent() bool         { return t.idempotent }
func (t *Tool) Timeout() time.Duration   { return t.timeout }
func (t *Tool) Heartbeat() time.Duration { return t.heartbeat } // of a tool with a Queue

// Queue is the task queue on which other workers run the tool, or empty for a tool of this process.
func (t *Tool) Queue() string { return t.queue }

// Judge tells from the result of a tool with a Queue, whose runs nobody else judges, whether it did
// what was asked. The error is Failed or Unknown, as Options.Judge says.
func (t *Tool) Judge(result json.RawMessage) error {
	if t.judge == nil {
		return nil
	}
	err := t.judge(result)
	return classify(err, IsUnknown(err))
}

// Schema returns a copy of the arguments' JSON Schema.
func (t *Tool) Schema() json.RawMessage { return slices.Clone(t.schema.doc) }

// SchemaDigest is the SHA-256, in hex, of the schema's RFC 8785 canonical JSON: it changes exactly
// when the schema's content does.
func (t *Tool) SchemaDigest() string { return t.schema.digest }

// CheckArgs checks arguments against the limits, the schema and, for New, the Go type. The error is
// an approval.Error with approval.CodeBadArguments. It names up to ten problems by JSON pointer and
// never quotes a value of the arguments.
func (t *Tool) CheckArgs(args json.RawMessage) (err error) {
	// Formats and the types' own text readers run on what an agent sent: a panic in one of them must
	// refuse the call, not take the worker down.
	defer func() {
		if recover() != nil {
			err = badArguments("the arguments could not be checked: reading them panicked")
		}
	}()
	if err := strictjson.CheckFolded("args", args, approval.MaxArgs); err != nil {
		return badArguments("%w", err)
	}
	if err := t.schema.check(args); err != nil {
		return err
	}
	if t.fits != nil {
		return t.fits(args)
	}
	return nil
}

func badArguments(format string, a ...any) error {
	return approval.Errorf(approval.CodeBadArguments, format, a...)
}

// Registry holds the tools of one worker or agent by name. It is immutable and safe for concurrent
// use.
type Registry struct {
	byName map[string]*Tool
}

// NewRegistry refuses nil tools and names that stand twice, all of them in one error.
func NewRegistry(tools ...*Tool) (*Registry, error) {
	r := &Registry{byName: make(map[string]*Tool, len(tools))}
	var problems []error
	for i, t := range tools {
		switch {
		case t == nil:
			problems = append(problems, approval.Errorf(approval.CodeInvalid, "tool %d of the registry is nil", i+1))
		case r.byName[t.name] != nil:
			problems = append(problems, approval.Errorf(approval.CodeInvalid,
				"tool %s is registered twice", quote(t.name)))
		default:
			r.byName[t.name] = t
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return r, nil
}

// Lookup returns the tool of this name.
func (r *Registry) Lookup(name string) (*Tool, bool) {
	t, ok := r.byName[name]
	return t, ok
}

// All returns the tools, sorted by name.
func (r *Registry) All() []*Tool {
	byName := func(a, b *Tool) int { return strings.Compare(a.name, b.name) }
	return slices.SortedFunc(maps.Values(r.byName), byName)
}
