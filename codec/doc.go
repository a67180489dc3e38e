// Package codec encrypts what Pawl, its agents and its tools leave in Temporal: arguments, results,
// signals, queries' answers, memos, summaries and the texts of errors. A Keyring is the codec; its
// Configure puts it into the options of a Temporal client, and everybody who takes part needs one
// with the same keys. docs/encryption.md says what stays readable.
//
// A payload is encrypted whole, its metadata included, by AES-256-GCM:
//
//	metadata  encoding           binary/encrypted
//	          encryption-key-id  the key's ID
//	data      nonce (12 bytes, random), ciphertext, tag (16 bytes)
//
// The plain text is the payload as Protobuf. The associated data is the text binary/encrypted, a
// line feed and the key's ID. Apart from the associated data that is what Temporal's samples do in
// every language.
//
// Random nonces of 96 bits bound a key: after 2^32 payloads the chance that two of them shared one
// is 2^-32 (NIST SP 800-38D, 8.3). An approved call writes some 25 payloads, so a key is good for
// 170 million calls. Go's standard library has no XAES-256-GCM, and deriving a key for each payload
// would keep the samples' codecs from reading it.
package codec
