// Package document reads TOML into a tree that knows where everything stands: each key
// and each value carries its file, line and column.
package document

import (
	"fmt"

	"berth/internal/ipam"
)

// Kind is the TOML type of a value.
type Kind uint8

// The kinds of values. A Date stands for any of TOML's dates and times.
const (
	String Kind = iota + 1
	Integer
	Float
	Bool
	Date
	Array
	TableKind
)

// String is the kind with its article, for use in a sentence.
func (k Kind) String() string {
	switch k {
	case String:
		return "a string"
	case Integer:
		return "an integer"
	case Float:
		return "a number with a fraction"
	case Bool:
		return "true or false"
	case Date:
		return "a date"
	case Array:
		return "a list"
	case TableKind:
		return "a table"
	}
	return "nothing"
}

// Value is what stands to the right of a key, or in a list.
type Value struct {
	Kind  Kind
	At    ipam.Source // where it begins
	Text  string      // String: its content; else as it is written, "" for lists and tables
	Int   int64       // Integer
	Bool  bool        // Bool
	Items []*Value    // Array
	Table *Table      // TableKind; of a list that [[headers]] make, the last of its tables
}

// Entry is one key of a table and its value.
type Entry struct {
	Key   string
	At    ipam.Source // of the key, in the place where it first occurs
	Value *Value
}

// Table is a set of entries in the order of the file.
type Table struct {
	Entries []*Entry

	origin origin
	index  map[string]*Entry
}

// Find is the entry called key, or nil.
func (t *Table) Find(key string) *Entry { return t.index[key] }

func newTable(o origin) *Table { return &Table{origin: o, index: make(map[string]*Entry)} }

func (t *Table) add(e *Entry) {
	t.Entries = append(t.Entries, e)
	t.index[e.Key] = e
}

// Problem is what is wrong with v, at its place.
func (v *Value) Problem(hint, format string, args ...any) *ipam.Problem {
	return problem(v.At, hint, format, args...)
}

// Problem is what is wrong with the key of e, at its place.
func (e *Entry) Problem(hint, format string, args ...any) *ipam.Problem {
	return problem(e.At, hint, format, args...)
}

func problem(at ipam.Source, hint, format string, args ...any) *ipam.Problem {
	return &ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: fmt.Sprintf(format, args...), Hint: hint}
}
