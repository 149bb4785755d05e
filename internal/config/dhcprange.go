package config

import (
	"fmt"
	"net/netip"
	"strings"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// wholeSubnet is the default range: every address that a guest may have. A gateway in the
// middle of it is left out when addresses are given.
func wholeSubnet(n *ipam.Network) ipam.Range {
	r := n.Hosts()
	switch n.Gateway {
	case r.From:
		r.From = r.From.Next()
	case r.To:
		r.To = r.To.Prev()
	}
	return r
}

// dhcpRange takes "first-last", one address, or "none".
func (c *checker) dhcpRange(d *draft, v *document.Value) {
	if v.Text == "none" {
		return
	}
	example := "10.64.177.2-10.64.177.254"
	if d.isSubnetKnown() {
		example = wholeSubnet(&d.Network).String()
	}
	hint := fmt.Sprintf(`write "%s" for the whole subnet, or "none" for pinned guests only`, example)
	first, last, isRange := strings.Cut(v.Text, "-")
	if !isRange {
		last = first
	}
	if _, _, ok := strings.Cut(v.Text, ","); ok {
		c.refuse(v, fmt.Sprintf(`write a hyphen between the first and the last address: "%s"`, example), "%q is no range", v.Text)
		return
	}
	from, ok := c.member(d, v, first, hint)
	if !isRange && !ok {
		return // it would be said twice
	}
	to, alsoOK := c.member(d, v, last, hint)
	switch {
	case !ok || !alsoOK:
	case from.Compare(to) > 0:
		c.refuse(v, fmt.Sprintf(`write "%s-%s"`, to, from), "the range ends at %s, before it begins at %s", to, from)
	case from == to && from == d.Gateway:
		c.refuse(v, hint, "the range holds nothing but the bridge's own address %s", from)
	default:
		d.Range = ipam.Range{From: from, To: to}
	}
}

// member reads one end of a range, which a guest could have.
func (c *checker) member(d *draft, v *document.Value, text, hint string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		c.refuse(v, hint, "%q in %q is no IPv4 address", text, v.Text)
		return a, false
	}
	if !d.isSubnetKnown() || a == d.Gateway {
		return a, true
	}
	if refused := d.Refuse(a); refused != nil {
		refused.Code, refused.Source, refused.Hint = ipam.CodeConfig, v.At, hint
		c.add(refused)
		return a, false
	}
	return a, true
}
