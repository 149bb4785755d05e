package option

import (
	"fmt"
	"net/netip"
	"strings"

	"berth/internal/config/document"
)

// routesKind is a list of classless routes (RFC 3442): the width of the destination, as many of
// its octets as are not zero by that, and the router; 0.0.0.0 there means "on this link".
func routesKind() kind {
	return kind{
		toml: document.Array, label: "routes", want: "a list of routes", example: `["10.8.0.0/16 via 10.64.177.9"]`,
		encode: func(e *encoder, v *document.Value) {
			e.each(v, "a route", func(item *document.Value) {
				dest, via, ok := e.via(item)
				if !ok {
					return
				}
				p, ok := e.prefix(item, dest)
				router, isAddr := e.parse(item, via)
				if !ok || !isAddr {
					return
				}
				b, r := p.Addr().As4(), router.As4()
				e.put(byte(p.Bits()))
				e.put(b[:(p.Bits()+7)/8]...)
				e.put(r[:]...)
			})
		},
		show: showRoutes,
	}
}

// via splits "DESTINATION via ROUTER".
func (e *encoder) via(v *document.Value) (dest, router string, ok bool) {
	f := strings.Fields(v.Text)
	if len(f) != 3 || f[1] != "via" {
		e.refuse(v, `write it like "10.8.0.0/16 via 10.64.177.9"`, "%q is no route", v.Text)
		return "", "", false
	}
	return f[0], f[2], true
}

// prefix reads a destination; "default" is 0.0.0.0/0.
func (e *encoder) prefix(v *document.Value, text string) (netip.Prefix, bool) {
	if text == "default" {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is4():
		e.refuse(v, "write a network and its prefix length, like 10.8.0.0/16, or default", "%q is no IPv4 network", text)
	case p != p.Masked():
		e.refuse(v, fmt.Sprintf("write %s", p.Masked()), "%s has bits set beyond its prefix length", text)
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

func showRoutes(data []byte) string {
	var texts []string
	for len(data) > 0 {
		bits := int(data[0])
		octets := (bits + 7) / 8
		if bits > 32 || len(data) < 1+octets+4 {
			return ""
		}
		var dest [4]byte
		copy(dest[:], data[1:1+octets])
		router := netip.AddrFrom4([4]byte(data[1+octets:]))
		texts = append(texts, fmt.Sprintf("%s via %s", netip.PrefixFrom(netip.AddrFrom4(dest), bits), router))
		data = data[1+octets+4:]
	}
	return strings.Join(texts, ", ")
}

// staticRoutesKind is a list of routes to single addresses, or to networks of the old classes
// (RFC 2132 §5.8), of which the default route can be none.
func staticRoutesKind() kind {
	return kind{
		toml: document.Array, label: "routes", want: "a list of routes", example: `["10.64.178.9 via 10.64.177.9"]`,
		encode: func(e *encoder, v *document.Value) {
			e.each(v, "a route", func(item *document.Value) {
				dest, via, ok := e.via(item)
				if !ok {
					return
				}
				if dest == "default" || strings.Contains(dest, "/") {
					e.refuse(item, "set classless-static-routes instead", "static-routes knows no prefix lengths and no default route")
					return
				}
				e.address(item, dest)
				e.address(item, via)
			})
		},
		show: showPairs(" via "),
	}
}

// filterKind is a list of networks, each sent as address and mask (RFC 2132 §4.3).
func filterKind() kind {
	return kind{
		toml: document.Array, label: "networks", want: "a list of networks", example: `["10.0.0.0/8"]`,
		encode: func(e *encoder, v *document.Value) {
			e.each(v, "a network", func(item *document.Value) {
				p, ok := e.prefix(item, item.Text)
				if !ok {
					return
				}
				mask := ^uint32(0) << (32 - p.Bits())
				b := p.Addr().As4()
				e.put(b[:]...)
				e.put(byte(mask>>24), byte(mask>>16), byte(mask>>8), byte(mask))
			})
		},
		show: showPairs(" mask "),
	}
}

func showPairs(between string) func([]byte) string {
	return func(data []byte) string {
		if len(data)%8 != 0 {
			return ""
		}
		var texts []string
		for ; len(data) > 0; data = data[8:] {
			texts = append(texts, showAddresses(data[:4])+between+showAddresses(data[4:8]))
		}
		return strings.Join(texts, ", ")
	}
}
