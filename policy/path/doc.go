// Package path compares the file paths in a call with prefixes of a policy.
//
// Paths are compared as texts: the policy does not see the disk, and can't tell which system will
// open a path. So a path is read twice. Exactly, for allow: one that any system could take for
// another place is under no prefix. And loosely, for deny and require_approval: in every way in
// which some system could read it, of which any will do.
package path
