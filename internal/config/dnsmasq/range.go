package dnsmasq

import (
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"berth/internal/ipam"
)

const rangeHint = "write it like dhcp-range=10.64.177.2,10.64.177.254,1h"

// shortestLease is dnsmasq's floor: shorter ones confuse some clients.
const shortestLease = 2 * time.Minute

// dhcpRange reads [TAG,]...START,END|static|proxy[,MASK[,BROADCAST]][,TIME], or the IPv6 form of it.
func (r *reader) dhcpRange(value text) *mistake {
	rest, tags, set, bad := r.rangeTags(value)
	if bad != nil {
		return bad
	}
	fields := rest.fields()
	if len(fields) < 2 {
		return wrong(rest, rangeHint, "the range lacks its end")
	}
	if len(fields) > 8 {
		fields = append(fields[:7], text{rest.s[len(rest.s)-1:], rest.cols[len(rest.s)-1:]}) // dnsmasq looks no further
	}
	start, ok := parseAddr(fields[0].s)
	if !ok {
		return wrong(fields[0], rangeHint, "%s is no address", quote(fields[0].s))
	}
	g := Range{From: start, To: start, Source: r.in(rest.col())}
	var left []text
	if start.Is4() {
		left, bad = g.read4(fields)
	} else {
		left, bad = g.read6(fields)
	}
	if bad != nil {
		return bad
	}
	deprecated, bad := g.readTime(left)
	if bad != nil {
		return bad
	}
	switch {
	case deprecated:
		r.unserve(left[0], "delete the range: what is advertised no more is deprecated", "the range is not honoured; it would advertise its addresses as deprecated")
	case len(fields) > 1 && fields[1].s == "proxy":
		r.unserve(fields[1], "leave PXE to another server", "the range is not honoured; it would answer PXE clients of another DHCP server")
	case !r.applies(tags):
		r.unserve(value, byPort, "the range is not honoured; it would be for those with the tag %s", quote(tags[0].plain()))
	default:
		r.c.Ranges = append(r.c.Ranges, g)
	}
	if !set.isEmpty() {
		r.setTag(set)
	}
	return nil
}

// rangeTags takes the tags in front of a range: what could be no part of an address is one, with
// or without a prefix.
func (r *reader) rangeTags(value text) (rest text, asked []text, set text, bad *mistake) {
	for {
		field, next, more := value.cut(',')
		if !more || strings.Trim(field.s, " .:abcdefABCDEF0123456789") == "" {
			return value, asked, set, nil
		}
		if tag, ok := cutTag(field); ok {
			if !tag.isEmpty() {
				asked = append(asked, tag)
			}
		} else {
			if !set.isEmpty() {
				return value, nil, set, wrong(field, "delete one of them", "a range sets one tag, not both %s and %s", quote(set.s), quote(field.s))
			}
			set, _ = field.cutPrefix("set:")
		}
		value = next
	}
}

// read4 reads what follows the start of an IPv4 range, and returns what may be its time.
func (g *Range) read4(fields []text) ([]text, *mistake) {
	switch end, ok := parseAddr(fields[1].s); {
	case fields[1].s == "static":
		g.Static = true
	case fields[1].s == "proxy":
	case !ok || !end.Is4():
		return nil, wrong(fields[1], rangeHint, "%s is neither an IPv4 address nor static", quote(fields[1].s))
	default:
		g.To = end
	}
	if g.To.Less(g.From) {
		g.From, g.To = g.To, g.From
	}
	left := fields[2:]
	if len(left) == 0 || !strings.Contains(left[0].s, ".") {
		return left, nil
	}
	mask, ok := parseAddr(left[0].s)
	if !ok || !mask.Is4() {
		return left, nil
	}
	width, ok := maskBits(mask)
	if !ok {
		return nil, wrong(left[0], "a mask is like 255.255.255.0", "%s is no mask", mask)
	}
	g.Bits = width
	if !netip.PrefixFrom(g.From, width).Masked().Contains(g.To) {
		return nil, wrong(fields[1], "change the end or the mask", "%s and %s are in different subnets by the mask %s", g.From, g.To, mask)
	}
	left = left[1:]
	if len(left) > 0 && strings.Contains(left[0].s, ".") {
		if b, ok := parseAddr(left[0].s); ok && b.Is4() {
			g.Broadcast = b
			left = left[1:]
		}
	}
	return left, nil
}

