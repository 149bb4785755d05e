package pinfile

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"berth/internal/ipam"
)

// Edit is one change: Holder gets Addr; an invalid Addr takes the holder's lines away.
type Edit struct {
	Holder ipam.Holder
	Addr   netip.Addr
	// Network, when valid, leaves the holder's lines for other networks alone: a guest may
	// have one on each. Without it an Addr takes the place of what the holder has in the /24
	// around it, else of the nearest address it has.
	Network netip.Prefix
}

// Check says why no line can express the edit, or nil. Apply leaves such an edit out.
func (e Edit) Check() error {
	if e.Addr.IsValid() && !e.Addr.Unmap().Is4() {
		return &ipam.Problem{
			Code: ipam.CodeUsage, Text: fmt.Sprintf("%s can not be pinned: IPv6 is not served yet", e.Addr),
			Hint: "pin an IPv4 address",
		}
	}
	if _, ok := spell(e.Holder); !ok {
		return &ipam.Problem{
			Code: ipam.CodeUsage, Text: fmt.Sprintf("%s can not be pinned: a line of the pins file would not mean that name", quote(e.Holder.String())),
			Hint: "rename the guest's interface, or pin it by its hardware address",
		}
	}
	return nil
}

// Apply makes the edits, in order, in the text of a pins file. Comments, order, spacing,
// line ends and every other field of the edited lines stay; lines that are refused are not touched.
// Of several lines that pin the holder in one network the last one, which is in force,
// takes the address, and the others go. A holder without a line gets one appended.
func Apply(data []byte, edits ...Edit) []byte {
	d := read(string(data))
	for _, e := range edits {
		e.Addr = e.Addr.Unmap()
		switch {
		case e.Check() != nil:
		case e.Addr.IsValid():
			d.set(e)
		default:
			d.remove(e)
		}
	}
	return d.bytes()
}

// document is a pins file as lines that can be edited one by one.
type document struct {
	lines  []docLine
	byWhom map[ipam.Holder][]int // lines that take effect, in order
	size   int
}

type docLine struct {
	text string // with its end
	e    entry
	gone bool
}

func read(text string) *document {
	d := &document{byWhom: map[ipam.Holder][]int{}, size: len(text)}
	for line := range strings.Lines(text) {
		d.add(line)
	}
	return d
}

func (d *document) add(text string) {
	e, bad := parseLine(text)
	if bad != nil {
		e = entry{}
	}
	if !e.holder.IsZero() {
		d.byWhom[e.holder] = append(d.byWhom[e.holder], len(d.lines))
	}
	d.lines = append(d.lines, docLine{text: text, e: e})
}

func (d *document) bytes() []byte {
	out := make([]byte, 0, d.size+64)
	for _, l := range d.lines {
		if !l.gone {
			out = append(out, l.text...)
		}
	}
	return out
}

// set gives e.Holder the address e.Addr.
func (d *document) set(e Edit) {
	holder := written(e.Holder)
	mine := d.byWhom[holder]
	same := slices.DeleteFunc(slices.Clone(mine), func(i int) bool { return !e.concerns(d.lines[i].e.addr) })
	if len(same) == 0 && !e.Network.IsValid() && len(mine) > 0 {
		nearest := mine[0]
		for _, i := range mine[1:] {
			if nearness(d.lines[i].e.addr, e.Addr) >= nearness(d.lines[nearest].e.addr, e.Addr) {
				nearest = i
			}
		}
		same = []int{nearest}
	}
	if len(same) == 0 {
		who, _ := spell(e.Holder)
		d.append(who + "," + e.Addr.String())
		return
	}
	last := len(same) - 1
	d.drop(holder, same[:last])
	d.readdress(same[last], e.Addr)
}

// remove takes the lines of e.Holder away.
func (d *document) remove(e Edit) {
	holder := written(e.Holder)
	mine := slices.Clone(d.byWhom[holder])
	d.drop(holder, slices.DeleteFunc(mine, func(i int) bool {
		return e.Network.IsValid() && !e.Network.Contains(d.lines[i].e.addr)
	}))
}

func (d *document) drop(holder ipam.Holder, lines []int) {
	for _, i := range lines {
		d.lines[i].gone = true
	}
	d.byWhom[holder] = slices.DeleteFunc(d.byWhom[holder], func(i int) bool { return d.lines[i].gone })
}

// concerns reports whether a lies in the network that the edit is about.
func (e Edit) concerns(a netip.Addr) bool {
	if e.Network.IsValid() {
		return e.Network.Contains(a)
	}
	return netip.PrefixFrom(e.Addr, 24).Masked().Contains(a)
}

// nearness is how many leading bits two IPv4 addresses share.
func nearness(a, b netip.Addr) int {
	x, y := a.As4(), b.As4()
	for i := range x {
		if diff := x[i] ^ y[i]; diff != 0 {
			return 8*i + bits.LeadingZeros8(diff)
		}
	}
	return 32
}

// readdress writes another address into a line.
func (d *document) readdress(i int, addr netip.Addr) {
	l := &d.lines[i]
	text := l.text[:l.e.addrAt] + addr.String() + l.text[l.e.addrTo:]
	e, bad := parseLine(text)
	if bad != nil { // the longer address does not fit into a line full of blanks
		text = tighten(text)
		e, _ = parseLine(text)
	}
	l.text, l.e = text, e
}

// tighten takes the white space around the fields of a line away, and empty fields.
func tighten(line string) string {
	content := beforeComment(line)
	var fields []string
	for f := range strings.SplitSeq(content, ",") {
		f = strings.Trim(f, blanks)
		if number, _, ok := cutLease(f); ok && number != "" {
			for len(f) > 2 && f[0] == '0' {
				f = f[1:]
			}
		}
		if f != "" {
			fields = append(fields, f)
		}
	}
	text := strings.Join(fields, ",")
	if comment := line[len(content):]; comment != "" {
		return text + " " + comment
	}
	return text + lineEnd(line)
}

// append adds a line, after ending the last one if it has no end.
func (d *document) append(text string) {
	end := "\n"
	for i := len(d.lines) - 1; i >= 0; i-- {
		if e := lineEnd(d.lines[i].text); e != "" {
			end = e
			break
		}
	}
	for i := len(d.lines) - 1; i >= 0; i-- {
		if l := &d.lines[i]; !l.gone {
			if lineEnd(l.text) == "" {
				l.text += end
			}
			break
		}
	}
	d.add(text + end)
}

func lineEnd(line string) string {
	switch {
	case strings.HasSuffix(line, "\r\n"):
		return "\r\n"
	case strings.HasSuffix(line, "\n"):
		return "\n"
	}
	return ""
}

// written is the holder as a line can express it: a client behind a guest's port is pinned by its
// hardware address.
func written(h ipam.Holder) ipam.Holder {
	if !h.MAC.IsZero() {
		return ipam.ByMAC(h.MAC)
	}
	return ipam.ByName(h.Guest)
}

// spell is the field that names a holder. A name that would be read as something else,
// a lease time say, gets a final dot.
func spell(h ipam.Holder) (string, bool) {
	h = written(h)
	candidates := []string{h.Guest, h.Guest + "."}
	if h.Guest == "" {
		candidates = []string{h.MAC.String()}
	}
	for _, who := range candidates {
		if e, bad := parseLine(who + ",192.0.2.1"); bad == nil && e.holder == h {
			return who, true
		}
	}
	return "", false
}
