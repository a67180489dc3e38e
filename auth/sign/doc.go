// Package sign makes and verifies signed decisions: who decided what about which call, under an
// Ed25519 signature, in a DSSE envelope (https://github.com/secure-systems-lab/dsse, v1.0.2).
//
// Verifying asks nobody and looks at no clock, so that workflows may do it. Everything is safe for
// concurrent use.
package sign
