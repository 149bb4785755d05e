package dnsmasq

import (
	"net/netip"
	"strings"
	"time"

	"berth/internal/ipam"
	"berth/internal/pinfile"
)

// placed is a text and its place.
type placed struct {
	text string
	at   ipam.Source
}

// host is what one line of dhcp-host, of a hosts file, or of the ethers file says.
type host struct {
	at         ipam.Source
	name       string
	macs       []hardware
	clientID   string // as written; "*" is not kept
	addr       netip.Addr
	addrAt     ipam.Source
	addrs6     []placedAddr
	lease      time.Duration
	tags       []text // that the client must have
	ignore     bool
	fromEthers bool
}

type placedAddr struct {
	addr netip.Addr
	at   ipam.Source
}

// host reads the fields of one host, each known by its shape, in dnsmasq's order: what has a colon, then IPv4
// addresses, lease times and words; anything else is a name.
func (r *reader) host(value text) *mistake {
	h := host{at: r.in(value.col())}
	for _, f := range value.fields() {
		if f.isEmpty() {
			continue
		}
		bad := (*mistake)(nil)
		if strings.Contains(f.s, ":") {
			bad = r.colonField(&h, f)
		} else {
			bad = r.plainField(&h, f)
		}
		if bad != nil {
			return bad
		}
	}
	r.hosts = append(r.hosts, h)
	return nil
}

// colonField reads a field with a colon: a client-id, a tag, an IPv6 address in brackets, or a hardware address.
func (r *reader) colonField(h *host, f text) *mistake {
	if len(f.s) >= 3 && strings.EqualFold(f.s[:3], "id:") {
		id := f.from(3)
		switch {
		case strings.HasPrefix(id.s, "*"):
			return nil // nobody is known by it here, either
		case strings.Contains(id.s, ":") && !isHexConstant(id.s):
			return wrong(id, "write pairs of hexadecimal digits with colons between them, or a text without a colon", "%s is no client-id", quote(id.plain()))
		}
		h.clientID = id.plain()
		return nil
	}
	for _, prefix := range []string{"net:", "set:"} {
		if tag, ok := f.cutPrefix(prefix); ok {
			r.setTag(tag)
			return nil
		}
	}
	if tag, ok := f.cutPrefix("tag:"); ok {
		h.tags = append(h.tags, tag)
		return nil
	}
	if f.s[0] == '[' && f.s[len(f.s)-1] == ']' {
		return r.address6(h, f.slice(1, len(f.s)-1))
	}
	mac, bad := readHardware(f)
	if bad != nil {
		return bad
	}
	h.macs = append(h.macs, mac)
	return nil
}

// address6 reads an IPv6 address without its brackets, or a block of them.
func (r *reader) address6(h *host, f text) *mistake {
	address, bitsText, isBlock := f.cut('/')
	addr, ok := parseAddr(address.s)
	if !ok || !addr.Is6() {
		return wrong(f, "write it like [fd94:d372:e27f:2987::65], or [::65] for any prefix", "%s is no IPv6 address", quote(address.s))
	}
	if !isBlock {
		h.addrs6 = append(h.addrs6, placedAddr{addr, r.in(f.col())})
		return nil
	}
	bits := atoi(bitsText.plain())
	if number(bitsText) != nil || bitsText.isEmpty() || bits > 128 || bits > 64 && netip.PrefixFrom(addr, bits).Masked().Addr() != addr {
		return wrong(bitsText, "write the first address of the block, and a prefix length of at most 128", "%s is no block of addresses", quote(f.s))
	}
	if bits == 128 {
		h.addrs6 = append(h.addrs6, placedAddr{addr, r.in(f.col())})
		return nil
	}
	r.unserve(f, "write one address: ["+addr.String()+"]", "the block [%s] is not honoured; it would give the host several addresses", f.s)
	return nil
}

// plainField reads a field without a colon, in the words of the pins file.
func (r *reader) plainField(h *host, f text) *mistake {
	if f.s == "ignore" {
		h.ignore = true
		return nil
	}
	plain := f.plain()
	if plain != f.s && !strings.HasSuffix(plain, ".") {
		plain += "." // what is quoted is a name, even if it looks like a number or an address
	}
	field, problem := pinfile.ReadField(plain)
	if problem != nil {
		return &mistake{f.col() + max(problem.Source.Col-1, 0), problem.Text, problem.Hint}
	}
	switch {
	case field.Addr.IsValid():
		if h.addr.IsValid() {
			return wrong(f, "delete one of them", "two IPv4 addresses, %s and %s: a host has one", h.addr, field.Addr)
		}
		h.addr, h.addrAt = field.Addr, r.in(f.col())
	case field.Lease != 0:
		if h.lease != 0 {
			return wrong(f, "delete one of them; if it is meant as a name, write it with a final dot", "a second lease time, %s", quote(f.plain()))
		}
		h.lease = field.Lease
	default:
		if h.name != "" {
			return wrong(f, "make it two lines with two addresses", "two names, %s and %s: a host has one", quote(h.name), quote(field.Name))
		}
		h.name = field.Name
	}
	return nil
}
