package pinfile

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"berth/internal/ipam"
)

// fieldKind is what the shape of a field says it is.
type fieldKind uint8

const (
	nameField fieldKind = iota
	hardwareField
	addressField
	leaseField
)

// field is one field of a line, read.
type field struct {
	kind  fieldKind
	name  string // lower-case
	mac   ipam.MAC
	addr  netip.Addr
	lease time.Duration
}

// readField tells by its shape what a field is, in dnsmasq's order: what has a colon, then
// addresses, then lease times, then the two words; anything else is a name.
func readField(f string) (field, *refusal) {
	if strings.IndexByte(f, ':') >= 0 {
		return readColonField(f)
	}
	if looksLikeAddress(f) {
		addr, err := netip.ParseAddr(f)
		if err != nil {
			return field{}, &refusal{0, fmt.Sprintf("%s is no IPv4 address", quote(f)), "an address is four numbers from 0 to 255 without leading zeros: 10.64.177.101"}
		}
		return field{kind: addressField, addr: addr}, nil
	}
	if number, unit, ok := cutLease(f); ok {
		return readLease(f, number, unit)
	}
	switch {
	case f == "infinite":
		return field{kind: leaseField, lease: ipam.NeverExpires}, nil
	case f == "ignore":
		return field{}, &refusal{0, "ignore, to leave a host without an answer, is not served", "delete the line; a guest that is called so is written ignore. with a final dot"}
	case looksLikeHardware(f, "-"):
		return field{}, &refusal{0, fmt.Sprintf("%s is a hardware address with hyphens, which dnsmasq takes for a name", quote(f)),
			"write it with colons: " + strings.ReplaceAll(clip(f), "-", ":")}
	}
	return readName(f)
}

// readColonField reads what has a colon: a hardware address, the name of a second NIC, or
// one of dnsmasq's prefixes, which are refused.
func readColonField(f string) (field, *refusal) {
	switch {
	case len(f) >= 3 && strings.EqualFold(f[:3], "id:"):
		return field{}, &refusal{0, "pins by DHCP client-id (id:) are not served", "pin the guest by its name or hardware address: a guest is known by its port, whatever client-id it sends"}
	case strings.HasPrefix(f, "set:"), strings.HasPrefix(f, "net:"):
		return field{}, &refusal{0, fmt.Sprintf("tags (%s) are not served", f[:4]), "delete the field; options are set for a whole network, in berth.toml"}
	case strings.HasPrefix(f, "tag:"):
		return field{}, &refusal{0, "tags (tag:) are not served", "delete the field; the network is known by the address"}
	case f[0] == '[' || isIPv6(f) && !looksLikeHardware(f, ":"):
		return field{}, &refusal{0, fmt.Sprintf("%s is an IPv6 address: IPv6 is not served yet", quote(f)), "pin the guest's IPv4 address"}
	case looksLikeHardware(f, ":-"):
		return readHardware(f)
	case strings.Count(f, ":") > 1:
		return field{}, &refusal{0, fmt.Sprintf("%s is no hardware address", quote(f)), "a hardware address is six pairs of hexadecimal digits: 00:16:3e:01:02:03"}
	}
	base, _, _ := strings.Cut(f, ":")
	if looksLikeAddress(base) {
		return field{}, &refusal{0, fmt.Sprintf("%s is neither an address nor a name", quote(f)), "write the address without a port: 10.64.177.101"}
	}
	return readName(f)
}

func isIPv6(f string) bool {
	f, _, _ = strings.Cut(f, "/")
	addr, err := netip.ParseAddr(f)
	return err == nil && addr.Is6()
}

