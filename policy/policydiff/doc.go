// Package policydiff says in what one policy is laxer or stricter than another over calls that it
// is given: those of suites, and recorded ones. It derives no calls from policies, so it says
// nothing of calls that nobody gave it.
package policydiff
