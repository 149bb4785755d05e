package ipam

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// MAC is an Ethernet hardware address. The zero MAC means "none".
type MAC [6]byte

// ParseMAC reads six hexadecimal octets separated by colons or dashes.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ':' || r == '-' })
	if len(parts) != len(m) {
		return MAC{}, fmt.Errorf("hardware address %q: want six octets like 00:16:3e:01:02:03", s)
	}
	for i, p := range parts {
		if len(p) == 1 {
			p = "0" + p
		}
		b, err := hex.DecodeString(p)
		if err != nil || len(b) != 1 {
			return MAC{}, fmt.Errorf("hardware address %q: %q is no octet", s, parts[i])
		}
		m[i] = b[0]
	}
	return m, nil
}

// MACFrom copies the first six bytes of b; it returns the zero MAC when b is shorter.
func MACFrom(b []byte) MAC {
	var m MAC
	if len(b) >= len(m) {
		copy(m[:], b)
	}
	return m
}

// String is the lower-case colon form.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero reports whether m stands for "none".
func (m MAC) IsZero() bool { return m == MAC{} }

// IsUnicast reports whether m can be the address of one interface.
func (m MAC) IsUnicast() bool { return !m.IsZero() && m[0]&1 == 0 }

// MarshalText makes a MAC a JSON string; the zero MAC is empty.
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText is the inverse of MarshalText.
func (m *MAC) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = MAC{}
		return nil
	}
	parsed, err := ParseMAC(string(text))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}
