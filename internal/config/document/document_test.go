package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"berth/internal/config/document"
)

// show writes a tree with the line and column of every key and value.
func show(t *document.Table) string {
	var parts []string
	for _, e := range t.Entries {
		parts = append(parts, fmt.Sprintf("%s@%d:%d=%s", e.Key, e.At.Line, e.At.Col, showValue(e.Value)))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func showValue(v *document.Value) string {
	text := v.Text
	switch v.Kind {
	case document.Array:
		var items []string
		for _, item := range v.Items {
			items = append(items, showValue(item))
		}
		text = "[" + strings.Join(items, " ") + "]"
	case document.TableKind:
		text = show(v.Table)
	case document.Integer:
		text = fmt.Sprint(v.Int)
	case document.Bool:
		text = fmt.Sprint(v.Bool)
	}
	return fmt.Sprintf("%s@%d:%d", text, v.At.Line, v.At.Col)
}

func TestEveryKeyAndValueHasItsPlace(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "{}"},
		{"comments and blank lines", "# a\n\n\t# b\r\n", "{}"},
		{"string", "key = \"v\"", "{key@1:1=v@1:7}"},
		{"literal string", "  key  =  'v'  # c", "{key@1:3=v@1:11}"},
		{"columns count bytes", "\"ü\" = \"ö\"", "{ü@1:1=ö@1:8}"},
		{"text over lines", "a = \"\"\"\nx\ny\"\"\"\nb = 1", "{a@1:1=x\ny@1:5 b@4:1=1@4:5}"},
		{"carriage returns", "a = 1\r\nb = 2\r\n", "{a@1:1=1@1:5 b@2:1=2@2:5}"},
		{"escapes", `a = "\u0041\n"`, "{a@1:1=A\n@1:5}"},
		{"numbers", "a = 1_000\nb = 0xff\nc = 0o17\nd = 0b11\ne = -7\nf = +8", "{a@1:1=1000@1:5 b@2:1=255@2:5 c@3:1=15@3:5 d@4:1=3@4:5 e@5:1=-7@5:5 f@6:1=8@6:5}"},
		{"other scalars", "a = true\nb = false\nc = 1.5\nd = 2026-01-02\ne = inf", "{a@1:1=true@1:5 b@2:1=false@2:5 c@3:1=1.5@3:5 d@4:1=2026-01-02@4:5 e@5:1=inf@5:5}"},
		{"list", "a = [1, \"b\",true]", "{a@1:1=[1@1:6 b@1:9 true@1:13]@1:5}"},
		{"list over lines with comments", "a = [ # ]\n  1, # ,\n\n  2,\n]\nb = 3", "{a@1:1=[1@2:3 2@4:3]@1:5 b@6:1=3@6:5}"},
		{"lists in a list", "a = [[1], [ [] , [2]]]", "{a@1:1=[[1@1:7]@1:6 [[]@1:13 [2@1:19]@1:18]@1:11]@1:5}"},
		{"inline table", "a = { b = 1, c.d = [2] }", "{a@1:1={b@1:7=1@1:11 c@1:14={d@1:16=[2@1:21]@1:20}@1:14}@1:5}"},
		{"tables in a list", "a = [{b = 1}, {c = {}}]", "{a@1:1=[{b@1:7=1@1:11}@1:6 {c@1:16={}@1:20}@1:15]@1:5}"},
		{"headers", "[a.b]\nc = 1\n[ a . d ]\n", "{a@1:2={b@1:4={c@2:1=1@2:5}@1:4 d@3:7={}@3:7}@1:2}"},
		{"header after what is below it", "[a.b]\n[a]\nc = 1", "{a@2:2={b@1:4={}@1:4 c@3:1=1@3:5}@2:2}"},
		{"quoted header", "[a.\"b.c\"]", "{a@1:2={b.c@1:4={}@1:4}@1:2}"},
		{"dotted keys", "a.b = 1\na.c.d = 2", "{a@1:1={b@1:3=1@1:7 c@2:3={d@2:5=2@2:9}@2:3}@1:1}"},
		{"list of tables", "[[a]]\nb = 1\n[a.c]\n[[a]]\nb = 2", "{a@1:3=[{b@2:1=1@2:5 c@3:4={}@3:4}@1:3 {b@5:1=2@5:5}@4:3]@1:3}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, problems := document.Parse("f.toml", []byte(tt.text))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := show(root); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestProblemsOfSyntax(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // beginnings, in order
	}{
		{"unclosed header", "[network.br0\n", []string{"f.toml:1:13: "}},
		{"unclosed header at the end", "[network.br0", []string{"f.toml:1:12: "}},
		{"no value", "a = 1\nb =\n", []string{"f.toml:2:4: "}},
		{"no quotes", "a = lxd\n", []string{"f.toml:1:5: "}},
		{"unclosed string", "a = \"x\nb = 1\n", []string{"f.toml:1:7: "}},
		{"unclosed list", "a = [1,\n2", []string{"f.toml:2:1: "}},
		{"two on a line", "a = 1 b = 2", []string{"f.toml:1:7: "}},
		{"not UTF-8", "a = \"\xff\"", []string{"f.toml:1:6: "}},
		{"NUL", "a = 1\n\x00", []string{"f.toml:2:1: "}},
		{"byte order mark", "\xef\xbb\xbfa = 1", []string{"f.toml:1:1: the file begins with a byte order mark"}},
		{"too large", "a = 9223372036854775808", []string{"f.toml:1:5: 9223372036854775808 is too large"}},
		{"twice", "a = 1\nb = 2\na = 3", []string{"f.toml:3:1: a is there already, at f.toml:1:1"}},
		{"twice in braces", "a = {b = 1, b = 2}", []string{"f.toml:1:13: b is there already, at f.toml:1:6"}},
		{"each of several", "a = 1\na = 2\n[b]\n[b]\nx = 1\n[a]\n", []string{"f.toml:2:1: a is", "f.toml:4:2: [b] is", "f.toml:6:2: [a] is"}},
		{"both a key and the syntax after it", "a = 1\na = 2\nb", []string{"f.toml:2:1: a is", "f.toml:3:1: "}},
		{"table over value", "a = 1\n[a.b]", []string{"f.toml:2:2: a is"}},
		{"table over inline table", "a = {}\n[a.b]", []string{"f.toml:2:2: a is"}},
		{"key into inline table", "a = {b.c = 1}\na.b.d = 2", []string{"f.toml:2:1: a is"}},
		{"header over dotted key", "a.b.c = 1\n[a.b]", []string{"f.toml:2:4: [a.b] is"}},
		{"key into header's table", "[a.b]\n[a]\nb.c = 1", []string{"f.toml:3:1: b is"}},
		{"table over list of tables", "[[a]]\n[a]", []string{"f.toml:2:2: [a] is"}},
		{"list of tables over table", "[a]\n[[a]]", []string{"f.toml:2:3: [a] is"}},
		{"list of tables over list", "a = []\n[[a]]", []string{"f.toml:2:3: [a] is"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, problems := document.Parse("f.toml", []byte(tt.text))
			if root == nil {
				t.Error("no tree")
			}
			if len(problems) != len(tt.want) {
				t.Fatalf("got %d problems: %v", len(problems), problems)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.Error(), tt.want[i]) || p.Hint == "" {
					t.Errorf("got %q, hint %q; want %q", p, p.Hint, tt.want[i])
				}
			}
			var reference map[string]any
			if err := toml.Unmarshal([]byte(tt.text), &reference); err == nil && tt.name != "byte order mark" {
				t.Error("go-toml accepts it")
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"ipv4", "ipv6", "ipv6-mode", "lease-time", "dhcp-range", "nat", "domain"}
	tests := []struct{ word, want string }{
		{"lease_time", "lease-time"},
		{"Lease-Time", "lease-time"},
		{"leasetime", "lease-time"},
		{"lease-tmie", "lease-time"},
		{"dhcp-ranges", "dhcp-range"},
		{"nta", "nat"},
		{"ip4", "ipv4"},
		{"colour", ""},
		{"x", ""},
		{"", ""},
		{strings.Repeat("lease-time", 1000), ""},
	}
	for _, tt := range tests {
		if got := document.Nearest(tt.word, known); got != tt.want {
			t.Errorf("Nearest(%.20q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

// FuzzParse compares with go-toml's own decoder, and every place with what stands there.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "[a]\nb = 1", "[[a]]\nb=[1,{c=2}]\n[[a]]", "a.b = 1\na.c = {d.e=1}", "a = \"\"\"\nx\"\"\"", "[a.b]\n[a]\nb = 1",
		"[[a]]\n[a.b]\n[[a.b.c]]\n[a]\n", "a = [ # x\n[1, 2], # y\n]", "a = 1979-05-27T07:32:00Z", "'a'.\"b\" = 0x1F\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, problems := document.Parse("f", data)
		for _, p := range problems {
			if p.Source.Line < 1 || p.Source.Col < 1 || p.Hint == "" || p.Text == "" {
				t.Errorf("incomplete problem %+v", p)
			}
		}
		var want map[string]any
		err := toml.Unmarshal(data, &want)
		switch {
		case err == nil && len(problems) > 0:
			t.Fatalf("go-toml accepts what is refused: %v", problems)
		case len(problems) > 0:
			return
		}
		lines := strings.Split(string(data), "\n")
		checkPlaces(t, lines, root, err == nil, want)
	})
}

func checkPlaces(t *testing.T, lines []string, table *document.Table, compare bool, want map[string]any) {
	if compare && len(want) != len(table.Entries) {
		t.Errorf("%d keys, go-toml reads %d", len(table.Entries), len(want))
	}
	for _, e := range table.Entries {
		if c := lines[e.At.Line-1][e.At.Col-1]; c != '"' && c != '\'' && c != e.Key[0] {
			t.Errorf("key %q is not at %s", e.Key, e.At)
		}
		other, ok := want[e.Key]
		if compare && !ok {
			t.Errorf("go-toml has no key %q", e.Key)
		}
		checkValue(t, lines, e.Value, compare, other)
	}
}

func checkValue(t *testing.T, lines []string, v *document.Value, compare bool, want any) {
	rest := lines[v.At.Line-1][v.At.Col-1:]
	switch v.Kind {
	case document.Array:
		others, _ := want.([]any)
		if compare && len(others) != len(v.Items) {
			t.Errorf("list at %s has %d items, go-toml reads %d", v.At, len(v.Items), len(others))
			compare = false
		}
		if v.Table == nil && rest[0] != '[' {
			t.Errorf("no list begins at %s", v.At)
		}
		for i, item := range v.Items {
			var other any
			if compare {
				other = others[i]
			}
			checkValue(t, lines, item, compare, other)
		}
	case document.TableKind:
		other, _ := want.(map[string]any)
		checkPlaces(t, lines, v.Table, compare, other)
	case document.String:
		if rest[0] != '"' && rest[0] != '\'' {
			t.Errorf("no string begins at %s", v.At)
		}
		if compare && want != v.Text {
			t.Errorf("string at %s is %q, go-toml reads %v", v.At, v.Text, want)
		}
	case document.Integer:
		if compare && want != v.Int {
			t.Errorf("integer at %s is %d, go-toml reads %v", v.At, v.Int, want)
		}
		fallthrough
	default:
		if !strings.HasPrefix(rest, v.Text) {
			t.Errorf("%q is not at %s", v.Text, v.At)
		}
	}
}
