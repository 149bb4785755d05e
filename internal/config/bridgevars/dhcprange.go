package bridgevars

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"berth/internal/ipam"
)

// shortestLease is what dnsmasq makes of every shorter lease time.
const shortestLease = 2 * time.Minute

// dhcpRange takes what the script hands to dnsmasq as --dhcp-range: first,last[,mask[,broadcast]][,time], where
// the last address may be "static".
func (c *checker) dhcpRange(n *ipam.Network) {
	v := c.get(c.script.Range)
	whole := n.Hosts()
	if whole.From == n.Gateway {
		whole.From = whole.From.Next()
	}
	example := fmt.Sprintf(`write %s="%s,%s" for the whole subnet`, v.name, whole.From, whole.To)
	if v.text == "" {
		c.refuse(v, example, "%s is empty: dnsmasq does not start without a range", v.name)
		return
	}
	fields, offsets := split(v.text)
	if len(fields) < 2 {
		if first, last, ok := strings.Cut(v.text, "-"); ok {
			example = fmt.Sprintf(`write a comma between the addresses: %s="%s,%s"`, v.name, strings.TrimSpace(first), strings.TrimSpace(last))
		}
		c.refuse(v, example, "%s is %q, which is no range", v.name, v.text)
		return
	}
	refuse := func(field int, hint, format string, args ...any) {
		c.problems = append(c.problems, v.problemAt(offsets[field], hint, format, args...))
	}
	member := func(field int) (netip.Addr, bool) {
		a, err := netip.ParseAddr(fields[field])
		if err != nil || !a.Is4() {
			refuse(field, example, "%q in %s is no IPv4 address", fields[field], v.name)
			return a, false
		}
		if bad := n.Refuse(a); bad != nil && a != n.Gateway {
			refuse(field, example, "%s: %s", v.name, bad.Text)
			return a, false
		}
		return a, true
	}
	from, ok := member(0)
	r := ipam.Range{}
	if fields[1] != "static" {
		to, alsoOK := member(1)
		ok = ok && alsoOK
		r = ipam.Range{From: from, To: to}
	}
	switch {
	case !ok:
	case r.IsZero():
	case r.From.Compare(r.To) > 0:
		refuse(0, fmt.Sprintf(`write %s="%s,%s"`, v.name, r.To, r.From), "the range ends at %s, before it begins at %s", r.To, r.From)
	case r.From == r.To && r.From == n.Gateway:
		refuse(0, example, "the range holds nothing but the bridge's own address %s", r.From)
	default:
		n.Range = r
	}
	c.rangeRest(n, fields[2:], func(i int, hint, format string, args ...any) { refuse(2+i, hint, format, args...) })
}

// rangeRest takes what follows on the addresses of a range.
func (c *checker) rangeRest(n *ipam.Network, fields []string, refuse func(i int, hint, format string, args ...any)) {
	for i, field := range fields {
		if a, err := netip.ParseAddr(field); err == nil {
			want, what := maskOf(n.Subnet.Bits()), "mask"
			if i > 0 {
				want, what = n.Broadcast(), "broadcast address"
			}
			if a != want || i > 1 {
				refuse(i, fmt.Sprintf("delete it: the %s is %s", what, want), "%s is not the %s of %s", field, what, n.Subnet)
			}
			continue
		}
		t, ok := dnsmasqTime(field)
		if !ok || i != len(fields)-1 {
			refuse(i, "the lease time comes last, and is written like 45m, 12h, 7d or infinite", "%q is no part of a range", field)
			return
		}
		n.LeaseTime = t
	}
}

// split cuts a text at its commas, and says where each part begins.
func split(text string) (fields []string, offsets []int) {
	for at := 0; ; {
		end := strings.IndexByte(text[at:], ',')
		offsets = append(offsets, at)
		if end < 0 {
			return append(fields, text[at:]), offsets
		}
		fields = append(fields, text[at:at+end])
		at += end + 1
	}
}

// dnsmasqTime reads a lease time as dnsmasq writes it: a number of seconds, or of the unit behind it.
func dnsmasqTime(text string) (time.Duration, bool) {
	if text == "infinite" {
		return ipam.NeverExpires, true
	}
	if text == "" {
		return 0, false
	}
	unit := time.Second
	switch text[len(text)-1] {
	case 's', 'S':
	case 'm', 'M':
		unit = time.Minute
	case 'h', 'H':
		unit = time.Hour
	case 'd', 'D':
		unit = 24 * time.Hour
	case 'w', 'W':
		unit = 7 * 24 * time.Hour
	default:
		text += "s"
	}
	count, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil {
		return 0, false
	}
	// In seconds: 2³² weeks are more nanoseconds than there are.
	if seconds := count * uint64(unit/time.Second); seconds >= uint64(ipam.NeverExpires/time.Second) {
		return ipam.NeverExpires, true
	}
	return max(time.Duration(count)*unit, shortestLease), true
}

// dhcpMax checks how many leases there may be. The limit keeps dnsmasq's memory small, and is none here; it matters where
// it keeps back a part of the range. Those who ask for the figure write one less than the range holds.
func (c *checker) dhcpMax(n *ipam.Network) {
	v := c.get(c.script.Max)
	if v.text == "" {
		return
	}
	most, err := strconv.ParseUint(v.text, 10, 31)
	switch size := n.Range.Size(); {
	case err != nil:
		c.refuse(v, fmt.Sprintf(`write how many leases there may be, like %s="252", or delete it`, v.name), "%s is %q, which is no number", v.name, v.text)
	case most == 0:
		c.refuse(v, fmt.Sprintf(`write how many leases there may be, like %s="252", or delete it`, v.name), "%s is 0: nobody would get an address", v.name)
	case int(most) < size-1:
		c.warn(v, fmt.Sprintf("shorten %s to as many addresses, or delete %s", c.script.Range, v.name),
			"%s is not honoured: all %d addresses of %s are given out, not %d", v.name, size, n.Range, most)
	}
}
