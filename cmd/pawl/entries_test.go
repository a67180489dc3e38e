package main

import "testing"

func TestGistOfTokensAndKeys(t *testing.T) {
	for payload, want := range map[string]string{
		`{"token":{"id":"a","subject":"rita","roles":["reviewer","auditor"],"groups":["finance"],"created_by":"admin"}}`: "for rita (reviewer, auditor, group finance), by admin",
		`{"token":{"id":"a","subject":"ana","roles":["admin"],"created_by":"database:ops"}}`:                             "for ana (admin), by database:ops",
		`{"token_id":"a","revoked_by":"admin"}`:                                                                          "by admin",
		`{"key":{"id":"k","created_by":"pawl api","note":"a.example:/key"}}`:                                             "by pawl api, in a.example:/key",
		`{"key_id":"k","retired_by":"admin"}`:                                                                            "by admin",
		`{"token":{"subject":"a\u001bb","roles":["agent"]}}`:                                                             `for a\u{001B}b (agent), by`,
	} {
		if got := gist([]byte(payload)); got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}