// maskBits is the length of a mask that is ones, then zeros.
func maskBits(mask netip.Addr) (int, bool) {
	b := mask.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	ones := bits.LeadingZeros32(^n)
	return ones, ones > 0 && bits.OnesCount32(n) == ones
}

// read6 reads what follows the start of an IPv6 range, and returns what may be its time.
func (g *Range) read6(fields []text) ([]text, *mistake) {
	left := fields[1:]
	hasRA, second := false, true
	for ; len(left) > 0; left, second = left[1:], false {
		f := left[0]
		end, ok := parseAddr(f.s)
		name, isConstructor := f.cutPrefix("constructor:")
		switch {
		case f.s == "static":
			g.Static = true
		case isMode(f.s):
			g.Modes = append(g.Modes, f.s)
			hasRA = hasRA || f.s != "off-link"
		case second && ok && !end.Is4():
			g.To = end
		case isConstructor:
			g.Interface = name.plain()
		default:
			ok = false
		}
		if f.s != "static" && !isMode(f.s) && !isConstructor && !(second && ok) {
			break
		}
	}
	length := 64
	if len(left) > 0 && left[0].s != "" && number(left[0]) == nil && atoi(left[0].s) <= 128 {
		length = atoi(left[0].s)
		g.Bits = length
		left = left[1:]
	}
	at := fields[0]
	switch {
	case length < 64:
		return nil, wrong(at, "write a prefix length from 64 to 128", "the prefix length %d is less than 64", length)
	case length > 64 && hasRA:
		return nil, wrong(at, "leave the prefix length out", "a prefix that is advertised has 64 bits, not %d", length)
	case length > 64 && g.Interface != "":
		return nil, wrong(at, "leave the prefix length out", "a prefix that is taken from an interface has 64 bits, not %d", length)
	case netip.PrefixFrom(g.From, length).Masked() != netip.PrefixFrom(g.To, length).Masked():
		return nil, wrong(at, "change the end", "%s and %s are in different subnets", g.From, g.To)
	case g.Interface != "" && netip.PrefixFrom(g.From, length).Masked().Addr() != netip.IPv6Unspecified():
		return nil, wrong(at, "write it like ::2,::500,constructor:lxdbr0", "the prefix is taken from an interface, so that the upper half of %s has to be zero", g.From)
	}
	if g.To.Less(g.From) {
		g.From, g.To = g.To, g.From
	}
	return left, nil
}

func isMode(s string) bool {
	switch s {
	case "ra-only", "slaac", "ra-names", "ra-advrouter", "ra-stateless", "off-link":
		return true
	}
	return false
}

// readTime reads the last field: a lease time, or "deprecated".
func (g *Range) readTime(left []text) (deprecated bool, bad *mistake) {
	switch {
	case len(left) == 0:
		return false, nil
	case len(left) > 1:
		return false, wrong(left[0], rangeHint, "%s is not understood here", quote(left[0].s))
	case left[0].s == "infinite":
		g.LeaseTime = ipam.NeverExpires
	case left[0].s == "deprecated":
		return true, nil
	case left[0].s != "":
		digits, unit := cutUnit(left[0].s)
		seconds := int64(0)
		for _, c := range []byte(digits) {
			if c < '0' || c > '9' {
				return false, wrong(left[0], "a lease time is like 45m, 12h or infinite", "%s is no lease time", quote(left[0].s))
			}
			if seconds = seconds*10 + int64(c-'0'); seconds > int64(ipam.NeverExpires/time.Second) {
				return false, wrong(left[0], "write infinite", "the lease time %s is longer than DHCP can say", quote(left[0].s))
			}
		}
		if seconds > int64((ipam.NeverExpires-time.Second)/unit) {
			return false, wrong(left[0], "write infinite", "the lease time %s is longer than DHCP can say", quote(left[0].s))
		}
		g.LeaseTime = max(time.Duration(seconds)*unit, shortestLease)
	}
	return false, nil
}

// cutUnit splits a time into its digits and its unit: seconds without one.
func cutUnit(s string) (string, time.Duration) {
	unit := time.Duration(0)
	if s != "" {
		switch s[len(s)-1] | 0x20 {
		case 'w':
			unit = 7 * 24 * time.Hour
		case 'd':
			unit = 24 * time.Hour
		case 'h':
			unit = time.Hour
		case 'm':
			unit = time.Minute
		case 's':
			unit = time.Second
		}
	}
	if unit == 0 {
		return s, time.Second
	}
	return s[:len(s)-1], unit
}
