package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"berth/internal/ipam"
)

func TestPrintable(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "cent01", "cent01"},
		{"empty", "", ""},
		{"other alphabets stay", "größe 測試 → µ", "größe 測試 → µ"},
		{"an escape sequence", "\x1b[2Jx", `\u001b[2Jx`},
		{"a line of its own", "a\r\nhint: rm", `a\u000d\u000ahint: rm`},
		{"a column of its own", "a\tb", `a\u0009b`},
		{"NUL and DEL", "a\x00b\x7f", `a\u0000b\u007f`},
		{"C1 controls", "a\u009b31m", `a\u009b31m`},
		{"text that turns round", "a\u202eb\u2066c", `a\u202eb\u2066c`},
		{"invisible", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"no UTF-8", "a\xffb\x1b", "a\ufffdb\\u001b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := printable(tt.in); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestMicros(t *testing.T) {
	tests := []struct {
		us   int64
		want string
	}{
		{0, "0 µs"}, {640, "640 µs"}, {999, "999 µs"}, {1000, "1.0 ms"}, {2640, "2.6 ms"},
		{999_900, "999.9 ms"}, {1_000_000, "1.0 s"}, {61_250_000, "61.2 s"},
	}
	for _, tt := range tests {
		if got := micros(tt.us); got != tt.want {
			t.Errorf("micros(%d) = %q, want %q", tt.us, got, tt.want)
		}
	}
}

func TestFailPrintsEveryKindOfError(t *testing.T) {
	one := &ipam.Problem{Code: ipam.CodeConflict, Text: "taken", Hint: "choose another", Source: ipam.Source{File: "pins", Line: 3}}
	tests := []struct {
		name string
		err  error
		text string
		json string
	}{
		{"usage", usageProblem("no such flag", "berth --help"),
			"berth: no such flag\nhint: berth --help\n", `{"code":"usage","message":"no such flag","hint":"berth --help"}` + "\n"},
		{"a problem", one,
			"berth: pins:3: taken\nhint: choose another\n", `{"code":"conflict","message":"pins:3: taken","hint":"choose another"}` + "\n"},
		{"one that is wrapped", fmt.Errorf("reload: %w", one),
			"berth: pins:3: taken\nhint: choose another\n", `{"code":"conflict","message":"pins:3: taken","hint":"choose another"}` + "\n"},
		{"several", ipam.Problems{one, {Code: ipam.CodeFull, Text: "full"}},
			"berth: pins:3: taken\nhint: choose another\nberth: full\n",
			`{"code":"conflict","message":"pins:3: taken","hint":"choose another"}` + "\n" + `{"code":"full","message":"full","hint":""}` + "\n"},
		{"anything else", errors.New("broken\npipe"),
			"berth: broken\\u000apipe\n", `{"code":"internal","message":"broken\npipe","hint":""}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for asJSON, want := range map[bool]string{false: tt.text, true: tt.json} {
				var out, errw bytes.Buffer
				u := &ui{out: &out, err: &errw, json: asJSON}
				u.fail(tt.err)
				if errw.String() != want || out.Len() > 0 {
					t.Errorf("json %v: stderr %q, want %q; stdout %q, want nothing", asJSON, errw.String(), want, out.String())
				}
			}
		})
	}
}

func TestColourOnlyWhereItIsWanted(t *testing.T) {
	for colour, want := range map[bool]string{false: "bad", true: "\x1b[31mbad\x1b[0m"} {
		u := &ui{colour: colour}
		if got := u.paint("red", "bad"); got != want {
			t.Errorf("colour %v: %q, want %q", colour, got, want)
		}
	}
	if got := (&ui{colour: true}).paint("mauve", "bad"); got != "bad" {
		t.Errorf("a colour that is not there: %q", got)
	}
}

func TestTableKeepsItsColumns(t *testing.T) {
	var out bytes.Buffer
	u := &ui{out: &out}
	u.table([]string{"NAME", "ADDRESS"}, [][]string{{"a\tb", ""}, {"long-name", "10.0.0.1"}})
	want := "NAME       ADDRESS\na\\u0009b   -\nlong-name  10.0.0.1\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
