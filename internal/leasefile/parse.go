package leasefile

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"berth/internal/ipam"
)

// maxProblems is how many lines are complained of one by one; of what goes beyond, only the number is told.
const maxProblems = 100

// parser collects what a file says while its lines are read.
type parser struct {
	file     File
	v6       []Lease
	seen     map[netip.Addr]int // by address, the line of its lease
	problems ipam.Problems
	more     int // problems beyond maxProblems
}

// Parse reads the content of a lease file; path is the name that places carry. A line that dnsmasq
// can not have written is a problem, with line and column, and lost alone. A last line without
// an end is such a one: dnsmasq empties the file and writes it anew for every lease, and whoever
// reads meanwhile, or after a crash, may find it cut at any byte.
func Parse(path string, data []byte) (*File, ipam.Problems) {
	p := &parser{seen: make(map[netip.Addr]int)}
	for number := 1; len(data) > 0; number++ {
		text, rest, whole := bytes.Cut(data, []byte{'\n'})
		l := &line{at: ipam.Source{File: path, Line: number}, text: text}
		data = rest
		if !whole {
			p.add(bad(l.place(0), "is dnsmasq still running? Stop it, then read the file again", "the file ends in the middle of this line"))
			break
		}
		if problem := p.line(l); problem != nil {
			p.add(problem)
		}
	}
	if p.more > 0 {
		p.problems = append(p.problems, bad(ipam.Source{File: path}, "is it a lease file of dnsmasq?", "%d more lines are no leases", p.more))
	}
	p.file.Leases = append(p.file.Leases, p.v6...)
	return &p.file, p.problems
}

func (p *parser) add(problem *ipam.Problem) {
	if len(p.problems) == maxProblems {
		p.more++
		return
	}
	p.problems = append(p.problems, problem)
}

// line is a line and how far it was read.
type line struct {
	at   ipam.Source
	text []byte
	pos  int // where the next field is looked for
	last int // where the last field began
}

func (l *line) place(offset int) ipam.Source {
	at := l.at
	at.Col = offset + 1
	return at
}

// next is the next field; empty at the end.
func (l *line) next() []byte {
	for l.pos < len(l.text) && l.text[l.pos] == ' ' {
		l.pos++
	}
	l.last = l.pos
	for l.pos < len(l.text) && l.text[l.pos] != ' ' {
		l.pos++
	}
	return l.text[l.last:l.pos]
}

const (
	hintV4 = "a line is: expiry, hardware address, address, name or *, client identifier or *"
	hintV6 = "a line is: expiry, IAID, address, name or *, DUID of the client or *"
)

// refuse is a problem with the field that was read last.
func (l *line) refuse(hint, format string, args ...any) *ipam.Problem {
	if l.last >= len(l.text) {
		return bad(l.place(len(l.text)), hint, "the line ends too early")
	}
	return bad(l.place(l.last), hint, format, args...)
}

// end refuses what is left of a line.
func (l *line) end(hint string) *ipam.Problem {
	if f := l.next(); len(f) > 0 {
		return l.refuse(hint, "%s is more than the line should hold", shown(f))
	}
	return nil
}

// line reads one line.
func (p *parser) line(l *line) *ipam.Problem {
	switch first := l.next(); string(first) {
	case "":
		return nil
	case "duid":
		return p.duid(l)
	case agentInfo, vendorClass:
		return p.note(l, string(first))
	default:
		return p.lease(l, first)
	}
}

func (p *parser) duid(l *line) *ipam.Problem {
	const hint = "the line is: duid, and the server's DUID as 00:01:02"
	f := l.next()
	id, ok := parseHex(f, maxDUID)
	switch {
	case !ok:
		return l.refuse(hint, "%s is no DUID", shown(f))
	case p.file.DUID != nil:
		return l.refuse("delete one of the two lines", "the server has a DUID already")
	}
	if problem := l.end(hint); problem != nil {
		return problem
	}
	p.file.DUID = id
	return nil
}

func (p *parser) note(l *line, kind string) *ipam.Problem {
	hint := "the line is: " + kind + ", an address, and bytes as 00:01:02"
	n := Note{Kind: kind}
	f := l.next()
	var err error
	if n.Addr, err = netip.ParseAddr(string(f)); err != nil || n.Addr.Zone() != "" {
		return l.refuse(hint, "%s is no address", shown(f))
	}
	f = l.next()
	var ok bool
	if n.Data, ok = parseHex(f, maxClientID); !ok {
		return l.refuse(hint, "%s is no run of bytes", shown(f))
	}
	if problem := l.end(hint); problem != nil {
		return problem
	}
	p.file.Notes = append(p.file.Notes, n)
	return nil
}

