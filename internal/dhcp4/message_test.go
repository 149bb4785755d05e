package dhcp4

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"berth/internal/ipam"
)

// raw is a message of header, cookie and options.
func raw(options ...byte) []byte {
	b := make([]byte, atOptions)
	b[0], b[1], b[2] = 1, 1, 6
	copy(b[28:], []byte{2, 0, 0, 0, 0, 1})
	copy(b[atCookie:], cookie[:])
	return append(b, options...)
}

// overloaded is raw with options in the fields file and sname too.
func overloaded(main, file, sname []byte) []byte {
	b := raw(main...)
	copy(b[atFile:atCookie], file)
	copy(b[atSname:atFile], sname)
	return b
}

func TestMessageParse(t *testing.T) {
	long := append([]byte{121, 255}, bytes.Repeat([]byte{1}, 255)...)
	long = append(long, append([]byte{53, 1, 1, 121, 3}, 2, 2, 2)...)
	tests := []struct {
		name string
		raw  []byte
		err  error
		code byte
		want []byte // nil: absent
	}{
		{"empty", nil, errShort, 0, nil},
		{"a byte short of the options", raw()[:atOptions-1], errShort, 0, nil},
		{"no cookie", make([]byte, 300), errCookie, 0, nil},
		{"too long", append(raw(), make([]byte, maxParsed)...), errLong, 0, nil},
		{"no options and no end", raw(), nil, 53, nil},
		{"no end option", raw(53, 1, 1), nil, 53, []byte{1}},
		{"pads before and between", raw(0, 0, 53, 1, 1, 0, 61, 1, 9, 255), nil, 61, []byte{9}},
		{"what follows the end is not looked at", raw(53, 1, 1, 255, 61, 1, 9), nil, 61, nil},
		{"RFC 2132 §2 option of no length", raw(80, 0, 53, 1, 1, 255), nil, 80, []byte{}},
		{"a code without a length", raw(53, 1, 1, 61), errOption, 0, nil},
		{"an option that reaches beyond the message", raw(53, 1, 1, 61, 2, 9), errOption, 0, nil},
		{"an option of 255 bytes", raw(append([]byte{61, 255}, make([]byte, 255)...)...), nil, 61, make([]byte, 255)},
		{"RFC 3396 §5 pieces are joined in order", raw(61, 1, 1, 53, 1, 1, 61, 2, 2, 3, 255), nil, 61, []byte{1, 2, 3}},
		{"RFC 3396 §5 pieces of a long option", raw(long...), nil, 121, append(bytes.Repeat([]byte{1}, 255), 2, 2, 2)},
		{"RFC 3396 §5 pieces of nothing", raw(61, 0, 61, 0, 255), nil, 61, []byte{}},
		{"RFC 2132 §9.3 option in file", overloaded([]byte{52, 1, 1, 255}, []byte{61, 1, 7, 255}, nil), nil, 61, []byte{7}},
		{"RFC 2132 §9.3 option in sname", overloaded([]byte{52, 1, 2, 255}, nil, []byte{61, 1, 8, 255}), nil, 61, []byte{8}},
		{"RFC 3396 §5 options, then file, then sname", overloaded([]byte{52, 1, 3, 61, 1, 1, 255}, []byte{61, 1, 2, 255}, []byte{61, 1, 3, 255}), nil, 61, []byte{1, 2, 3}},
		{"file is not read without overload", overloaded([]byte{255}, []byte{61, 1, 7, 255}, nil), nil, 61, nil},
		{"overload in an overloaded field is not heeded", overloaded([]byte{52, 1, 1, 255}, []byte{52, 1, 2, 255}, []byte{61, 1, 8, 255}), nil, 61, nil},
		{"overload of a value that is none", raw(52, 1, 4, 255), errOverload, 0, nil},
		{"overload of no value", raw(52, 0, 255), errOverload, 0, nil},
		{"overload twice", raw(52, 1, 1, 52, 1, 1, 255), errOverload, 0, nil},
		{"an option that reaches beyond file", overloaded([]byte{52, 1, 1, 255}, append(make([]byte, 126), 61, 9), nil), errOption, 0, nil},
		{"an option that reaches beyond sname into file", overloaded([]byte{52, 1, 2, 255}, []byte{1, 2, 3}, append(make([]byte, 61), 61, 2, 1)), errOption, 0, nil},
	}
	var m message // the same for all: nothing may remain of the last one
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := m.parse(tt.raw); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			got, sent := m.option(tt.code)
			if sent != (tt.want != nil) || !bytes.Equal(got, tt.want) {
				t.Errorf("option %d: %x, %t; want %x", tt.code, got, sent, tt.want)
			}
		})
	}
}

