package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"berth/internal/ipam"
)

// The output rules, for every verb:
//
//   - Results go to stdout, everything else to stderr.
//   - An error is one line that says what is wrong, "berth: …", and one line that
//     says what to type, "hint: …".
//   - With --json stdout holds one JSON value and nothing else (watch: one a line);
//     errors are JSON objects {code, message, hint}, one a line, on stderr.
//   - Colour only on a terminal, never when NO_COLOR is set; nothing is told by
//     colour alone.
//   - What a guest or a file said is printed with control characters escaped.
type ui struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	socket string
	json   bool
	colour bool
}

func newUI(in io.Reader, out, errw *os.File) *ui {
	return &ui{
		in: in, out: out, err: errw,
		colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(out.Fd())),
	}
}

// printJSON writes v as the one JSON value of this command.
func (u *ui) printJSON(v any) error {
	enc := json.NewEncoder(u.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (u *ui) printf(format string, args ...any) { fmt.Fprintf(u.out, format, args...) }

// fail prints an error by the rules.
func (u *ui) fail(err error) {
	for _, p := range problemsOf(err) {
		if u.json {
			line, _ := json.Marshal(struct {
				Code    string `json:"code"`
				Message string `json:"message"`
				Hint    string `json:"hint"`
			}{p.Code, p.Error(), p.Hint})
			fmt.Fprintf(u.err, "%s\n", line)
			continue
		}
		fmt.Fprintf(u.err, "berth: %s\n", printable(p.Error()))
		if p.Hint != "" {
			fmt.Fprintf(u.err, "hint: %s\n", printable(p.Hint))
		}
	}
}

// warn prints a problem that did not stop the command.
func (u *ui) warn(p *ipam.Problem) {
	if u.json {
		return // part of the JSON value
	}
	fmt.Fprintf(u.err, "warning: %s\n", printable(p.Error()))
	if p.Hint != "" {
		fmt.Fprintf(u.err, "hint: %s\n", printable(p.Hint))
	}
}

func problemsOf(err error) []*ipam.Problem {
	var usage *usageError
	if errors.As(err, &usage) {
		return []*ipam.Problem{{Code: ipam.CodeUsage, Text: usage.text, Hint: usage.hint}}
	}
	var many ipam.Problems
	if errors.As(err, &many) && len(many) > 0 {
		return many
	}
	var one *ipam.Problem
	if errors.As(err, &one) {
		return []*ipam.Problem{one}
	}
	return []*ipam.Problem{{Code: "internal", Text: err.Error()}}
}

// table prints rows in aligned columns under a header. A row's cells must hold no tabs.
func (u *ui) table(header []string, rows [][]string) {
	w := tabwriter.NewWriter(u.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(dash(cell))
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
}

// paint colours a whole line's word on a terminal.
func (u *ui) paint(colour, s string) string {
	code := map[string]string{"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}[colour]
	if !u.colour || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func addrs(list []netip.Addr) string {
	parts := make([]string, len(list))
	for i, a := range list {
		parts[i] = a.String()
	}
	return strings.Join(parts, " ")
}

// printable escapes what could steer a terminal, bytes that are no UTF-8 among it.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isControl(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// micros prints a duration as people read it: 640 µs, 3.2 ms, 1.4 s.
func micros(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", us)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(us)/1e3)
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}
