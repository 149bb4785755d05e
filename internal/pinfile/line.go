package pinfile

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"berth/internal/ipam"
)

// entry is what one line says; its holder is zero when the line says nothing.
type entry struct {
	holder ipam.Holder
	name   string // of a line that begins with a hardware address
	addr   netip.Addr
	addrAt int // where the address is written, in bytes from the line's start
	addrTo int
	lease  time.Duration
}

// refusal says what is wrong with a line, and where in it.
type refusal struct {
	at   int // bytes from the line's start
	text string
	hint string
}

func (r *refusal) problem(at ipam.Source) *ipam.Problem {
	return &ipam.Problem{Code: ipam.CodeConfig, Text: r.text, Hint: r.hint, Source: at}
}

// parseLine reads one line, with or without its end.
func parseLine(line string) (entry, *refusal) {
	content := beforeComment(line)
	if strings.HasPrefix(line, byteOrderMark) {
		return entry{}, &refusal{0, "the line begins with a byte order mark, which is not part of the text",
			`save the file as UTF-8 without one (in vim: :set nobomb)`}
	}
	if isAllBlank(content) {
		return entry{}, nil
	}
	if bad := checkBytes(content); bad != nil {
		return entry{}, bad
	}
	var l lineReader
	for at := 0; at <= len(content); {
		end := len(content)
		if comma := strings.IndexByte(content[at:], ','); comma >= 0 {
			end = at + comma
		}
		if bad := l.field(content, at, end); bad != nil {
			return entry{}, bad
		}
		at = end + 1
	}
	return l.finish(content)
}

// beforeComment cuts the comment: dnsmasq takes a "#" for one at the start of a line and after
// white space only, so that "a,#b" has a field "#b".
func beforeComment(line string) string {
	for from := 0; ; {
		i := strings.IndexByte(line[from:], '#')
		if i < 0 {
			return line
		}
		at := from + i
		if at == 0 || isBlank(line[at-1]) {
			return line[:at]
		}
		from = at + 1
	}
}

// isBlank is the C locale's isspace, which dnsmasq goes by.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isAllBlank(s string) bool {
	for i := range len(s) {
		if !isBlank(s[i]) {
			return false
		}
	}
	return true
}

// checkBytes refuses what no field may hold.
func checkBytes(content string) *refusal {
	ascii := true
	for i := range len(content) {
		switch c := content[i]; {
		case c == '"':
			return &refusal{i, "quotation marks are not understood", "write the line without them: no field needs any"}
		case c == 0:
			return &refusal{i, "a NUL byte stands in the line", "is this a text file? Delete the byte"}
		case c < ' ' && !isBlank(c) || c == 0x7f:
			return &refusal{i, fmt.Sprintf("control character 0x%02x stands in the line", c), "delete it"}
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii {
		for i, r := range content {
			if r != utf8.RuneError {
				continue
			}
			if _, size := utf8.DecodeRuneInString(content[i:]); size == 1 {
				return &refusal{i, fmt.Sprintf("byte 0x%02x is not UTF-8", content[i]), "save the file as UTF-8"}
			}
		}
	}
	if trimmed := strings.TrimRight(content, "\r\n"); len(trimmed) > maxLine {
		return &refusal{maxLine, fmt.Sprintf("the line has %d bytes; at most %d are read", len(trimmed), maxLine), "write one pin a line"}
	}
	return nil
}

// lineReader collects the fields of a line.
type lineReader struct {
	e              entry
	mac            ipam.MAC
	name           string
	hasLease       bool
	firstAt        int
	seenField      bool
	leaseTimeField string
}

// field adds the field content[at:end], white space around it included.
func (l *lineReader) field(content string, at, end int) *refusal {
	for at < end && isBlank(content[at]) {
		at++
	}
	for end > at && isBlank(content[end-1]) {
		end--
	}
	if at == end {
		return nil
	}
	if !l.seenField {
		l.seenField, l.firstAt = true, at
	}
	text := content[at:end]
	f, bad := readField(text)
	if bad != nil {
		bad.at += at
		return bad
	}
	switch f.kind {
	case hardwareField:
		if !l.mac.IsZero() {
			return &refusal{at, fmt.Sprintf("two hardware addresses, %s and %s: a pin has one", l.mac, f.mac), "make it two lines with two addresses"}
		}
		l.mac = f.mac
	case addressField:
		if l.e.addr.IsValid() {
			return &refusal{at, fmt.Sprintf("two addresses, %s and %s: a pin has one", l.e.addr, f.addr), "delete one of them; a second NIC is pinned as NAME:NIC"}
		}
		l.e.addr, l.e.addrAt, l.e.addrTo = f.addr, at, end
	case leaseField:
		if l.hasLease {
			return &refusal{at, fmt.Sprintf("two lease times, %s and %s", quote(l.leaseTimeField), quote(text)),
				"delete one of them; if it is meant as a name, write it with a final dot"}
		}
		l.hasLease, l.e.lease, l.leaseTimeField = true, f.lease, text
	case nameField:
		if l.name != "" {
			return &refusal{at, fmt.Sprintf("two names, %s and %s: a pin has one", quote(l.name), quote(f.name)), "make it two lines with two addresses"}
		}
		l.name = f.name
	}
	return nil
}

// finish makes the entry of the fields.
func (l *lineReader) finish(content string) (entry, *refusal) {
	switch {
	case !l.seenField:
		return entry{}, &refusal{0, "the line has no field", "write it like cent01,10.64.177.101, or delete it"}
	case !l.e.addr.IsValid() && l.name == "" && l.mac.IsZero():
		return entry{}, &refusal{l.firstAt, "the line has neither an address nor a name", "write it like cent01,10.64.177.101"}
	case !l.e.addr.IsValid():
		who := l.name
		if who == "" {
			who = l.mac.String()
		}
		return entry{}, &refusal{l.firstAt, fmt.Sprintf("the line gives %s no address", quote(who)),
			fmt.Sprintf("write it like %s,10.64.177.101", clip(who))}
	case !l.mac.IsZero():
		l.e.holder, l.e.name = ipam.ByMAC(l.mac), l.name
	case l.name != "":
		l.e.holder = ipam.ByName(strings.Clone(l.name))
	default:
		return entry{}, &refusal{l.firstAt, fmt.Sprintf("the line does not say who has %s", l.e.addr),
			fmt.Sprintf("write it like cent01,%s", l.e.addr)}
	}
	return l.e, nil
}
