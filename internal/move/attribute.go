package move

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

var errMalformed = errors.New("malformed netlink message")

// attribute is a netlink attribute without the flag bits of its type.
type attribute struct {
	typ  uint16
	data []byte
}

const attributeHead = 4

func align(n int) int { return (n + 3) &^ 3 }

// attributes walks over what is well-formed.
func attributes(b []byte) iter.Seq[attribute] {
	return func(yield func(attribute) bool) {
		for len(b) >= attributeHead {
			length := int(binary.NativeEndian.Uint16(b))
			if length < attributeHead || length > len(b) {
				return
			}
			const typeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
			a := attribute{binary.NativeEndian.Uint16(b[2:]) & typeMask, b[attributeHead:length]}
			if !yield(a) {
				return
			}
			b = b[min(align(length), len(b)):]
		}
	}
}

func (a attribute) uint32() uint32 {
	if len(a.data) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(a.data)
}

func (a attribute) addr() netip.Addr {
	if len(a.data) != 4 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(a.data))
}

func (a attribute) text() string {
	text, _, _ := bytes.Cut(a.data, []byte{0})
	return string(text)
}

func appendMessage(b []byte, typ, flags uint16, seq uint32, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return pad(append(b, body...))
}

func appendAttribute(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attributeHead+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return pad(append(b, data...))
}

func appendUint32(b []byte, typ uint16, v uint32) []byte {
	return appendAttribute(b, typ, binary.NativeEndian.AppendUint32(nil, v))
}

func appendAddr(b []byte, typ uint16, a netip.Addr) []byte {
	return appendAttribute(b, typ, a.AsSlice())
}

func appendText(b []byte, typ uint16, s string) []byte {
	return appendAttribute(b, typ, append([]byte(s), 0))
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