// looksLikeAddress reports whether f is numbers with dots between them.
func looksLikeAddress(f string) bool {
	dot := strings.IndexByte(f, '.')
	if dot < 0 || dot == len(f)-1 {
		return false
	}
	for _, c := range []byte(f) {
		if c != '.' && !isDigit(c) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// looksLikeHardware reports whether f is at least two parts of one or two
// hexadecimal digits, or an asterisk, with one of the separators between any two.
func looksLikeHardware(f, separators string) bool {
	parts, size := 1, 0
	for _, c := range []byte(f) {
		switch {
		case strings.IndexByte(separators, c) >= 0:
			if size == 0 {
				return false
			}
			parts, size = parts+1, 0
		case isHex(c), c == '*':
			if size++; size > 2 {
				return false
			}
		default:
			return false
		}
	}
	return size > 0 && (parts > 2 || parts == 2 && separators != "-")
}

// readHardware reads a field that looks like a hardware address.
func readHardware(f string) (field, *refusal) {
	plain := "a hardware address is six pairs of hexadecimal digits: 00:16:3e:01:02:03"
	octets := strings.Count(f, ":") + strings.Count(f, "-") + 1
	dash := strings.IndexByte(f, '-')
	switch {
	case strings.IndexByte(f, '*') >= 0:
		return field{}, &refusal{0, fmt.Sprintf("%s has a wildcard: a pin is for one hardware address", quote(f)), plain}
	case dash >= 0 && dash < strings.IndexByte(f, ':') && strings.Count(f, "-") == 1:
		return field{}, &refusal{0, fmt.Sprintf("%s begins with an ARP hardware type: only Ethernet is served", quote(f)),
			fmt.Sprintf("leave %s out", f[:dash+1])}
	case dash >= 0:
		return field{}, &refusal{0, fmt.Sprintf("%s mixes colons and hyphens", quote(f)), plain}
	case octets != len(ipam.MAC{}):
		return field{}, &refusal{0, fmt.Sprintf("%s has %d octets: an Ethernet address has 6", quote(f), octets), plain}
	}
	mac, err := ipam.ParseMAC(f)
	if err != nil {
		return field{}, &refusal{0, err.Error(), plain}
	}
	if !mac.IsUnicast() {
		return field{}, &refusal{0, fmt.Sprintf("%s is not the address of one interface", quote(f)), "see what the guest's interface has: ip link"}
	}
	return field{kind: hardwareField, mac: mac}, nil
}

// cutLease splits a lease time into its digits and its unit: seconds without one.
func cutLease(f string) (number string, unit time.Duration, ok bool) {
	number, unit = f, time.Second
	if len(f) > 1 {
		switch f[len(f)-1] | 0x20 {
		case 'w':
			unit = 7 * 24 * time.Hour
		case 'd':
			unit = 24 * time.Hour
		case 'h':
			unit = time.Hour
		case 'm':
			unit = time.Minute
		case 's':
		default:
			unit = 0
		}
		if unit == 0 {
			unit = time.Second
		} else {
			number = f[:len(f)-1]
		}
	}
	for _, c := range []byte(number) {
		if !isDigit(c) && !isBlank(c) {
			return "", 0, false
		}
	}
	return strings.TrimRight(number, blanks), unit, true
}

const blanks = " \t\n\v\f\r"

// shortestLease is dnsmasq's floor: shorter ones confuse some clients.
const shortestLease = 2 * time.Minute

// readLease reads the number of a lease time. f is the whole field.
func readLease(f, number string, unit time.Duration) (field, *refusal) {
	if i := strings.IndexAny(number, blanks); i >= 0 {
		return field{}, &refusal{i, fmt.Sprintf("%s is two numbers", quote(f)), "put a comma between the fields; a lease time is like 45m, 12h or infinite"}
	}
	// 2^32-1 s means "never" on the wire (RFC 2131 §3.3), so that a finite time is less.
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n > uint64((ipam.NeverExpires-time.Second)/unit) {
		return field{}, &refusal{0, fmt.Sprintf("the lease time %s is longer than DHCP can say", quote(f)), "write infinite; a guest that is called so is written with a final dot"}
	}
	return field{kind: leaseField, lease: max(time.Duration(n)*unit, shortestLease)}, nil
}

// readName reads the name of a guest, or explains what was probably meant.
func readName(f string) (field, *refusal) {
	hint := "a name is letters, digits, hyphens and dots: cent01, or cent01:eth1 for its second NIC"
	if option, rest, ok := strings.Cut(f, "="); ok && strings.Trim(option, " -") == "dhcp-host" {
		return field{}, &refusal{0, fmt.Sprintf("%s belongs into dnsmasq's own configuration", quote(option+"=")), fmt.Sprintf("begin the line with %s", quote(strings.TrimSpace(rest)))}
	}
	if address, length, ok := strings.Cut(f, "/"); ok && looksLikeAddress(address) {
		return field{}, &refusal{0, fmt.Sprintf("%s is a subnet: a pin is for one address", quote(f)), fmt.Sprintf("leave %s out", quote("/"+length))}
	}
	if i := strings.IndexByte(f, '#'); i >= 0 {
		return field{}, &refusal{i, fmt.Sprintf("%s is no name: it has a #", quote(f)), "put a blank before the # of a comment"}
	}
	if i := strings.IndexByte(f, '\r'); i >= 0 {
		return field{}, &refusal{i, "a carriage return stands inside the line", "end the lines with a line feed (tr '\\r' '\\n')"}
	}
	if i := strings.IndexAny(f, blanks); i >= 0 {
		return field{}, &refusal{i, fmt.Sprintf("%s is no name: it has a blank", quote(f)), "put a comma between the fields"}
	}
	for i := range len(f) {
		if f[i] >= utf8.RuneSelf {
			return field{}, &refusal{i, fmt.Sprintf("%s is no name: it has letters beyond ASCII", quote(f)), hint + "; write an international name in its xn-- form"}
		}
	}
	name := strings.TrimSuffix(f, ".")
	if err := ipam.CheckName(name); err != nil {
		text := err.Error() // quotes the name
		if len(text) > 320 {
			text = quote(f) + " is no name"
		}
		return field{}, &refusal{0, text, hint}
	}
	return field{kind: nameField, name: strings.ToLower(name)}, nil
}

// quote makes what a file says safe to show, and short.
func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
