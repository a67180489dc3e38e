package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

// directPolicies applies policies to a store without an API between, and
// answers as the API's client does.
type directPolicies struct {
	store store.Store
	by    string
}

// Entries implements policyApplier. It returns one page of payloads.
func (d directPolicies) Entries(ctx context.Context, q client.EntryQuery) (page client.Page[client.Entry], err error) {
	found, err := d.store.Entries(ctx, store.EntryQuery{Kind: audit.Kind(q.Kind), Since: q.Since, Cursor: q.Cursor, Limit: q.Limit})
	for _, e := range found.Items {
		page.Items = append(page.Items, client.Entry{Kind: q.Kind, At: e.At, Payload: e.Payload})
	}
	page.Next = found.Next
	return page, err
}

// Policy implements policyApplier.
func (d directPolicies) Policy(ctx context.Context) (p client.ActivePolicy, err error) {
	v, err := active.Version(ctx, d.store)
	if err != nil {
		return p, err
	}
	set, err := active.Source(ctx, d.store, v.Digest)
	if err != nil {
		return p, err
	}
	p.PolicyVersion = versionOf(v)
	for _, l := range set.Layers {
		p.Layers = append(p.Layers, client.PolicyLayer(l))
	}
	return p, nil
}

// TryPolicy implements policyApplier.
func (d directPolicies) TryPolicy(ctx context.Context, change client.PolicyChange) (t client.PolicyTrial, err error) {
	set, err := active.Prepare(filesOf(change.Layers)...)
	if err != nil {
		return t, directRefusal(err)
	}
	v, err := active.Version(ctx, d.store)
	if err != nil {
		return t, err
	}
	t = client.PolicyTrial{Changed: v.Digest != set.Digest(), Digest: set.Digest(), Active: versionOf(v), Warnings: problemsOf(set.Warnings())}
	t.Raw, err = json.Marshal(t)
	return t, err
}

// ApplyPolicy implements policyApplier.
func (d directPolicies) ApplyPolicy(ctx context.Context, change client.PolicyChange) (a client.AppliedPolicy, err error) {
	v, err := active.Apply(ctx, d.store, active.Change{
		Files: filesOf(change.Layers), Expect: change.Expect, By: d.by, Channel: "direct", Note: change.Note,
	})
	switch {
	case errors.Is(err, store.ErrPolicyChanged):
		return a, &client.Error{Code: client.CodePolicyChanged,
			Detail: fmt.Sprintf("version %d is active, not %d; nothing was changed", v.Version, change.Expect)}
	case err != nil:
		return a, directRefusal(err)
	}
	a = client.AppliedPolicy{Changed: v.Fresh, PolicyVersion: versionOf(v.PolicyVersion), Warnings: problemsOf(v.Warnings)}
	a.Raw, err = json.Marshal(a)
	return a, err
}

func directRefusal(err error) error {
	problems, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		return err
	}
	return &client.Error{
		Code: approval.CodeInvalid, Detail: fmt.Sprintf("the policy was not applied, problems: %d; the one that is active stays", len(problems)),
		Problems: problemsOf(problems),
	}
}

func problemsOf(problems yamlfile.Problems) []client.PolicyProblem {
	out := []client.PolicyProblem{}
	for _, p := range problems {
		out = append(out, client.PolicyProblem{File: p.File, Line: p.Line, Column: p.Column, Message: p.Message, Hint: p.Hint})
	}
	return out
}

func versionOf(v store.PolicyVersion) client.PolicyVersion {
	return client.PolicyVersion{
		Version: v.Version, Digest: v.Digest, At: v.At, By: v.By, Channel: v.Channel, Authenticated: v.Authenticated, Note: v.Note,
	}
}

func filesOf(layers []client.PolicyLayer) (files []policy.File) {
	for _, l := range layers {
		files = append(files, policy.File{Name: l.Name, Data: []byte(l.Text)})
	}
	return files
}
