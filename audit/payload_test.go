package audit_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

// The bytes of each kind's payload, and the leaf hash of an entry that has it, never change: they
// are in logs already. A field that is added leaves them as they are.
func TestPayloadGolden(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	later := at.Add(time.Hour)
	call := approval.View{
		ID: "pawl-1", Tool: "refund", Args: json.RawMessage(`{"amount": 1e1, "to": "<ü>"}`), Digest: "d1",
		Status: approval.StatusPending, Agent: "a", CreatedAt: at, Deadline: &later, Requirement: &approval.Requirement{},
	}
	verdict := approval.Verdict{
		Kind: approval.VerdictRequire, Risk: approval.RiskHigh, Timeout: approval.Duration(time.Hour),
		Requirement: &approval.Requirement{},
	}
	decision := approval.Decision{
		ID: "dec-1", Kind: approval.Approve, Reviewer: "bob", Channel: "cli", Authenticated: true,
		Groups: []string{"sre"}, Method: "token", Notes: "fine",
		Envelope: json.RawMessage(`{"payload": "x"}`), NotesSalt: "s", At: at,
	}
	final := decision.Final()
	outcome := approval.Outcome{
		ID: "pawl-1", Tool: "refund", Status: approval.StatusExecuted, Result: json.RawMessage(`{"ok": true}`),
		Decision: final, Digest: "d1",
	}
	layer := audit.PolicyLayer{Name: "org.yaml", SHA256: "00eb8a0ecfecb77c25d7e28890b0a2d479966fd1b88274af09fd5c70b7fc0f71"}
	version := rest.PolicyVersion{
		Version: 3, Digest: "0000000000000000000000000000000000000000000000000000000000000001",
		At: at, By: "ann", Channel: "cli", Authenticated: true, Note: "n",
	}
	bare := version
	bare.Note, bare.Authenticated = "", false
	token := rest.Token{
		ID: "tok1", Subject: "bob", Kind: "person", Owner: "o", Roles: []string{"reviewer"}, Groups: []string{"sre"},
		Team: "t", Agents: []string{"a"}, Note: "n", CreatedAt: at, CreatedBy: "ann", ExpiresAt: &later,
	}

	var seen []audit.Kind
	bot := approval.Actor{By: "agent:bot", Via: approval.Via{Channel: "api", Method: "token"}}
	for _, c := range []struct {
		name, subject, step string
		payload             audit.Payload
		want, leaf          string
	}{
		{"requested", "pawl-1", "admit", audit.Requested{Call: call, Verdict: verdict, Run: "run-1"},
			`{"call":{"agent":"a","args":{"amount":10,"to":"<ü>"},` +
				`"created_at":"2026-01-02T03:04:05.678901Z","deadline":"2026-01-02T04:04:05.678901Z",` +
				`"digest":"d1","id":"pawl-1","requirement":{"approvals":null},"status":"pending",` +
				`"tool":"refund"},"run":"run-1","verdict":{"policy":{},"requirement":{"approvals":null},` +
				`"risk":"high","timeout":"1h0m0s","verdict":"require_approval"}}`,
			"3c717c4f1dd02446baea7f8e2a72f7fb298fcd4bca53c37e0fe44958168307f1"},
		{"blocked", "pawl-1", "admit", audit.Blocked{Call: &call, Verdict: &verdict, Run: "run-1"},
			`{"call":{"agent":"a","args":{"amount":10,"to":"<ü>"},` +
				`"created_at":"2026-01-02T03:04:05.678901Z","deadline":"2026-01-02T04:04:05.678901Z",` +
				`"digest":"d1","id":"pawl-1","requirement":{"approvals":null},"status":"pending",` +
				`"tool":"refund"},"run":"run-1","verdict":{"policy":{},"requirement":{"approvals":null},` +
				`"risk":"high","timeout":"1h0m0s","verdict":"require_approval"}}`,
			"fadbf1291cd1a27449d8357b6f686c960a0b3aad39672dc62ce979f5e9ac5143"},
		{"blocked: key of another call", "pawl-1", "conflict/run-1", audit.Blocked{Run: "run-1", Digest: "d2", Code: approval.CodeConflict},
			`{"code":"idempotency_conflict","digest":"d2","run":"run-1"}`,
			"6c8d280b460cf5ddd00e88d4a5ec0b8e65287123e70493c8e342281d315238dd"},
		{"decided", "pawl-1", "decision/dec-1", audit.Decided{Decision: decision, Run: "run-1"},
			`{"decision":{"at":"2026-01-02T03:04:05.678901Z","authenticated":true,"channel":"cli",` +
				`"decision_id":"dec-1","envelope":{"payload":"x"},"groups":["sre"],"kind":"approve",` +
				`"method":"token","notes":"fine","notes_salt":"s","reviewer":"bob"},"run":"run-1"}`,
			"f6d016e9b040dceb85036cbfb4ab584f5a05307f837d91ceb15c582ef510bd59"},
		{"refused by the workflow", "pawl-1", "refused/run-1/0/ff", audit.Refused{Run: "run-1", More: 2, Refused: []audit.Refusal{
			{Answer: approval.Answer{DecisionID: "dec-2", Outcome: approval.AnswerForbidden, Message: "no"},
				Signal: "approve", Reviewer: "bob", Channel: "cli"},
			{Answer: approval.Answer{DecisionID: "dec-3", Outcome: approval.AnswerInvalid}, Signal: "reject"},
		}},
			`{"more":2,"refused":[{"channel":"cli","decision_id":"dec-2","message":"no",` +
				`"outcome":"forbidden","reviewer":"bob","signal":"approve"},{"decision_id":"dec-3",` +
				`"outcome":"invalid","signal":"reject"}],"run":"run-1"}`,
			"135952b6a39e71aa816e98f8bd7ef9af51b1dc028e49cd3b8f9b237dda3e2915"},
		{"refused: more only", "pawl-1", "refused/run-1/1/ff", audit.Refused{Run: "run-1", More: 2},
			`{"more":2,"refused":null,"run":"run-1"}`,
			"be0c6d9604ed4b70d20dd30686ad4c839cf43b64996da83ad9e58922a9cab30a"},
		{"refused by the API", "pawl-1", "forbidden/dec-2", audit.Refused{Refused: []audit.Refusal{{
			Answer: approval.Answer{DecisionID: "dec-2", Outcome: approval.AnswerForbidden, Message: "no"},
			Signal: "approve", Reviewer: "bob", Channel: "api", Method: "token",
		}}},
			`{"more":0,"refused":[{"channel":"api","decision_id":"dec-2","message":"no","method":"token",` +
				`"outcome":"forbidden","reviewer":"bob","signal":"approve"}]}`,
			"d798cbac1e09df46f3cde4eebabbf83044c394e67dae507ef72440e498d2082d"},
		{"sent", "pawl-1", "sent/dec-4", audit.Sent{
			DecisionID: "dec-4", Reviewer: "bob", Channel: "api", Method: "token", Digest: "d1", At: at,
		},
			`{"at":"2026-01-02T03:04:05.678901Z","channel":"api","decision_id":"dec-4","digest":"d1",` +
				`"method":"token","reviewer":"bob"}`,
			"55fe2ecd2e1c104ba1931c2ae706ac6eac5a82ea42df741d2aebca50600816b6"},
		{"tightened", "pawl-1", "tighten/1", audit.Tightened{
			Digest: "d1", Requirement: approval.Requirement{Approvals: []approval.Approvals{{Group: "sre", Count: 2}}},
			Policy: approval.PolicyRef{Rule: "p.yaml:3"}, Why: "approvals by sre: 1 → 2", Run: "run-1",
		},
			`{"digest":"d1","policy":{"rule":"p.yaml:3"},"requirement":{"approvals":[{"count":2,"group":"sre"}]},` +
				`"run":"run-1","why":"approvals by sre: 1 → 2"}`,
			"5f0cf12444d68380d69d2f18887e1cd8c9dda336c483f42680836ec85db82499"},
		{"claimed", "pawl-1", "claim", audit.Claimed{Digest: "d1", Decision: final, Run: "run-1"},
			`{"decision":{"at":"2026-01-02T03:04:05.678901Z","authenticated":true,"by":"bob",` +
				`"channel":"cli","kind":"approve","notes":"fine"},"digest":"d1","run":"run-1"}`,
			"d58abe345548426bb533344dd483bf66321fd115f223f6dbbf81b5845b2a60b4"},
		{"claimed for a queue", "pawl-1", "claim", audit.Claimed{Digest: "d1", Run: "run-1", Queue: "q"},
			`{"decision":null,"digest":"d1","queue":"q","run":"run-1"}`,
			"ab8abcca9c0197141fc8be46d52374b86c69027cabf701abe5c59fdf84d4da78"},
		{"erased", "pawl-1", "erased", audit.Erased{Calls: []string{"pawl-1"}, Rows: true, By: "root", Reason: "case 812", Via: approval.Via{Method: "token"}},
			`{"by":"root","calls":["pawl-1"],"method":"token","reason":"case 812","rows":true}`, "de696eeadb448a96e9b27e5598ca5c3fee335bf5b2edf9617c334fc9d1c45b34"},
		{"erased by age", "@retention", "x", audit.Erased{Calls: []string{"a", "b"}, By: "retention", Before: &later},
			`{"before":"2026-01-02T04:04:05.678901Z","by":"retention","calls":["a","b"]}`, "582ebf505cdd38770052419c73ac0053446952b519a84e4138c4ebae62ce666e"},
		{"restored", "@store", "restored/x", audit.Restored{By: "root"}, `{"by":"root"}`, "1b84f9278ede6b032d056c33d531eb1ed6d2c39523176c593d0cb4255707e19e"},
		{"started", "pawl-1", "start", audit.Started{Digest: "d1", Run: "run-1", SchemaDigest: "s1"},
			`{"digest":"d1","run":"run-1","schema_digest":"s1"}`,
			"0750d0b99ddec8edb4762aeee0f9ac7a9389655ba34036f3b4859dfa31e84ca6"},
		{"started without a schema", "pawl-1", "start", audit.Started{Digest: "d1", Run: "run-1"},
			`{"digest":"d1","run":"run-1","schema_digest":""}`,
			"386d077bfb66a283d878fa9122a8d7d39100d81c334c22bf6c38017707554c86"},
		{"not started", "other", "not started/run-9/5", audit.NotStarted{Run: "run-9", WorkflowType: "Evil", Code: approval.CodeNoPermit, CallID: "pawl-1", Tool: "refund"},
			`{"call_id":"pawl-1","code":"no_permit","run":"run-9","tool":"refund","workflow_type":"Evil"}`,
			"f642eefb5ed06f9dccd800c849d23d8e3069adb7606fd85939e9845980c0432d"},
		{"not started without a workflow", "other", "not started//5", audit.NotStarted{Code: approval.CodeNoPermit},
			`{"call_id":"","code":"no_permit","run":"","tool":"","workflow_type":""}`,
			"24a90458167a1e60092e47232372050129ea1ffc8a3c4ac0e502f71068f4d562"},
		{"started by its caller", "pawl-1", "start", audit.Started{Digest: "d1", Start: "s"},
			`{"digest":"d1","run":"","schema_digest":"","start":"s"}`,
			"fc72092ccce87bd6949505e2ea8d1630281c08610a204c43db69085eeec02db9"},
		{"reported", "pawl-1", "report", audit.Reported{
			Status: approval.StatusFailed, Error: &approval.CallError{Code: approval.CodeToolFailed, Message: "no"},
			ResultDigest: "d", ResultSize: 7, Run: "run-1",
		},
			`{"error":{"code":"tool_failed","message":"no"},"result_digest":"d","result_size":7,"run":"run-1",` +
				`"status":"failed"}`,
			"35dc6fc97dd0d29d10c276a3344dac6224cc7aa2f7e5f96d15c66f3de65899a5"},
		{"reported late, to the API", "pawl-1", "late report", audit.Reported{Status: approval.StatusExecuted, Late: true},
			`{"late":true,"status":"executed"}`,
			"126fccd18a9fb2a0f2f930720922b0880c0484473caea1bacfa61ac9627edcff"},
		{"ended", "pawl-1", "end", audit.Ended{Outcome: outcome, Run: "run-1"},
			`{"outcome":{"decision":{"at":"2026-01-02T03:04:05.678901Z","authenticated":true,"by":"bob",` +
				`"channel":"cli","kind":"approve","notes":"fine"},"digest":"d1","id":"pawl-1",` +
				`"result":{"ok":true},"status":"executed","tool":"refund"},"run":"run-1"}`,
			"5ba1ee08b5b1fa440389adc76c0f57b9b51a8dc3092be4023479b32acde898e5"},
		{"settled", "pawl-1", "settled", audit.Settled{
			Settled: approval.Settled{Ran: true, By: "bob", At: at, Notes: "seen", Result: json.RawMessage(`{"id": 7}`)},
			Digest:  "d1", Channel: "api", Method: "token",
		},
			`{"channel":"api","digest":"d1","method":"token","settled":{"at":"2026-01-02T03:04:05.678901Z",` +
				`"by":"bob","notes":"seen","ran":true,"result":{"id":7}}}`,
			"2001a2d762789877e3703004f248bf974c88a058a38d0626ed9152dce3fc336d"},
		{"policy applied", "@policy", "version/3", audit.PolicyApplied{Policy: version, Layers: []audit.PolicyLayer{layer}},
			`{"layers":[{"name":"org.yaml",` +
				`"sha256":"00eb8a0ecfecb77c25d7e28890b0a2d479966fd1b88274af09fd5c70b7fc0f71"}],` +
				`"policy":{"at":"2026-01-02T03:04:05.678901Z","authenticated":true,"by":"ann","channel":"cli",` +
				`"digest":"0000000000000000000000000000000000000000000000000000000000000001","note":"n",` +
				`"version":3}}`,
			"459022c27008b9254645c9fbe1454870612366507af6ad6db06831aff4cf2181"},
		{"policy applied, bare", "@policy", "version/3", audit.PolicyApplied{Policy: bare, Layers: []audit.PolicyLayer{layer}},
			`{"layers":[{"name":"org.yaml",` +
				`"sha256":"00eb8a0ecfecb77c25d7e28890b0a2d479966fd1b88274af09fd5c70b7fc0f71"}],` +
				`"policy":{"at":"2026-01-02T03:04:05.678901Z","authenticated":false,"by":"ann","channel":"cli",` +
				`"digest":"0000000000000000000000000000000000000000000000000000000000000001","version":3}}`,
			"bc61496733adb99934d424539cba4fa70ca36cfe06bf8602cf86730c3c9dace2"},
		{"token created", "@token/tok1", "created", audit.TokenCreated{Token: token},
			`{"token":{"agents":["a"],"created_at":"2026-01-02T03:04:05.678901Z","created_by":"ann",` +
				`"expires_at":"2026-01-02T04:04:05.678901Z","groups":["sre"],"id":"tok1","kind":"person",` +
				`"note":"n","owner":"o","roles":["reviewer"],"subject":"bob","team":"t"}}`,
			"7a6657be9ed897e6a6d00dcba58e6e3bc43039b96d193ee5faa5d617903e4023"},
		{"token created, bare", "@token/tok2", "created", audit.TokenCreated{Token: rest.Token{ID: "tok2", Subject: "bob", CreatedAt: at}},
			`{"token":{"created_at":"2026-01-02T03:04:05.678901Z","created_by":"","id":"tok2","kind":"",` +
				`"owner":"","roles":null,"subject":"bob"}}`,
			"de660a3780def1bf81e598ccd253cb83f627d1354c118941b499ef12891e63c6"},
		{"token revoked", "@token/tok1", "revoked", audit.TokenRevoked{TokenID: "tok1", RevokedBy: "ann"},
			`{"revoked_by":"ann","token_id":"tok1"}`,
			"c95c0be20e552f7a7e16d5c56901a1dcf2e0d5153b08cd7f8392c1a93b15d378"},
		{"key added", "@key/key1", "added", audit.KeyAdded{Key: rest.SigningKey{ID: "key1", Public: []byte{1, 2, 3}, Note: "n", CreatedAt: at, CreatedBy: "ann"}},
			`{"key":{"created_at":"2026-01-02T03:04:05.678901Z","created_by":"ann","id":"key1","note":"n",` +
				`"public":"AQID"}}`,
			"7b7c397db5e8afa23310a9e87e68a7e24e32436f74552460a82f453484283b2f"},
		{"key retired", "@key/key1", "retired", audit.KeyRetired{KeyID: "key1", RetiredBy: "ann"},
			`{"key_id":"key1","retired_by":"ann"}`,
			"9c9615c98cc433581214e190d04eb644d79859f79dd7a5f0ab5df90d51b1f8fb"},
		{"key revoked", "@key/key1", "revoked", audit.KeyRevoked{KeyID: "key1", RevokedBy: "ann"},
			`{"key_id":"key1","revoked_by":"ann"}`,
			"139760aa69ebed7c6fe0ceb3a49c37235ce63fd028f950bb867732bb88750685"},
		{"log renamed", "@log", "pawl/a/b", audit.LogRenamed{Origin: "pawl/a/b", Previous: "pawl/a", Size: 7, RenamedBy: "ann"},
			`{"origin":"pawl/a/b","previous":"pawl/a","renamed_by":"ann","size":7}`,
			"69887aaed531bb31e31cabebd647557c35c3443eea1de1bd346058485055acd8"},
		{"claimed by people", "pawl-1", "claim", audit.Claimed{Digest: "d1", Run: "run-1", Policy: &approval.PolicyRef{Digest: "p", Layer: "org", Rule: "r"}},
			`{"decision":null,"digest":"d1","policy":{"digest":"p","layer":"org","rule":"r"},"run":"run-1"}`,
			"1498206a59d2ef97590569c259e23991e06075ab0aa5708c0e251b45407e2281"},
		{"requested through the API", "pawl-1", "admit", audit.Requested{Call: call, Verdict: verdict, Run: "run-1", Via: approval.Via{Channel: "cli", Method: "token"}},
			`{"call":{"agent":"a","args":{"amount":10,"to":"<ü>"},"created_at":"2026-01-02T03:04:05.678901Z","deadline":"2026-01-02T04:04:05.678901Z","digest":"d1","id":"pawl-1","requirement":{"approvals":null},"status":"pending","tool":"refund"},"channel":"cli","method":"token","run":"run-1","verdict":{"policy":{},"requirement":{"approvals":null},"risk":"high","timeout":"1h0m0s","verdict":"require_approval"}}`,
			"2273d1b9bc51fc67b21483cbd8a9c558d913024feae2c7b9b21b95a8a4a14c1c"},
		{"tokens pruned", "@retention", "tokens/a", audit.TokensPruned{Tokens: []string{"a", "b"}, Before: at, By: "retention"},
			`{"before":"2026-01-02T03:04:05.678901Z","by":"retention","tokens":["a","b"]}`,
			"94e19a8d905b1b7a7993c32f1656bfcc03fb06219a1ebaa38c728527f3f17d84"},
		{"sign-in failed", "@access", "x", audit.SignInFailed{
			Code: "token_revoked", Subject: "bob", TokenID: "tok1", Via: approval.Via{Channel: "api", Method: "token"}, Remote: "192.0.2.1", Count: 3, Since: at,
		},
			`{"channel":"api","code":"token_revoked","count":3,"method":"token","remote":"192.0.2.1","since":"2026-01-02T03:04:05.678901Z","subject":"bob","token_id":"tok1"}`,
			"48624cf9218a6dacb2d68156b1122f47797c0aec14a96aa8ae44f07bd85ab147"},
		{"sign-ins failed, bare", "@access", "x", audit.SignInFailed{Code: "several", Count: 3, Since: at},
			`{"code":"several","count":3,"since":"2026-01-02T03:04:05.678901Z"}`,
			"9a86a0ff625d69e014872cac85191cc05e0294ab3653f9c7e53b33db96600cd5"},
		{"forbidden", "@access", "x", audit.Forbidden{
			By: "bob", TokenID: "tok1", Route: "GET /api/tokens", Code: "not_permitted", Via: approval.Via{Channel: "api", Method: "token"}, Remote: "2001:db8::/64", Count: 1, Since: at,
		},
			`{"by":"bob","channel":"api","code":"not_permitted","count":1,"method":"token","remote":"2001:db8::/64","route":"GET /api/tokens","since":"2026-01-02T03:04:05.678901Z","token_id":"tok1"}`,
			"097c0c05b62474b3ea0a6f03045d89e691e2fb2a444c136b4a903fdf2a7ae680"},
		{"started by its caller, who is known", "pawl-1", "start", audit.Started{Digest: "d1", Start: "s", Actor: bot},
			`{"by":"agent:bot","channel":"api","digest":"d1","method":"token","run":"","schema_digest":"","start":"s"}`,
			"daf5d99f0485a80fbe0d0dd57f16bc94333b4850b54a6cfddd3f8a8be7e66293"},
		{"started, judged last", "pawl-1", "start", audit.Started{Digest: "d1", Run: "run-1", Policy: &approval.PolicyRef{Digest: "p", Layer: "org", Rule: "r"}},
			`{"digest":"d1","policy":{"digest":"p","layer":"org","rule":"r"},"run":"run-1","schema_digest":""}`,
			"6c494371f4e96826af9e165f0bad5ddf94d0d980673483a8d66aa0e82894a21d"},
		{"reported by somebody who is known", "pawl-1", "report", audit.Reported{Status: approval.StatusExecuted, Run: "run-1", Actor: bot},
			`{"by":"agent:bot","channel":"api","method":"token","run":"run-1","status":"executed"}`,
			"ba8921b70c396f96b772954c0e7f074542fc38ede69e6074efbf2f3f32eb6d56"},
		{"ended by a policy that came later", "pawl-1", "end", audit.Ended{
			Outcome: approval.Outcome{ID: "pawl-1", Status: approval.StatusBlocked}, Run: "run-1", Policy: &approval.PolicyRef{Digest: "p", Rule: "r"},
		},
			`{"outcome":{"id":"pawl-1","status":"blocked","tool":""},"policy":{"digest":"p","rule":"r"},"run":"run-1"}`,
			"e865a21a71a3277c2b7932797683f4b73760e73208a572e12690c3a16dbc52ea"},
		{"withdrawn by somebody who is known", "pawl-1", "end", audit.Ended{Outcome: approval.Outcome{
			ID: "pawl-1", Status: approval.StatusCancelled, Decision: &approval.FinalDecision{Kind: approval.FinalCancel, By: "bob", Channel: "api", Method: "token", At: at},
		}},
			`{"outcome":{"decision":{"at":"2026-01-02T03:04:05.678901Z","authenticated":false,"by":"bob","channel":"api","kind":"cancel","method":"token"},"id":"pawl-1","status":"cancelled","tool":""},"run":""}`,
			"8e7d1e9b886ced8d4dfc4620410c1d3861bd6af035b772ed1757aea162930d41"},
		{"blocked: key of another call, by somebody who is known", "pawl-1", "conflict/run-1", audit.Blocked{Run: "run-1", Digest: "d2", Code: approval.CodeConflict, By: "agent:bot"},
			`{"by":"agent:bot","code":"idempotency_conflict","digest":"d2","run":"run-1"}`,
			"0e3b0aa0599ca181c1dc074a5b4d09c364fd6b12b616df50bf456610bc46863c"},
		{"lost", "pawl-1", "lost/run-1", audit.Lost{Run: "run-1", Status: approval.StatusFailed, Tool: "refund", Digest: "d1", Code: approval.CodeToolFailed},
			`{"code":"tool_failed","digest":"d1","run":"run-1","status":"failed","tool":"refund"}`,
			"0e904312a7f8bedd9f7be0bbf0cd112e53ff2080a41817f82a2be3e207729581"},
		{"lost, bare", "pawl-1", "lost/run-1", audit.Lost{Run: "run-1", Status: approval.StatusExecuting},
			`{"run":"run-1","status":"executing"}`,
			"250add224ffa45dfc2f472569c36af6411e7cf75a56f09affd156e204fb910d3"},
		{"token revoked through the API", "@token/tok1", "revoked", audit.TokenRevoked{TokenID: "tok1", RevokedBy: "ann", Via: approval.Via{Channel: "api", Method: "oidc"}},
			`{"channel":"api","method":"oidc","revoked_by":"ann","token_id":"tok1"}`,
			"a0fb62fa9817b507231956e95f2ff545b9dcf5065ad0af3793c0979a25ec20f1"},
	} {
		e, err := audit.NewSalted(c.subject, c.step, at, c.payload, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if string(e.Payload) != c.want || e.Leaf.String() != c.leaf {
			t.Errorf("%s:\n%s\nleaf %s; want\n%s\nleaf %s", c.name, e.Payload, e.Leaf, c.want, c.leaf)
		}
		seen = append(seen, e.Kind)
		read, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil || reflect.TypeOf(read) != reflect.TypeOf(c.payload) {
			t.Errorf("%s is read as %T, %v", c.name, read, err)
			continue
		}
		again, err := audit.NewSalted(c.subject, c.step, at, read, nil)
		if err != nil || again.Leaf != e.Leaf {
			t.Errorf("%s loses something when it is read: %s, %v", c.name, again.Payload, err)
		}
	}
	for _, kind := range audit.Kinds {
		if !slices.Contains(seen, kind) {
			t.Errorf("no golden bytes for %s", kind)
		}
	}
}

func TestReadPayload(t *testing.T) {
	newer := []byte(`{"run":"run-1","outcome":{"status":"executed","new":1},"also":"new"}`)
	if p, err := audit.ReadPayload(audit.KindEnded, newer); err != nil || p.(audit.Ended).Outcome.Status != approval.StatusExecuted {
		t.Errorf("of a later version: %+v, %v", p, err)
	}
	for name, c := range map[string]struct {
		kind audit.Kind
		doc  string
	}{
		"unknown kind": {"call.paused", `{}`},
		"no kind":      {"", `{}`},
		"removed":      {audit.KindEnded, ""},
		"null":         {audit.KindEnded, "null"},
		"text":         {audit.KindEnded, `"x"`},
		"another type": {audit.KindEnded, `{"outcome":1}`},
	} {
		if p, err := audit.ReadPayload(c.kind, []byte(c.doc)); err == nil || p != nil || approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}
