// Command proofs checks a proof of an entry of Pawl's audit log by a policy, and prints the entry. It has
// nothing of Pawl: the reader of proofs is torchwood's.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Println("NOT OK:", err)
		os.Exit(1)
	}
}

func check(policyFile, proofFile string) error {
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	policy, err := torchwood.ParsePolicy(text)
	if err != nil {
		return err
	}
	proof, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	extra, err := torchwood.ProofExtraData(proof)
	if err != nil {
		return err
	}
	var entry struct {
		Metadata string `json:"metadata"` // what the leaf is the hash of
	}
	if err := json.Unmarshal(extra, &entry); err != nil {
		return err
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte(entry.Metadata)), proof); err != nil {
		return err
	}
	fmt.Printf("ok: %s", extra)
	return nil
}
