package dnsmasq

import (
	"strconv"
	"strings"

	"berth/internal/ipam"
)

// hardware is a hardware address of any length, in which octets can be wildcards.
type hardware struct {
	text      string // as written
	octets    []byte
	wildcards int
	arpType   int64 // 0: any
}

// maxHardware is the length of chaddr (RFC 2131 §2).
const maxHardware = 16

const hardwareHint = "a hardware address is six pairs of hexadecimal digits: 00:16:3e:01:02:03"

// readHardware reads groups of hexadecimal digits with colons, hyphens or blanks between them; an asterisk is an octet
// that does not matter, and a group with a hyphen behind it, at the start, is an ARP hardware type.
func readHardware(f text) (hardware, *mistake) {
	h := hardware{text: f.plain()}
	if addr, ok := parseAddr(f.s); ok && addr.Is6() && strings.Contains(f.s, "::") {
		return h, wrong(f, "write it in brackets: ["+f.s+"]", "%s is taken for a hardware address, being an IPv6 address without brackets", f.s)
	}
	rest := f.s
	for first := true; rest != ""; first = false {
		end := strings.IndexAny(rest, ":- ")
		group, separator := rest, byte(0)
		if end >= 0 {
			group, separator, rest = rest[:end], rest[end], rest[end+1:]
		} else {
			rest = ""
		}
		switch {
		case group == "":
		case group == "*":
			h.octets, h.wildcards = append(h.octets, 0), h.wildcards+1
		case !isDigits(group):
			return h, wrong(f, hardwareHint+"; a second NIC is pinned as NAME:NIC in /etc/berth/pins", "%s is no hardware address", quote(h.text))
		case first && separator == '-':
			h.arpType, _ = strconv.ParseInt(group, 16, 32)
		default:
			if len(group)%2 != 0 && len(group) > 1 {
				return h, wrong(f, hardwareHint, "%s is no hardware address: %s is half an octet too long", quote(h.text), group)
			}
			for ; group != ""; group = group[min(2, len(group)):] {
				octet, _ := strconv.ParseUint(group[:min(2, len(group))], 16, 8)
				h.octets = append(h.octets, byte(octet))
			}
		}
		if len(h.octets) > maxHardware {
			return h, wrong(f, hardwareHint, "%s has more than %d octets", quote(h.text), maxHardware)
		}
	}
	return h, nil
}

// isHexConstant reports whether s is hexadecimal digits with colons, hyphens or blanks between them; single asterisks may
// stand for octets.
func isHexConstant(s string) bool {
	for group := range strings.FieldsFuncSeq(s, func(c rune) bool { return c == ':' || c == '-' || c == ' ' }) {
		if group != "*" && !isDigits(group) {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// mac is the Ethernet address of one interface, or why it is none.
func (h hardware) mac() (ipam.MAC, string) {
	mac := ipam.MACFrom(h.octets)
	switch {
	case h.wildcards > 0:
		return mac, "it is for all hardware addresses like " + h.text
	case h.arpType > 1:
		return mac, "it is for clients of another kind than Ethernet"
	case len(h.octets) != len(mac):
		return mac, "the hardware address " + h.text + " has " + strconv.Itoa(len(h.octets)) + " octets, an Ethernet address 6"
	case !mac.IsUnicast():
		return mac, "that is not the address of one interface"
	}
	return mac, ""
}
