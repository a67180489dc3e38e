package tool_test

import (
	"context"
	"encoding/json"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

func typed[In any](t testing.TB, into *In) *tool.Tool {
	t.Helper()
	made, err := tool.New("charge_card", func(_ context.Context, in In) (bool, error) {
		*into = in
		return true, nil
	}, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

type money struct {
	Amount   int8   `json:"amount" jsonschema:"in cents"`
	Currency string `json:"currency,omitempty"`
}

type Base struct {
	Note string `json:"note,omitempty"`
}

type charge struct {
	Base
	Total   money            `json:"total"`
	Items   []money          `json:"items,omitempty"`
	ByName  map[string]money `json:"by_name,omitempty"`
	Tip     *money           `json:"tip,omitempty"`
	Any     any              `json:"any,omitempty"`
	At      time.Time        `json:"at,omitzero"`
	From    netip.Addr       `json:"from,omitzero"`
	Raw     json.RawMessage  `json:"raw,omitempty"`
	RawPtr  *json.RawMessage `json:"raw_ptr,omitempty"`
	Exact   json.Number      `json:"exact,omitempty"`
	Blob    []byte           `json:"blob,omitempty"`
	Pair    [2]int           `json:"pair,omitzero"`
	Skipped func()           `json:"-"`
	hidden  int
}

func TestDerivedSchemaIsClosedAtEveryDepth(t *testing.T) {
	made := typed(t, new(charge))
	type object struct {
		Type                 string                     `json:"type"`
		Description          string                     `json:"description"`
		AdditionalProperties any                        `json:"additionalProperties"`
		Required             []string                   `json:"required"`
		Properties           map[string]json.RawMessage `json:"properties"`
	}
	read := func(doc json.RawMessage) (o object) {
		t.Helper()
		if err := json.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	top := read(made.Schema())
	if top.Type != "object" || top.AdditionalProperties != false || len(top.Required) != 1 || top.Required[0] != "total" {
		t.Errorf("schema %s", made.Schema())
	}
	total := read(top.Properties["total"])
	if total.AdditionalProperties != false || read(total.Properties["amount"]).Description != "in cents" {
		t.Errorf("schema of total %s", top.Properties["total"])
	}
	if _, shown := top.Properties["hidden"]; shown {
		t.Error("an unexported field is shown")
	}
}

func TestTypedArguments(t *testing.T) {
	var got charge
	made := typed(t, &got)
	for name, c := range map[string]struct {
		args string
		want string // "" means taken
	}{
		"least":             {`{"total": {"amount": 1}}`, ""},
		"everything":        {`{"note": "n", "total": {"amount": 1, "currency": "eur"}, "items": [{"amount": 2}], "by_name": {"x": {"amount": 3}}, "tip": null, "any": {"Total": 1}, "at": "2026-01-02T03:04:05Z", "from": "::1", "raw": [1], "raw_ptr": {"a": 1}, "exact": 1.5, "blob": "AQI=", "pair": [1, 2]}`, ""},
		"other case":        {`{"Total": {"amount": 1}}`, `takes no property "Total"`},
		"both cases":        {`{"total": {"amount": 1}, "TOTAL": {"amount": 2}}`, `the keys "total" and "TOTAL" differ in case only`},
		"Unicode fold":      {`{"total": {"amount": 1}, "ite\u006d\u017f": []}`, "takes no property"},
		"embedded":          {`{"total": {"amount": 1}, "Note": "n"}`, `takes no property "Note"`},
		"nested":            {`{"total": {"amount": 1, "Amount": 2}}`, `at /total: the keys "amount" and "Amount" differ in case only`},
		"in a list":         {`{"total": {"amount": 1}, "items": [{"AMOUNT": 2}]}`, `at /items/0: takes no property "AMOUNT"`},
		"in a map":          {`{"total": {"amount": 1}, "by_name": {"x": {"amounT": 2}}}`, `at /by_name/x: takes no property "amounT"`},
		"behind a pointer":  {`{"total": {"amount": 1}, "tip": {"Amount": 2}}`, `at /tip: takes no property "Amount"`},
		"skipped field":     {`{"total": {"amount": 1}, "Skipped": null}`, `takes no property "Skipped"`},
		"unexported field":  {`{"total": {"amount": 1}, "hidden": 1}`, `takes no property "hidden"`},
		"out of range":      {`{"total": {"amount": 128}}`, "at /total/amount: must be at most 127"},
		"float for integer": {`{"total": {"amount": 1.0}}`, "total.amount must fit int8"},
		"null for integer":  {`{"total": {"amount": null}}`, "at /total/amount: is null, must be an integer"},
		"wrong text":        {`{"total": {"amount": 1}, "from": "s3cr3t"}`, "a text or number is outside"},
		"wrong base64":      {`{"total": {"amount": 1}, "blob": "s3cr3t!"}`, "a text or number is outside"},
		"lower-case time":   {`{"total": {"amount": 1}, "at": "2026-01-02t03:04:05z"}`, "a text or number is outside"},
		"array too long":    {`{"total": {"amount": 1}, "pair": [1, 2, 3]}`, "at /pair: has 3 items, takes at most 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got = charge{}
			err := made.CheckArgs(json.RawMessage(c.args))
			result, ran := made.Run(t.Context(), tool.Invocation{CallID: "c", Args: json.RawMessage(c.args)})
			if c.want == "" {
				if err != nil || ran != nil || string(result) != "true" || got.Total.Amount != 1 || got.hidden != 0 {
					t.Fatalf("check %v, run %v, result %s, got %+v", err, ran, result, got)
				}
				return
			}
			for _, err := range []error{err, ran} {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("got %v, want an error with %q", err, c.want)
				}
				if approval.CodeOf(err) != approval.CodeBadArguments {
					t.Errorf("code %s", approval.CodeOf(err))
				}
			}
			if tool.IsUnknown(ran) || got.Total.Amount != 0 {
				t.Errorf("the function ran: %+v, %v", got, ran)
			}
		})
	}
}

func TestMapArguments(t *testing.T) {
	var got map[string]any
	made := typed(t, &got)
	if _, err := made.Run(t.Context(), tool.Invocation{Args: json.RawMessage(`{"a": {"B": 1}}`)}); err != nil {
		t.Fatal(err)
	}
	if inner, _ := got["a"].(map[string]any); inner["B"] != 1.0 {
		t.Errorf("got %v", got)
	}
}

type ownJSON struct{}

func (*ownJSON) UnmarshalJSON([]byte) error { return nil }

type loop struct {
	Next *loop `json:"next,omitempty"`
}

func newError[In any]() error {
	_, err := tool.New("charge_card", func(context.Context, In) (int, error) { return 0, nil }, tool.Options{})
	return err
}

func TestTypesThatAreRefused(t *testing.T) {
	type named struct {
		Base `json:"base"`
	}
	type pointer struct{ *Base }
	type shadow struct {
		Base
		Note int `json:"note"`
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"text":          {newError[string](), "use a struct or map[string]any"},
		"pointer":       {newError[*money](), "use a struct or map[string]any"},
		"list":          {newError[[]money](), "use a struct or map[string]any"},
		"typed map":     {newError[map[string]money](), "use a struct or map[string]any"},
		"interface":     {newError[any](), "use a struct or map[string]any"},
		"time":          {newError[time.Time](), "use a struct or map[string]any"},
		"own JSON":      {newError[struct{ A []ownJSON }](), ".A[]: tool_test.ownJSON has its own UnmarshalJSON"},
		"big integer":   {newError[struct{ A big.Int }](), "its own UnmarshalJSON"},
		"pawl duration": {newError[struct{ A approval.Duration }](), "its own UnmarshalJSON"},
		"string option": {newError[struct {
			A int `json:"a,omitempty,string"`
		}](), `option "string"`},
		"embedded, named":   {newError[named](), "only plain structs"},
		"embedded, pointer": {newError[pointer](), "only plain structs"},
		"embedded time": {newError[struct {
			time.Time
			A int
		}](), "use a struct"},
		"shadowed": {newError[shadow](), `another field is named "note"`},
		"bad tag name": {newError[struct {
			A int `json:"a€b"`
		}](), "json tag"},
		"cycle":         {newError[loop](), "cycle"},
		"func":          {newError[struct{ F func() }](), "has no JSON form"},
		"chan in a map": {newError[struct{ M map[string]chan int }](), ".M[]: chan int has no JSON form"},
		"map key":       {newError[struct{ M map[int]string }](), "key must be a string"},
		"methods":       {newError[struct{ E error }](), "interface"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", c.err, c.want)
			}
		})
	}
}

type explosive string

func (*explosive) UnmarshalText([]byte) error { panic("s3cr3t") }

func TestPanickingTextReaderRefusesTheCall(t *testing.T) {
	var got struct{ A explosive }
	err := typed(t, &got).CheckArgs(json.RawMessage(`{"A": "x"}`))
	if approval.CodeOf(err) != approval.CodeBadArguments || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v", err)
	}
}
