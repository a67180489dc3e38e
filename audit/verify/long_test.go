//go:build !race

package verify_test

const longLog = 200_000
