package dhcp4

import (
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	minMaxSize = 576  // RFC 2132 §9.10: the smallest a client may name, and what it takes when it names none
	ethernet   = 1500 // what fits in a frame of any bridge
	minMessage = 300  // RFC 1542 §2.1
	frameSize  = ethernetLen + ethernet
)

// reply collects a message's options and writes it. It begins with reset.
type reply struct {
	kind    messageType
	client  netip.Addr // ciaddr
	yours   netip.Addr // yiaddr
	spans   [256]span  // into values, whose first byte stands for "absent"
	values  []byte
	dropped int // options for which there was no room
}

func (r *reply) reset() {
	r.kind, r.client, r.yours, r.dropped = silence, netip.Addr{}, netip.Addr{}, 0
	clear(r.spans[:])
	r.values = append(r.values[:0], 0)
}

// put sets an option; the last value put wins. One that can fit into no message is left out.
func (r *reply) put(code byte, value ...byte) {
	r.spans[code] = span{off: uint16(len(r.values))}
	r.grow(code, value...)
}

// grow appends to the option that was put last.
func (r *reply) grow(code byte, value ...byte) {
	if len(r.values)+len(value) > maxParsed {
		r.drop(code)
		r.dropped++
		return
	}
	r.values = append(r.values, value...)
	r.spans[code].n += uint16(len(value))
}

func (r *reply) putText(code byte, text string) {
	r.put(code)
	r.growText(code, text)
}

func (r *reply) growText(code byte, text string) {
	if len(r.values)+len(text) > maxParsed {
		r.drop(code)
		r.dropped++
		return
	}
	r.values = append(r.values, text...)
	r.spans[code].n += uint16(len(text))
}

func (r *reply) putAddr(code byte, a netip.Addr) {
	b := a.As4()
	r.put(code, b[:]...)
}

// putTime sets a time in seconds; what does not fit is "for ever" (RFC 2131 §3.3).
func (r *reply) putTime(code byte, d time.Duration) {
	seconds := min(max(d/time.Second, 0), 1<<32-1)
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(seconds))
	r.put(code, b[:]...)
}

func (r *reply) drop(code byte)     { r.spans[code] = span{} }
func (r *reply) has(code byte) bool { return r.spans[code].off != 0 }

func (r *reply) value(code byte) []byte {
	s := r.spans[code]
	return r.values[s.off : s.off+s.n]
}

// area is a field of the message into which options are written.
type area struct {
	b []byte
	n int
}

// put writes an option, cut into pieces when it is long (RFC 3396 §6), or nothing when it does not fit.
func (a *area) put(code byte, v []byte) bool {
	if a.n+encodedLen(len(v)) > len(a.b) {
		return false
	}
	for {
		n := min(len(v), 255)
		a.b[a.n], a.b[a.n+1] = code, byte(n)
		a.n += 2 + copy(a.b[a.n+2:], v[:n])
		if v = v[n:]; len(v) == 0 {
			return true
		}
	}
}

func encodedLen(n int) int { return n + 2*max(1, (n+254)/255) }

// write puts the message into b and returns its length. The message answers q, and is at most
// as long as q allows; b has room for that. Options that do not fit into the options field go to file
// and sname (RFC 2132 §9.3), and are left out when there is no room either.
func (r *reply) write(b []byte, q *query) int {
	limit := min(max(q.maxSize, minMaxSize), ethernet) - ipLen - udpLen
	clear(b[:limit])
	r.header(b, q)

	var order [256]byte
	codes := r.order(&order, q.list)
	tail := 1 // the end option
	if r.has(optRelay) {
		tail += encodedLen(int(r.spans[optRelay].n))
	}
	size := atOptions + tail
	for _, c := range codes {
		size += encodedLen(int(r.spans[c].n))
	}
	main := area{b: b[atOptions : limit-tail]}
	file, sname := area{b: b[atFile : atCookie-1]}, area{b: b[atSname : atFile-1]}
	if size > limit {
		main.b = main.b[:len(main.b)-3] // room to say so
	}
	for _, c := range codes {
		v := r.value(c)
		if !main.put(c, v) && !file.put(c, v) && !sname.put(c, v) {
			r.dropped++
		}
	}
	main.b = b[atOptions:limit]
	if used := overloads(&file, &sname); used != 0 {
		main.put(optOverload, []byte{used})
	}
	if r.has(optRelay) {
		main.put(optRelay, r.value(optRelay)) // RFC 3046 §2.1: the last one
	}
	main.b[main.n] = optEnd
	return max(atOptions+main.n+1, minMessage)
}

// overloads ends the two fields that hold options, and says which of them do.
func overloads(file, sname *area) (used byte) {
	for i, a := range [...]*area{file, sname} {
		if a.n > 0 {
			a.b[:a.n+1][a.n] = optEnd
			used |= 1 << i
		}
	}
	return used
}

// header writes all that is not options (RFC 2131 §4.3.1, table 3).
func (r *reply) header(b []byte, q *query) {
	b[0], b[1], b[2] = 2, q.htype(), q.hlen()
	copy(b[4:8], q.raw[4:8])     // xid
	copy(b[10:12], q.raw[10:12]) // flags
	copy(b[24:44], q.raw[24:44]) // giaddr and chaddr
	if r.kind == nak && q.relay.IsValid() {
		b[10] |= 0x80 // RFC 2131 §4.3.2: the relay must broadcast it
	}
	if r.client.IsValid() {
		v := r.client.As4()
		copy(b[12:], v[:])
	}
	if r.yours.IsValid() {
		v := r.yours.As4()
		copy(b[16:], v[:])
	}
	copy(b[atCookie:], cookie[:])
}

// order is the order in which options are written: what every client must find, then what it
// asked for as it asked (RFC 2132 §9.8), but the mask before the router (§3.3), then the rest.
// The relay's option is left out.
func (r *reply) order(codes *[256]byte, list []byte) []byte {
	var done [256]bool
	done[optPad], done[optEnd], done[optRelay], done[optOverload] = true, true, true, true
	n := 0
	add := func(c byte) {
		if !done[c] && r.has(c) {
			codes[n] = c
			n++
		}
		done[c] = true
	}
	for _, c := range [...]byte{optType, optServerID, optLeaseTime, optT1, optT2, optRapidCommit, optClientID, optSubnet} {
		add(c)
	}
	for _, c := range list {
		if c == optRouter {
			add(optMask)
		}
		add(c)
	}
	for c := range 256 {
		add(byte(c))
	}
	return codes[:n]
}
