// Package policydiff says in what one policy is laxer or stricter than another
// over calls: recorded ones, those of suites, or calls that are derived from
// the policies' own rules.
package policydiff
