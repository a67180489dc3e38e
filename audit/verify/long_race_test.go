//go:build race

package verify_test

// longLog is short here: the race detector takes minutes for the length that "make test" also tries
// without it.
const longLog = 20_000