// lease reads the line of a lease, whose first field is expiry. Whether the second is a hardware
// address or an IAID follows from the third.
func (p *parser) lease(l *line, expiry []byte) *ipam.Problem {
	out := Lease{Source: l.at}
	seconds, err := parseNumber(expiry, 64)
	if err != nil || seconds > maxExpiry {
		return l.refuse(hintV4, "%s is no time in seconds since 1970", shown(expiry))
	}
	if seconds > 0 {
		out.Expiry = time.Unix(int64(seconds), 0).UTC()
	}
	who := *l
	if len(who.next()) == 0 {
		return who.refuse(hintV4, "")
	}
	*l = who
	f := l.next()
	out.Addr, err = netip.ParseAddr(string(f))
	if err != nil || out.Addr.Zone() != "" || out.Addr.IsUnspecified() {
		return l.refuse(hintV4, "%s is no address", shown(f))
	}
	if line, ok := p.seen[out.Addr]; ok {
		return l.refuse("delete one of the two lines", "%s is leased at line %d already", out.Addr, line)
	}
	hint := hintV4
	if out.Addr.Is6() {
		hint = hintV6
	}
	if problem := out.client(&who, hint); problem != nil {
		return problem
	}
	if problem := out.names(l, hint); problem != nil {
		return problem
	}
	p.seen[out.Addr] = l.at.Line
	if out.Addr.Is6() {
		p.v6 = append(p.v6, out)
	} else {
		p.file.Leases = append(p.file.Leases, out)
	}
	return nil
}

// client reads the second field.
func (out *Lease) client(l *line, hint string) *ipam.Problem {
	f := l.text[l.last:l.pos]
	if out.Addr.Is6() {
		digits, temporary := bytes.CutPrefix(f, []byte{'T'})
		id, err := parseNumber(digits, 32)
		if err != nil {
			return l.refuse(hint, "%s is no IAID", shown(f))
		}
		out.IAID, out.Temporary = uint32(id), temporary
		return nil
	}
	var ok bool
	if out.Hardware, ok = parseHardware(f); !ok {
		return l.refuse(hint, "%s is no hardware address", shown(f))
	}
	return nil
}

// names reads what follows the address.
func (out *Lease) names(l *line, hint string) *ipam.Problem {
	f := l.next()
	if string(f) != "*" {
		name := string(f)
		if err := ipam.CheckName(name); err != nil || strings.Contains(name, ":") {
			return l.refuse(hint, "%s is no host name", shown(f))
		}
		out.Hostname = name
	}
	f = l.next()
	if string(f) != "*" {
		var ok bool
		if out.ClientID, ok = parseHex(f, maxClientID); !ok {
			return l.refuse(hint, "%s is no identifier of a client", shown(f))
		}
	}
	return l.end(hint)
}

// parseNumber reads decimal digits alone: no sign, no blank.
func parseNumber(f []byte, bits int) (uint64, error) {
	if len(f) > 0 && (f[0] < '0' || f[0] > '9') {
		return 0, fmt.Errorf("%s is no number", shown(f))
	}
	return strconv.ParseUint(string(f), 10, bits)
}

// parseHex reads pairs of digits with colons between them, at least one and at most limit.
func parseHex(f []byte, limit int) ([]byte, bool) {
	n := (len(f) + 1) / 3
	if len(f)%3 != 2 || n > limit {
		return nil, false
	}
	out := make([]byte, n)
	for i := range out {
		if i > 0 && f[3*i-1] != ':' {
			return nil, false
		}
		if _, err := hex.Decode(out[i:i+1], f[3*i:3*i+2]); err != nil {
			return nil, false
		}
	}
	return out, true
}

// parseHardware reads a hardware address, with its type before it unless that is Ethernet. One of no
// bytes is written by its type alone.
func parseHardware(f []byte) (Hardware, bool) {
	h := Hardware{Type: ethernet}
	if len(f) >= 3 && f[2] == '-' {
		kind, ok := parseHex(f[:2], 1)
		if !ok {
			return h, false
		}
		h.Type, f = kind[0], f[3:]
		if len(f) == 0 {
			return h, true
		}
	}
	var ok bool
	h.Addr, ok = parseHex(f, maxHardware)
	return h, ok
}
