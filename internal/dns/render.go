package dns

import (
	"encoding/binary"
	"time"

	codec "github.com/miekg/dns"
)

// render is the relayed reply as one client must see it: its own identity and case
// of the name, the TTLs as old as they are, and an OPT record if it speaks EDNS.
func (r *relayed) render(q *query, asked []byte, now time.Time) []byte {
	var opt []byte
	if q.edns != nil {
		opt = r.opt(q)
	}
	out := make([]byte, len(r.wire), len(r.wire)+len(opt))
	copy(out, r.wire)
	binary.BigEndian.PutUint16(out, q.msg.Id)
	copy(out[headerSize:], asked)
	if age := uint32(max(now.Sub(r.stored), 0) / time.Second); age > 0 {
		out[2] &^= 0x04 // from the cache: not authoritative
		for _, at := range r.ttls {
			left := binary.BigEndian.Uint32(out[at:])
			binary.BigEndian.PutUint32(out[at:], left-min(left, age))
		}
	}
	if q.edns == nil && r.rcode > 15 {
		out[3] = out[3]&0xf0 | codec.RcodeServerFailure // the rest of it was in OPT
	}
	if len(out)+len(opt) > q.size {
		out = out[:r.body]
		out[2] |= 0x02 // TC: ask again over TCP (RFC 2181 §9)
		clear(out[6:headerSize])
	}
	if opt != nil {
		binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(out[10:])+1)
		out = append(out, opt...)
	}
	return out
}

// opt is our OPT record with the upstream's extended errors in it.
func (r *relayed) opt(q *query) []byte {
	b := []byte{0, 0, byte(codec.TypeOPT), 0, 0, byte(r.rcode >> 4), 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[3:], ednsSize)
	if q.edns.Do() {
		b[7] = 0x80
	}
	if len(r.ede) <= plainSize/2 {
		binary.BigEndian.PutUint16(b[9:], uint16(len(r.ede)))
		b = append(b, r.ede...)
	}
	return b
}
