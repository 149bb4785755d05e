// Package archtest holds the house rules as tests: who may import whom, and what the
// code of this module never does. A rule is a row of a table in rules_test.go.
package archtest
