package document

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"berth/internal/ipam"
)

// origin is how a table came to be, which decides what may still be added to it.
type origin uint8

const (
	implied  origin = iota // on the way to a longer header: its own header may follow
	byHeader               // by its own header: headers below it may follow
	byKey                  // by a dotted key: further dotted keys, and headers below it, may follow
	inline                 // between braces: complete
)

// builder makes the tree out of one expression after the other.
type builder struct {
	lines    *lines
	data     []byte
	root     *Table
	current  *Table // where keys go
	problems ipam.Problems
}

func (b *builder) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		b.current = b.header(n, false)
	case unstable.ArrayTable:
		b.current = b.header(n, true)
	case unstable.KeyValue:
		b.keyValue(b.current, n)
	}
}

// name is one part of a dotted key.
type name struct {
	text  string
	begin int
	end   int
}

// names are the parts of the key of n.
func names(n *unstable.Node) []name {
	var parts []name
	for it := n.Key(); it.Next(); {
		k := it.Node()
		begin := int(k.Raw.Offset)
		parts = append(parts, name{string(k.Data), begin, begin + int(k.Raw.Length)})
	}
	return parts
}

// header finds or makes the table that the following keys belong to. After a header that can
// not stand they go to a table that nobody looks at, so that each mistake is reported once.
func (b *builder) header(n *unstable.Node, list bool) *Table {
	parts := names(n)
	t := b.root
	for _, part := range parts[:len(parts)-1] {
		if t = b.descend(t, part); t == nil {
			return newTable(byHeader)
		}
	}
	last := parts[len(parts)-1]
	have := t.Find(last.text)
	fresh := newTable(byHeader)
	if have == nil {
		v := &Value{Kind: TableKind, At: b.lines.at(last.begin), Table: fresh}
		if list {
			v = &Value{Kind: Array, At: v.At, Items: []*Value{v}, Table: fresh}
		}
		t.add(&Entry{Key: last.text, At: v.At, Value: v})
		return fresh
	}
	switch v := have.Value; {
	case list && v.Kind == Array && v.Table != nil:
		v.Items = append(v.Items, &Value{Kind: TableKind, At: b.lines.at(last.begin), Table: fresh})
		v.Table = fresh
		return fresh
	case !list && v.Kind == TableKind && v.Table.origin == implied:
		v.Table.origin, have.At, v.At = byHeader, b.lines.at(last.begin), b.lines.at(last.begin)
		return v.Table
	}
	b.twice(last, have, "["+join(parts)+"]")
	return fresh
}

// descend goes to the table called part on the way to a longer header, and makes it when
// it is not there. It is nil when that is no table.
func (b *builder) descend(t *Table, part name) *Table {
	have := t.Find(part.text)
	if have == nil {
		v := &Value{Kind: TableKind, At: b.lines.at(part.begin), Table: newTable(implied)}
		t.add(&Entry{Key: part.text, At: v.At, Value: v})
		return v.Table
	}
	if v := have.Value; v.Table != nil && v.Table.origin != inline {
		return v.Table
	}
	b.twice(part, have, part.text)
	return nil
}

// keyValue adds a key and its value to t, and returns the offset of what follows.
func (b *builder) keyValue(t *Table, n *unstable.Node) (end int) {
	parts := names(n)
	last := parts[len(parts)-1]
	begin := b.skip(last.end, "=")
	v, end := b.value(n.Value(), begin)
	for _, part := range parts[:len(parts)-1] {
		have := t.Find(part.text)
		if have == nil {
			made := &Value{Kind: TableKind, At: b.lines.at(part.begin), Table: newTable(byKey)}
			t.add(&Entry{Key: part.text, At: made.At, Value: made})
			t = made.Table
			continue
		}
		if have.Value.Kind != TableKind || have.Value.Table.origin != byKey {
			b.twice(part, have, part.text)
			return end
		}
		t = have.Value.Table
	}
	if have := t.Find(last.text); have != nil {
		b.twice(last, have, last.text)
		return end
	}
	t.add(&Entry{Key: last.text, At: b.lines.at(last.begin), Value: v})
	return end
}

func (b *builder) twice(part name, have *Entry, what string) {
	b.problems = append(b.problems, problem(b.lines.at(part.begin),
		"delete one of the two", "%s is there already, at %s", what, have.At))
}

func join(parts []name) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.text
	}
	return strings.Join(texts, ".")
}
