package activities

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/activity"
)

// kindActivity is the kind of rows that describe a tool on a remote worker. Rows of other kinds
// describe tools that only the worker which published them can run.
const kindActivity = "activity"

// find returns the tool that a call names, or nil if nobody offers it: the worker's own tools
// first, then what agents published.
func (a *Activities) find(ctx context.Context, name string) (*tool.Tool, error) {
	if t, ok := a.Tools.Lookup(name); ok {
		return t, nil
	}
	row, err := a.Store.Tool(ctx, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking up a tool: %w", err)
	case row.Kind != kindActivity:
		return nil, nil
	}
	return a.published.tool(row)
}

// published holds the tools that agents published, ready to check arguments. The zero value is
// ready to use.
type published struct {
	mu     sync.Mutex
	byName map[string]compiled
}

type compiled struct {
	row  store.Tool
	tool *tool.Tool
}

// maxPublished bounds the tools that are held; the store has them all.
const maxPublished = 1000

func (p *published) tool(row store.Tool) (*tool.Tool, error) {
	p.mu.Lock()
	held, ok := p.byName[row.Name]
	p.mu.Unlock()
	if ok && reflect.DeepEqual(held.row, row) {
		return held.tool, nil
	}
	t, err := tool.Remote(row.Name, row.Schema, row.Queue, tool.Options{
		Description: row.Description, Idempotent: row.Idempotent,
		Timeout: row.Timeout.Std(), Heartbeat: row.Heartbeat.Std(),
	})
	if err != nil {
		return nil, fmt.Errorf("the catalogue's tool %s can't be used: %w", approval.Display(row.Name, 80), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName == nil || len(p.byName) >= maxPublished {
		p.byName = map[string]compiled{}
	}
	p.byName[row.Name] = compiled{row, t}
	return t, nil
}

// maxPublication bounds the tools of one publication.
const maxPublication = 500

// Publish puts an agent's tools into the catalogue. Those that can't be used, or whose names are
// somebody else's, are refused one by one.
func (a *Activities) Publish(ctx context.Context, in approval.Publication) (approval.Published, error) {
	var out approval.Published
	if err := approval.CheckName("agent", in.Agent); err != nil || in.Agent == "" {
		return out, refuse(approval.CodeInvalid, "the publication does not name its agent", err)
	}
	if len(in.Tools) > maxPublication {
		message := "%d tools are published at once; at most %d are taken"
		return out, refuse(approval.CodeInvalid, fmt.Sprintf(message, len(in.Tools), maxPublication), nil)
	}
	queue := approval.AgentQueue(in.Agent)
	p := store.Publication{Publisher: queue}
	seen := map[string]bool{}
	no := func(name, reason string) {
		out.Refused = append(out.Refused, approval.RefusedTool{Name: name, Reason: reason})
	}
	for _, spec := range in.Tools {
		t, err := tool.Remote(spec.Name, spec.Schema, queue, tool.Options{
			Description: spec.Description, Idempotent: spec.Idempotent,
			Timeout: spec.Timeout.Std(), Heartbeat: spec.Heartbeat.Std(),
		})
		_, own := a.Tools.Lookup(spec.Name)
		switch {
		case err != nil:
			no(spec.Name, err.Error())
		case own:
			no(spec.Name, "Pawl's own worker offers a tool of this name")
		case seen[spec.Name]:
			no(spec.Name, "the name is in the publication twice")
		default:
			p.Tools = append(p.Tools, Row(t, queue))
		}
		seen[spec.Name] = true
	}
	taken, err := a.Store.PublishTools(ctx, p)
	if err != nil {
		return out, fmt.Errorf("publishing tools: %w", err)
	}
	for _, name := range taken {
		no(name, a.owned(ctx, name))
	}
	a.Logger.InfoContext(ctx, "tools published", "queue", queue, "tools", len(p.Tools)-len(taken),
		"refused", len(out.Refused),
		"run", activity.GetInfo(ctx).WorkflowExecution.RunID)
	return out, nil
}

// owned says who has a name that could not be published.
func (a *Activities) owned(ctx context.Context, name string) string {
	row, err := a.Store.Tool(ctx, name)
	if err != nil { // most likely it was forgotten just now
		return "another agent published a tool of this name, or Pawl's own worker offers it"
	}
	return fmt.Sprintf("the name was published by the task queue %s; if that is gone for good, "+
		"an operator frees the name with 'pawl tools forget %s'",
		approval.Display(row.Publisher, 80), approval.Display(name, 80))
}

// Row is a tool as the catalogue shows it. publisher is the task queue of the worker that publishes
// it, and runs it unless it runs elsewhere.
func Row(t *tool.Tool, publisher string) store.Tool {
	queue := t.Queue()
	if queue == "" {
		queue = publisher
	}
	return store.Tool{
		Name: t.Name(), Description: t.Description(), Schema: t.Schema(), SchemaDigest: t.SchemaDigest(),
		Queue: queue, Kind: t.Kind(), Idempotent: t.Idempotent(),
		Timeout: approval.Duration(t.Timeout()), Heartbeat: approval.Duration(t.Heartbeat()), Publisher: publisher,
	}
}
