// Package active applies policies, and follows the one that is active.
//
// What calls are judged by is kept in the store: sets of files that never change, under their
// digests, and versions that say which set was made active when and by whom. Apply adds a version.
// Follow gives a Policy that judges by the active one, and notices within seconds when another is
// applied.
//
// A version is applied whole or not at all, and only over the version that its applier saw. A set
// that can't be used never replaces one that can: Apply refuses it, and where an older Pawl can't
// read what a newer one applied, its Policy goes on with the set it has and says so. Every verdict
// names the digest of the set that gave it.
//
// Before the first version is applied the policy is the one of no files, under which everything
// needs approval. It counts as version 0.
package active
