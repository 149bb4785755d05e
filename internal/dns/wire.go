package dns

import (
	"encoding/binary"
	"errors"

	codec "github.com/miekg/dns"
)

// An upstream's reply is relayed as the bytes it is, so that types and flags nobody
// here has heard of pass through (RFC 3597, RFC 5625): only the places that
// must change are looked up.

// outline says where things are in a message with one question.
type outline struct {
	body     int   // where the question ends
	ttls     []int // where the TTLs are, OPT's excepted
	ttl      uint32
	answers  int // records of the asked type, or all when that is ANY
	soa      bool
	opt, end int // the OPT record's bounds; equal when there is none
	extRcode byte
	ede      []byte // Extended DNS Error options, raw (RFC 8914)
}

var errMalformed = errors.New("malformed message")

// readOutline walks over a whole message.
func readOutline(b []byte) (outline, error) {
	o := outline{ttl: 1<<32 - 1}
	if len(b) < headerSize || binary.BigEndian.Uint16(b[4:]) != 1 {
		return o, errMalformed
	}
	off := skipName(b, headerSize)
	if off < 0 || off+4 > len(b) {
		return o, errMalformed
	}
	qtype := binary.BigEndian.Uint16(b[off:])
	off += 4
	o.body = off
	for section := range 3 {
		for range binary.BigEndian.Uint16(b[6+2*section:]) {
			next, err := o.record(b, off, section, qtype)
			if err != nil {
				return o, err
			}
			off = next
		}
	}
	return o, nil
}

// record reads the record at off and says where the next one is.
func (o *outline) record(b []byte, off, section int, qtype uint16) (int, error) {
	fixed := skipName(b, off)
	if fixed < 0 || fixed+10 > len(b) {
		return 0, errMalformed
	}
	rrtype := binary.BigEndian.Uint16(b[fixed:])
	ttl := binary.BigEndian.Uint32(b[fixed+4:])
	data := fixed + 10
	next := data + int(binary.BigEndian.Uint16(b[fixed+8:]))
	if next > len(b) {
		return 0, errMalformed
	}
	if rrtype == codec.TypeOPT {
		if o.opt != o.end || section != 2 {
			return 0, errMalformed
		}
		o.opt, o.end = off, next
		o.extRcode = b[fixed+4]
		o.ede = findEDE(b[data:next])
		return next, nil
	}
	if ttl > 1<<31-1 {
		ttl = 0 // RFC 2181 §8
	}
	o.ttls = append(o.ttls, fixed+4)
	o.ttl = min(o.ttl, ttl)
	switch {
	case section == 0 && (rrtype == qtype || qtype == codec.TypeANY):
		o.answers++
	case section == 1 && rrtype == codec.TypeSOA && next-data >= 22:
		o.soa = true
		o.ttl = min(o.ttl, binary.BigEndian.Uint32(b[next-4:])) // RFC 2308 §5
	}
	return next, nil
}

// findEDE copies the Extended DNS Errors out of an OPT record's data.
func findEDE(options []byte) []byte {
	var ede []byte
	for len(options) >= 4 {
		size := 4 + int(binary.BigEndian.Uint16(options[2:]))
		if size > len(options) {
			break
		}
		if binary.BigEndian.Uint16(options) == codec.EDNS0EDE {
			ede = append(ede, options[:size]...)
		}
		options = options[size:]
	}
	return ede
}

// skipName is the offset after the name at off, or -1.
func skipName(b []byte, off int) int {
	for off < len(b) {
		switch c := int(b[off]); {
		case c == 0:
			return off + 1
		case c >= 0xc0:
			if off+2 > len(b) {
				return -1
			}
			return off + 2
		case c >= 0x40:
			return -1
		default:
			off += 1 + c
		}
	}
	return -1
}

// isAnswerTo reports whether reply answers the query: identity, opcode and the very
// question (RFC 5452 §9.1). An error may come without the question.
func isAnswerTo(query, reply []byte) bool {
	if len(reply) < headerSize || reply[0] != query[0] || reply[1] != query[1] || reply[2]&0xf8 != 0x80 {
		return false
	}
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		rcode := reply[3] & 15
		return rcode == codec.RcodeFormatError || rcode == codec.RcodeNotImplemented || rcode == codec.RcodeServerFailure || rcode == codec.RcodeRefused
	}
	end := skipName(query, headerSize) + 4
	return binary.BigEndian.Uint16(reply[4:]) == 1 && len(reply) >= end && sameQuestion(query[headerSize:end], reply[headerSize:end])
}

// sameQuestion compares two questions as they are on the wire, the names without
// regard to case. Length octets are below the letters, and so are not folded.
func sameQuestion(a, b []byte) bool {
	if len(a) != len(b) || len(a) < 5 {
		return false
	}
	name := len(a) - 4
	for i := range name {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return string(a[name:]) == string(b[name:])
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// packQuestion is a question on the wire, uncompressed.
func packQuestion(q codec.Question) ([]byte, error) {
	buf := make([]byte, 260)
	n, err := codec.PackDomainName(q.Name, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	buf = binary.BigEndian.AppendUint16(buf[:n], q.Qtype)
	return binary.BigEndian.AppendUint16(buf, q.Qclass), nil
}