func TestQueryParseRefuses(t *testing.T) {
	change := func(at int, b ...byte) []byte {
		f := guest(1).discover()
		copy(f[headersLen+at:], b)
		return f
	}
	opt := func(code byte, data ...byte) []byte { return guest(1).discover(withOption(code, data...)) }
	rawOption := func(o ...byte) []byte {
		return guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, raw(append([]byte{53, 1, 1}, o...)...))
	}
	tests := []struct {
		name  string
		frame []byte
		want  error
	}{
		{"a reply", change(0, 2), errNotRequest},
		{"another kind of hardware", change(1, 6), errNotRequest},
		{"RFC 1542 §4.1.1 17 hops", change(3, 17), errNotRequest},
		{"255 hops", change(3, 255), errNotRequest},
		{"hardware address of 16 bytes", change(2, 16), errNotRequest},
		{"hardware address of no bytes that is there", change(2, 0), errNotRequest},
		{"multicast hardware address", change(28, 1), errNotRequest},
		{"broadcast hardware address", change(28, everyMAC[:]...), errNotRequest},
		{"frame from a multicast address", client{mac: mac(1), via: ipam.MAC{1, 0, 0x5e, 0, 0, 1}}.discover(), errNotRequest},
		{"relayed and without hardware address", guest(1).discover(withGiaddr("10.0.0.5"), withChaddr(ipam.MAC{})), errNotRequest},
		{"no message type (BOOTP)", guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, raw(12, 1, 'x', 255)), errValue},
		{"message type of two bytes", guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, raw(53, 2, 1, 1, 255)), errValue},
		{"option 50 of three bytes", opt(optRequested, 1, 2, 3), errValue},
		{"option 50 of no bytes", rawOption(50, 0, 255), errValue},
		{"option 54 of five bytes", opt(optServerID, 1, 2, 3, 4, 5), errValue},
		{"option 118 of two bytes", opt(optSubnet, 1, 2), errValue},
		{"option 51 of three bytes", opt(optLeaseTime, 1, 2, 3), errValue},
		{"option 57 of one byte", opt(optMaxSize, 1), errValue},
		{"RFC 6842 §3 an identifier that can not be echoed", guest(1).discover(withOption(optClientID, make([]byte, 256)...)), errValue},
		{"RFC 3046 §2.1 relay information without a relay", opt(optRelay, 1, 1, 'x'), errUntrusted},
		{"relay information with half a suboption", guest(1).discover(withGiaddr("10.0.0.5"), withOption(optRelay, 1)), errValue},
		{"relay suboption that reaches beyond", guest(1).discover(withGiaddr("10.0.0.5"), withOption(optRelay, 1, 9, 'x')), errValue},
		{"relay information of 300 bytes", guest(1).discover(withGiaddr("10.0.0.5"), withOption(optRelay, append([]byte{1, 254}, make([]byte, 298)...)...)), errValue},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var q query
			if err := q.parse(tt.frame); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	var q query
	if err := q.parse(change(3, 16)); err != nil {
		t.Errorf("16 hops: %v", err)
	}
}

func TestFrameParse(t *testing.T) {
	good := guest(1).discover()
	change := func(f func([]byte)) []byte {
		b := slices.Clone(good)
		f(b)
		return b
	}
	resum := func(b []byte) {
		b[24], b[25] = 0, 0
		s := ^uint16(onesSum(b[14:34]))
		b[24], b[25] = byte(s>>8), byte(s)
	}
	tests := []struct {
		name  string
		frame []byte
		ok    bool
	}{
		{"as it should be", good, true},
		{"with Ethernet padding behind it", append(slices.Clone(good), 1, 2, 3, 4), true},
		{"RFC 1122 §3.2.1.2 wrong header checksum", change(func(b []byte) { b[24] ^= 1 }), false},
		{"ARP", change(func(b []byte) { b[13] = 6 }), false},
		{"IPv6 in an IPv4 frame", change(func(b []byte) { b[14] = 0x65; resum(b) }), false},
		{"header of 16 bytes", change(func(b []byte) { b[14] = 0x44; resum(b) }), false},
		{"header that is longer than the datagram", change(func(b []byte) { b[14] = 0x4f; b[16], b[17] = 0, 61; resum(b) }), false},
		{"datagram longer than the frame", change(func(b []byte) { b[16] = 0x7f; resum(b) }), false},
		{"first fragment", change(func(b []byte) { b[20] = 0x20; resum(b) }), false},
		{"later fragment", change(func(b []byte) { b[21] = 9; resum(b) }), false},
		{"do not fragment", change(func(b []byte) { b[20] = 0x40; resum(b) }), true},
		{"TCP", change(func(b []byte) { b[23] = 6; resum(b) }), false},
		{"another port", change(func(b []byte) { b[37] = 68 }), false},
		{"UDP longer than IP", change(func(b []byte) { b[38] = 0x7f }), false},
		{"UDP shorter than its header", change(func(b []byte) { b[38], b[39] = 0, 7 }), false},
		{"cut in the Ethernet header", good[:13], false},
		{"cut in the IP header", good[:30], false},
		{"cut in the UDP header", good[:40], false},
		{"cut in the message", good[:100], false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f frame
			if err := f.parse(tt.frame); (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if tt.ok && len(f.payload) != len(good)-headersLen {
				t.Errorf("payload of %d bytes", len(f.payload))
			}
		})
	}
	options := slices.Concat(good[:34], []byte{1, 1, 1, 0}, good[34:]) // IP options: RFC 791 §3.1
	options[14] = 0x46
	options[17] += 4
	resum2 := func() {
		options[24], options[25] = 0, 0
		s := ^uint16(onesSum(options[14:38]))
		options[24], options[25] = byte(s>>8), byte(s)
	}
	resum2()
	var f frame
	if err := f.parse(options); err != nil || len(f.payload) != len(good)-headersLen {
		t.Errorf("IP options: %v", err)
	}
}
