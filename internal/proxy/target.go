package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// target is the server that a guest asks for.
type target struct {
	host string // a name, or an address without brackets
	port uint16
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// parseTarget reads "host:port"; defaultPort 0 means that the port must be there (RFC 9110 §9.3.6).
func parseTarget(authority string, defaultPort uint16) (target, *refusal) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil && defaultPort != 0 {
		host, port = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]"), ""
	}
	t := target{host: host, port: defaultPort}
	if port != "" || defaultPort == 0 {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return target{}, badRequest(fmt.Sprintf("%q is no host and port", authority))
		}
		t.port = uint16(n)
	}
	if a, err := netip.ParseAddr(t.host); err != nil && !isName(t.host) || a.Zone() != "" && !isName(a.Zone()) {
		return target{}, badRequest(fmt.Sprintf("%q is no host and port", authority))
	}
	return t, nil
}

// isName reports whether a resolver may be asked for host: other names than those of hosts (RFC 1123 §2.1, and the underscore, which
// some have) are for nobody to look up.
func isName(host string) bool {
	const longest = 254 // octets, with a dot at the end; RFC 1035 §2.3.4
	return host != "" && len(host) <= longest && strings.Trim(host, ".") != "" && !strings.ContainsFunc(host, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && !(r >= '0' && r <= '9') && r != '.' && r != '-' && r != '_'
	})
}

// refuseForward is the rule for plain HTTP: port 80, and those that anybody may serve on. The ports below 1024 are
// those of other protocols; a request whose body is their commands would do as a client of theirs (to send mail, say).
func refuseForward(t target) *refusal {
	const firstOfAnybody = 1024
	if t.port == 80 || t.port >= firstOfAnybody {
		return nil
	}
	return denied("http_request_denied", fmt.Sprintf("plain HTTP to port %d is not allowed, only to port 80 and from 1024 on", t.port))
}

// refuseConnect is the rule for tunnels, in which anything may be spoken: the ports of HTTPS alone.
func refuseConnect(t target, allowed []uint16) *refusal {
	if slices.Contains(allowed, t.port) {
		return nil
	}
	var list []string
	for _, p := range allowed {
		list = append(list, strconv.Itoa(int(p)))
	}
	return denied("http_request_denied", fmt.Sprintf("CONNECT to port %d is not allowed, only to %s", t.port, strings.Join(list, ", ")))
}

// metadata are the addresses at which clouds tell a machine its secrets, beyond 169.254.169.254, which is link-local. None
// of them is a guest's to see: what is behind them takes a request of the host for the host's own.
var metadata = [...]string{
	"fd00:ec2::254",   // Amazon
	"fd20:ce::254",    // Google
	"100.100.100.200", // Alibaba
	"168.63.129.16",   // Azure
	"192.0.0.192",     // Oracle
}

// carriers are the IPv6 prefixes of addresses that stand for an IPv4 address, and the octet at which that begins.
var carriers = [...]struct {
	prefix string
	at     int
}{
	{"64:ff9b::/96", 12},    // NAT64, RFC 6052
	{"64:ff9b:1::/48", 12},  // NAT64 of the site's own, RFC 8215
	{"2002::/16", 2},        // 6to4, RFC 3056
	{"::ffff:0:0:0/96", 12}, // SIIT, RFC 7915
}

// refuseAddr says why a guest may not reach a through the host, as far as the address alone says it. What a guest may not reach is
// what answers the host because it is the host. Private addresses are let through: mirrors and other guests have such.
func refuseAddr(a netip.Addr) *refusal {
	a = a.Unmap()
	no := func(what string) *refusal {
		return denied("destination_ip_prohibited", fmt.Sprintf("%s is not allowed: it is %s", a, what))
	}
	switch {
	case a.Zone() != "" || a.IsLinkLocalUnicast():
		return no("link-local")
	case a.IsLoopback():
		return no("the loopback")
	case a.IsMulticast():
		return no("a group")
	case a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240): // RFC 1122 §3.2.1.3, RFC 1112 §4
		return no("no host's")
	case a.Is6() && netip.MustParsePrefix("::/96").Contains(a): // RFC 4291 §2.5.5.1
		return no("no host's")
	}
	for _, m := range metadata {
		if a == netip.MustParseAddr(m) {
			return no("where a cloud keeps a machine's secrets")
		}
	}
	if inner, ok := carried(a); ok && refuseAddr(inner) != nil {
		return no("another way to write " + inner.String())
	}
	return nil
}

// carried is the IPv4 address that an IPv6 address stands for.
func carried(a netip.Addr) (netip.Addr, bool) {
	for _, c := range carriers {
		if a.Is6() && netip.MustParsePrefix(c.prefix).Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[c.at : c.at+4])), true
		}
	}
	return netip.Addr{}, false
}
