package dhcp4

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"berth/internal/ipam"
)

// Places in a message (RFC 2131 §2).
const (
	atSname   = 44
	atFile    = 108
	atCookie  = 236
	atOptions = 240
	maxParsed = 0x7fff // so that a span's top bit can say where its bytes are
)

var cookie = [4]byte{99, 130, 83, 99}

// Why a message is not one. They are sentinels so that a hostile packet costs no allocation.
var (
	errShort    = errors.New("message is shorter than its header")
	errLong     = errors.New("message is too long")
	errCookie   = errors.New("message has no DHCP options")
	errOption   = errors.New("option reaches beyond its field")
	errOverload = errors.New("option overload has no valid value")
)

// span is where an option's bytes are: in raw, or with the top bit of off set, in joined.
type span struct{ off, n uint16 }

const inJoined = 1 << 15

// message is a view of a received message: it keeps the bytes and where each option lies in
// them. Parsing another message into the same view allocates nothing.
type message struct {
	raw    []byte
	spans  [256]span // off 0: absent
	joined []byte    // options that came in several pieces (RFC 3396)
}

// parse looks at raw, which must not change while the view is used.
func (m *message) parse(raw []byte) error {
	switch {
	case len(raw) < atOptions:
		return errShort
	case len(raw) > maxParsed:
		return errLong
	case [4]byte(raw[atCookie:]) != cookie:
		return errCookie
	}
	m.raw = raw
	clear(m.spans[:])
	m.joined = m.joined[:0]
	split, err := m.index(atOptions, len(raw))
	if err != nil {
		return err
	}
	// RFC 2132 §9.3 and RFC 3396 §5: first the options field, then file, then sname. What an
	// overloaded field says about overloading is not looked at: it could go round in circles.
	var overload byte
	if s := m.spans[optOverload]; s.off != 0 {
		if s.n != 1 || raw[s.off] < 1 || raw[s.off] > 3 {
			return errOverload
		}
		overload = raw[s.off]
	}
	fields := m.fields(overload)
	for _, f := range fields[1:] {
		more, err := m.index(f[0], f[1])
		if err != nil {
			return err
		}
		for i, s := range more {
			split[i] = split[i] || s
		}
	}
	m.join(fields, &split)
	return nil
}

// fields are the parts of raw that hold options, in the order in which they are read.
func (m *message) fields(overload byte) [3][2]int {
	f := [3][2]int{{atOptions, len(m.raw)}}
	if overload&1 != 0 {
		f[1] = [2]int{atFile, atCookie}
	}
	if overload&2 != 0 {
		f[2] = [2]int{atSname, atFile}
	}
	return f
}

// next reads the option at pos of a field that ends at end; code optEnd: there is none.
// A field that stops without the end option is taken as it is: some clients forget it.
func (m *message) next(pos, end int) (code byte, off, n int, err error) {
	for pos < end && m.raw[pos] == optPad {
		pos++
	}
	if pos >= end || m.raw[pos] == optEnd {
		return optEnd, 0, 0, nil
	}
	if pos+2 > end {
		return 0, 0, 0, errOption
	}
	code, off, n = m.raw[pos], pos+2, int(m.raw[pos+1])
	if off+n > end {
		return 0, 0, 0, errOption
	}
	return code, off, n, nil
}

// index notes where the options of a field are; split are those that were there before.
func (m *message) index(pos, end int) (split [256]bool, err error) {
	for {
		code, off, n, err := m.next(pos, end)
		if err != nil {
			return split, err
		}
		if code == optEnd {
			return split, nil
		}
		if s := &m.spans[code]; s.off == 0 {
			*s = span{uint16(off), uint16(n)}
		} else {
			s.n += uint16(n)
			split[code] = true
		}
		pos = off + n
	}
}

// join puts the pieces of split options together (RFC 3396 §7), in one walk however many there are.
func (m *message) join(fields [3][2]int, split *[256]bool) {
	var fill [256]int
	total := 0
	for code, is := range split {
		if is {
			fill[code] = total
			m.spans[code].off = uint16(total) | inJoined
			total += int(m.spans[code].n)
		}
	}
	if total == 0 && *split == [256]bool{} {
		return
	}
	if cap(m.joined) < total {
		m.joined = make([]byte, total)
	}
	m.joined = m.joined[:total]
	for _, f := range fields {
		for pos := f[0]; ; {
			code, off, n, _ := m.next(pos, f[1])
			if code == optEnd {
				break
			}
			if split[code] {
				fill[code] += copy(m.joined[fill[code]:], m.raw[off:off+n])
			}
			pos = off + n
		}
	}
}

// option is the value of an option; false: it was not sent.
func (m *message) option(code byte) ([]byte, bool) {
	s := m.spans[code]
	if s.off == 0 {
		return nil, false
	}
	if s.off&inJoined != 0 {
		off := int(s.off &^ inJoined)
		return m.joined[off : off+int(s.n)], true
	}
	return m.raw[s.off : int(s.off)+int(s.n)], true
}

func (m *message) has(code byte) bool { return m.spans[code].off != 0 }

func (m *message) op() byte    { return m.raw[0] }
func (m *message) htype() byte { return m.raw[1] }
func (m *message) hlen() byte  { return m.raw[2] }

func (m *message) hops() byte         { return m.raw[3] }
func (m *message) xid() uint32        { return binary.BigEndian.Uint32(m.raw[4:]) }
func (m *message) broadcast() bool    { return m.raw[10]&0x80 != 0 }
func (m *message) ciaddr() netip.Addr { return m.addr(12) }
func (m *message) giaddr() netip.Addr { return m.addr(24) }
func (m *message) chaddr() ipam.MAC   { return ipam.MACFrom(m.raw[28:34]) }

// addr is the address at off; the zero netip.Addr for 0.0.0.0, which means "none" everywhere.
func (m *message) addr(off int) netip.Addr { return addrFrom(m.raw[off : off+4]) }

func addrFrom(b []byte) netip.Addr {
	if len(b) != 4 || [4]byte(b) == [4]byte{} {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(b))
}
