package dnsmasq

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options whose content has a form of its own.
const (
	domainSearch = 119 // RFC 3397
	sipServer    = 120 // RFC 3361
)

// maxOption is what one option holds.
const maxOption = 255

// optionValue is a value as it is written, and what decides how it is read.
type optionValue struct {
	code      uint8
	known     optionType
	isWrapped bool // within another option
	value     text
	has       bool // there is one, though maybe an empty one
}

// encode makes the bytes of an option from its value, by the same rules as dnsmasq: the type of the
// option if it is known, else the shape of the value decides. own reports that an address is that of the
// host itself, which is put in when it is known.
func (r *reader) encode(v optionValue) (data []byte, own bool, bad *mistake) {
	if !v.has {
		return nil, false, nil
	}
	code, known, value := v.code, v.known, v.value
	s := shapeOf(value.s)
	switch {
	case known.form == addressList && (!s.addresses || s.dots == 0):
		return nil, false, wrong(value, "write IPv4 addresses with commas between them", "%s is not addresses, which option %d holds", quote(value.plain()), code)
	case known.form == duration && s.digit:
		data, bad = seconds(value)
	case known.form == plainText || known.form == domainNames:
		data, bad = v.text()
	case s.hex && s.groups > 1:
		data = hexValue(value.s, s.groups)
	case s.decimal && known.form != addressList:
		data, bad = decimal(known, value, s)
	case s.addresses:
		data, own, bad = r.addressValue(v)
	default:
		data, bad = v.text()
	}
	if bad == nil && len(data) > maxOption {
		bad = wrong(value, "shorten it", "the option takes %d bytes; it holds %d", len(data), maxOption)
	}
	return data, own, bad
}

// shape is what a value could be taken for.
type shape struct {
	addresses, hex, decimal, digit bool
	groups, dots                   int
	suffix                         byte // of a decimal: b, s or i, for its size
}

func shapeOf(s string) shape {
	v := shape{addresses: true, hex: true, decimal: true, groups: 1}
	for i, c := range []byte(s) {
		switch {
		case c == ',', c == ' ', c == '.':
			v.decimal, v.hex = false, false
			if c == '.' {
				v.dots++
			}
		case c == ':':
			v.groups++
			v.decimal, v.addresses = false, false
		case c == '/':
			v.decimal, v.hex = false, false
			if i == 0 {
				v.addresses = false // a path
			}
		case c == '-':
			v.hex, v.addresses = false, false
		case c >= '0' && c <= '9':
			v.digit = true
		default:
			v.addresses = false
			if i == len(s)-1 && v.decimal && (c == 'b' || c == 's' || c == 'i') {
				v.suffix = c
			} else {
				v.decimal = false
			}
			v.hex = v.hex && (c|0x20 >= 'a' && c|0x20 <= 'f')
		}
	}
	if !v.digit {
		v.decimal, v.addresses = false, false
	}
	return v
}

// hexValue is an octet for each pair of digits, of which there are no more than groups between colons.
func hexValue(s string, groups int) []byte {
	var data []byte
	for group := range strings.SplitSeq(s, ":") {
		for ; group != ""; group = group[min(2, len(group)):] {
			octet, _ := strconv.ParseUint(group[:min(2, len(group))], 16, 8)
			data = append(data, byte(octet))
		}
	}
	return data[:min(groups, len(data))]
}

// decimal is a number, maybe with a minus sign, in as many bytes as the option, the suffix or its size wants.
func decimal(known optionType, value text, s shape) ([]byte, *mistake) {
	digits := value.s
	if s.suffix != 0 {
		digits = digits[:len(digits)-1]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < -1<<31 || n >= 1<<32 {
		return nil, wrong(value, "write a number of at most 32 bits", "%s is no number", quote(value.plain()))
	}
	size := known.size
	if size == 0 {
		switch {
		case n&0xffff0000 != 0:
			size = 4
		case n&0xff00 != 0:
			size = 2
		default:
			size = 1
		}
	}
	switch s.suffix {
	case 'b':
		size = 1
	case 's':
		size = 2
	case 'i':
		size = 4
	}
	if width := uint(8 * size); n >= 1<<width || n < -1<<(width-1) {
		return nil, wrong(value, "write a number that fits", "%d does not fit into %d bytes", n, size)
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(n >> (8 * (size - 1 - i)))
	}
	return data, nil
}

// seconds is a time of 32 bits.
func seconds(value text) ([]byte, *mistake) {
	digits, unit := cutUnit(value.s)
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n > uint64(1<<32-1)/uint64(unit/time.Second) {
		return nil, wrong(value, "write it like 45m or 12h", "%s is no time", quote(value.plain()))
	}
	n *= uint64(unit / time.Second)
	return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, nil
}

// addressValue is a list of addresses, and of networks as RFC 3442 writes them.
func (r *reader) addressValue(v optionValue) (data []byte, own bool, bad *mistake) {
	isSIP := v.code == sipServer && !v.isWrapped
	if isSIP {
		data = append(data, 1)
	}
	hasNetwork := false
	for _, f := range v.value.fields() {
		address, bitsText, isNetwork := f.cut('/')
		a, ok := parseAddr(address.s)
		if !ok || !a.Is4() {
			return nil, false, wrong(f, "write IPv4 addresses with commas between them", "%s is no IPv4 address", quote(f.plain()))
		}
		octets := a.As4()
		if !isNetwork {
			if a.IsUnspecified() && !isSIP {
				own = true
			}
			data = append(data, octets[:]...)
			continue
		}
		hasNetwork = true
		if number(bitsText) != nil || bitsText.isEmpty() || atoi(bitsText.s) > 32 {
			return nil, false, wrong(bitsText, "write a prefix length of at most 32", "%s is no prefix length", quote(bitsText.s))
		}
		bits := atoi(bitsText.s)
		data = append(append(data, byte(bits)), octets[:(bits+7)/8]...)
	}
	own = own && !hasNetwork // dnsmasq leaves a list of routes as it is
	if own && r.command.Gateway.Is4() {
		gateway := r.command.Gateway.As4()
		nobody := netip.IPv4Unspecified().As4()
		for i := 0; i+4 <= len(data); i += 4 {
			if slices.Equal(data[i:i+4], nobody[:]) {
				copy(data[i:], gateway[:])
			}
		}
	}
	return data, own, nil
}

// text is the text as it is, or names in the encoding of RFC 1035.
func (v optionValue) text() ([]byte, *mistake) {
	if v.isWrapped || v.code != domainSearch && v.code != sipServer {
		return []byte(v.value.plain()), nil
	}
	var data []byte
	seen := make(map[string]int) // where each name begins
	if v.code == sipServer {
		data = append(data, 0)
		seen = nil // RFC 3361 does not compress
	}
	for _, f := range v.value.fields() {
		if f.isEmpty() {
			break
		}
		name := ""
		if f.s != "." {
			var bad *mistake
			if name, bad = parseName(f, "domain"); bad != nil {
				return nil, bad
			}
		}
		data = appendName(data, name, seen)
	}
	return data, nil
}

// appendName writes a name as labels, and the part of it that is there already as a pointer to that.
func appendName(data []byte, name string, seen map[string]int) []byte {
	for name != "" {
		if at, ok := seen[name]; ok {
			return append(data, 0xc0|byte(at>>8), byte(at))
		}
		if seen != nil {
			seen[name] = len(data)
		}
		label, rest, _ := strings.Cut(name, ".")
		data = append(append(data, byte(len(label))), label...)
		name = rest
	}
	return append(data, 0)
}
