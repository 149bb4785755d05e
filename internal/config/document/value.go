package document

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// value copies the value that begins at offset begin, and returns where it ends: the parser
// says neither for lists, nor where an inline table ends.
func (b *builder) value(n *unstable.Node, begin int) (v *Value, end int) {
	v = &Value{At: b.lines.at(begin)}
	end = begin + int(n.Raw.Length)
	switch n.Kind {
	case unstable.Array:
		v.Kind = Array
		end = b.skip(begin+1, ",")
		for it := n.Children(); it.Next(); {
			var item *Value
			item, end = b.value(it.Node(), end)
			v.Items = append(v.Items, item)
			end = b.skip(end, ",")
		}
		return v, end + 1
	case unstable.InlineTable:
		v.Kind, v.Table = TableKind, newTable(byKey)
		end = b.skip(begin+1, ",")
		for it := n.Children(); it.Next(); {
			end = b.skip(b.keyValue(v.Table, it.Node()), ",")
		}
		seal(v.Table)
		return v, end + 1
	case unstable.String:
		v.Kind = String
	case unstable.Integer:
		v.Kind = Integer
	case unstable.Float:
		v.Kind = Float
	case unstable.Bool:
		v.Kind = Bool
	default:
		v.Kind = Date
	}
	v.Text = string(n.Data)
	switch v.Kind {
	case Bool:
		v.Bool = v.Text == "true"
	case Integer:
		i, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 64) // the parser let no "010" pass, which base 0 would take for octal
		if err != nil {
			b.problems = append(b.problems, v.Problem("write an integer of 64 bits", "%s is too large", v.Text))
		}
		v.Int = i
	}
	return v, end
}

// seal closes an inline table and the tables that its dotted keys made.
func seal(t *Table) {
	t.origin = inline
	for _, e := range t.Entries {
		if e.Value.Kind == TableKind && e.Value.Table.origin == byKey {
			seal(e.Value.Table)
		}
	}
}

// skip is the offset of the next byte at or after offset that is neither blank, nor in a
// comment, nor one of separators.
func (b *builder) skip(offset int, separators string) int {
	for offset < len(b.data) {
		switch c := b.data[offset]; {
		case c == '#':
			eol := bytes.IndexByte(b.data[offset:], '\n')
			if eol < 0 {
				return len(b.data)
			}
			offset += eol
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || strings.IndexByte(separators, c) >= 0:
			offset++
		default:
			return offset
		}
	}
	return offset
}
