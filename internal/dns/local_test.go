package dns

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	codec "github.com/miekg/dns"

	"berth/internal/ipam"
)

// render is an answer in one line: rcode, answer data, and the owner of the SOA if
// there is one.
func oneLine(m *codec.Msg) string {
	words := []string{codec.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		words = append(words, strings.Join(strings.Fields(strings.TrimPrefix(rr.String(), rr.Header().String())), " "))
	}
	for _, rr := range m.Ns {
		words = append(words, "["+codec.TypeToString[rr.Header().Rrtype]+" "+rr.Header().Name+"]")
	}
	return strings.Join(words, " ")
}

func TestLocalAnswers(t *testing.T) {
	s := newTestServer(t, Options{})
	tests := []struct {
		name, qname, qtype, want string
	}{
		{"name with the domain", "cent01.lxd.", "A", "NOERROR 10.64.177.101"},
		{"name without the domain: own network first", "cent01.", "A", "NOERROR 10.64.177.101"},
		{"name without the domain, of another network", "web.", "A", "NOERROR 10.0.3.7"},
		{"name of another network", "cent01.lxc.", "A", "NOERROR 10.0.3.101"},
		{"RFC 4343: case does not matter", "CeNt01.LXD.", "A", "NOERROR 10.64.177.101"},
		{"RFC 2308 §2.2: NODATA has the SOA", "cent01.lxd.", "AAAA", "NOERROR [SOA lxd.]"},
		{"other type", "cent01.lxd.", "MX", "NOERROR [SOA lxd.]"},
		{"unknown type", "cent01.lxd.", "TYPE65280", "NOERROR [SOA lxd.]"},
		{"single label NODATA", "cent01.", "AAAA", "NOERROR [SOA .]"},
		{"IPv6 address", "dual.lxd.", "AAAA", "NOERROR fd94:d372:e27f:2987::20"},
		{"RFC 8482: ANY gives the addresses", "dual.lxd.", "ANY", "NOERROR 10.64.177.20 fd94:d372:e27f:2987::20"},
		{"RFC 2308 §2.1: NXDOMAIN has the SOA", "nobody.lxd.", "A", "NXDOMAIN [SOA lxd.]"},
		{"below a name that exists", "x.cent01.lxd.", "A", "NXDOMAIN [SOA lxd.]"},
		{"unknown single label stays here", "nobody.", "A", "NXDOMAIN [SOA .]"},
		{"RFC 8020: empty non-terminal", "cent02.lxd.", "A", "NOERROR [SOA lxd.]"},
		{"name of two labels", "eth1.cent02.lxd.", "A", "NOERROR 10.64.177.102"},
		{"escaped dot is not a separator", `cent01\.lxd.`, "A", "NXDOMAIN [SOA .]"},
		{"escaped dot before the zone", `a\.cent01.lxd.`, "A", "NXDOMAIN [SOA lxd.]"},
		{"suffix of a label is no zone", "cent01.xlxd.", "A", "SERVFAIL"},

		{"apex SOA", "lxd.", "SOA", "NOERROR _gateway.lxd. nobody.invalid. 1 3600 1200 604800 10"},
		{"apex NS", "lxd.", "NS", "NOERROR _gateway.lxd."},
		{"apex A is NODATA", "lxd.", "A", "NOERROR [SOA lxd.]"},
		{"apex ANY", "LXD.", "ANY", "NOERROR _gateway.lxd. nobody.invalid. 1 3600 1200 604800 10"},
		{"gateway", "gateway.lxd.", "A", "NOERROR 10.64.177.1"},
		{"_gateway", "_gateway.lxc.", "A", "NOERROR 10.0.3.1"},
		{"_gateway without domain", "_gateway.", "A", "NOERROR 10.64.177.1"},

		{"PTR", "101.177.64.10.in-addr.arpa.", "PTR", "NOERROR cent01.lxd."},
		{"PTR of a second NIC", "102.177.64.10.IN-ADDR.ARPA.", "PTR", "NOERROR eth1.cent02.lxd."},
		{"PTR ANY", "101.177.64.10.in-addr.arpa.", "ANY", "NOERROR cent01.lxd."},
		{"PTR of the gateway", "1.177.64.10.in-addr.arpa.", "PTR", "NOERROR _gateway.lxd."},
		{"A of a reverse name", "101.177.64.10.in-addr.arpa.", "A", "NOERROR [SOA 177.64.10.in-addr.arpa.]"},
		{"free address", "200.177.64.10.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 177.64.10.in-addr.arpa.]"},
		{"reverse apex", "177.64.10.in-addr.arpa.", "SOA", "NOERROR _gateway.lxd. nobody.invalid. 1 3600 1200 604800 10"},
		{"reverse apex NS", "177.64.10.in-addr.arpa.", "NS", "NOERROR _gateway.lxd."},
		{"below an address", "x.101.177.64.10.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 177.64.10.in-addr.arpa.]"},
		{"DNS-SD browsing", "lb._dns-sd._udp.0.177.64.10.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 177.64.10.in-addr.arpa.]"},
		{"RFC 8020: parent of our reverse zone", "64.10.in-addr.arpa.", "PTR", "NOERROR [SOA 10.in-addr.arpa.]"},
		{"leading zero is no octet", "01.177.64.10.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 177.64.10.in-addr.arpa.]"},
		{"IPv6 PTR of a guest", "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.8.9.2.f.7.2.e.2.7.3.d.4.9.d.f.ip6.arpa.", "PTR", "NOERROR dual.lxd."},

		{"RFC 6761 §6.3: localhost", "localhost.", "A", "NOERROR 127.0.0.1"},
		{"localhost AAAA", "LocalHost.", "AAAA", "NOERROR ::1"},
		{"below localhost", "a.b.localhost.", "A", "NOERROR 127.0.0.1"},
		{"localhost MX", "localhost.", "MX", "NOERROR [SOA localhost.]"},
		{"PTR of 127.0.0.1", "1.0.0.127.in-addr.arpa.", "PTR", "NOERROR localhost."},
		{"PTR of 127.0.0.53", "53.0.0.127.in-addr.arpa.", "PTR", "NOERROR localhost."},
		{"PTR of ::1", "1." + strings.Repeat("0.", 31) + "ip6.arpa.", "PTR", "NOERROR localhost."},

		{"RFC 6761 §6.4: invalid", "a.invalid.", "A", "NXDOMAIN [SOA invalid.]"},
		{"RFC 6761 §6.2: test", "a.test.", "A", "NXDOMAIN [SOA test.]"},
		{"RFC 6762 §22.1: local", "printer.local.", "A", "NXDOMAIN [SOA local.]"},
		{"RFC 7686: onion", "x.onion.", "A", "NXDOMAIN [SOA onion.]"},
		{"RFC 9476: alt", "x.alt.", "A", "NXDOMAIN [SOA alt.]"},
		{"RFC 8375: home.arpa", "x.home.arpa.", "A", "NXDOMAIN [SOA home.arpa.]"},
		{"RFC 8375: DS of home.arpa goes upstream", "home.arpa.", "DS", "SERVFAIL"},
		{"internal without a private resolver", "x.internal.", "A", "NXDOMAIN [SOA internal.]"},
		{"RFC 9462: resolver.arpa", "_dns.resolver.arpa.", "SVCB", "NXDOMAIN [SOA resolver.arpa.]"},

		{"RFC 6303: elsewhere in 10/8", "1.2.3.10.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 10.in-addr.arpa.]"},
		{"RFC 6303: 172.16/12", "1.2.31.172.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 31.172.in-addr.arpa.]"},
		{"172.32 is public", "1.2.32.172.in-addr.arpa.", "PTR", "SERVFAIL"},
		{"172 is public", "172.in-addr.arpa.", "NS", "SERVFAIL"},
		{"RFC 7793: 100.64/10", "1.2.127.100.in-addr.arpa.", "PTR", "NXDOMAIN [SOA 127.100.in-addr.arpa.]"},
		{"RFC 6303: apex", "168.192.in-addr.arpa.", "SOA", "NOERROR 168.192.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 10"},
		{"RFC 6303: fd00::/8", "1.0.0.d.f.ip6.arpa.", "PTR", "NXDOMAIN [SOA d.f.ip6.arpa.]"},
		{"RFC 6303: fe80::/10", "1.a.e.f.ip6.arpa.", "PTR", "NXDOMAIN [SOA a.e.f.ip6.arpa.]"},
		{"public IPv6", "1.0.0.2.ip6.arpa.", "PTR", "SERVFAIL"},
		{"in-addr.arpa itself", "in-addr.arpa.", "NS", "SERVFAIL"},
		{"a top-level domain's DS goes upstream", "com.", "DS", "SERVFAIL"},
		{"the root goes upstream", ".", "NS", "SERVFAIL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			qtype, ok := codec.StringToType[tt.qtype]
			if !ok {
				qtype = 65280
			}
			m := ask(t, s, tt.qname, qtype)
			if got := oneLine(m); got != tt.want {
				t.Errorf("%s %s: %s\nwant %s", tt.qname, tt.qtype, got, tt.want)
			}
			if local := tt.want != "SERVFAIL"; m.Authoritative != local {
				t.Errorf("AA is %v, want %v", m.Authoritative, local)
			}
			if m.Question[0].Name != tt.qname || len(m.Answer) > 0 && m.Answer[0].Header().Name != tt.qname {
				t.Errorf("the case of %s is not echoed:\n%s", tt.qname, m)
			}
		})
	}
}

func TestReverseOfSubnetsThatEndInsideAnOctet(t *testing.T) {
	tests := []struct {
		name, subnet, gateway, qname, want string
	}{
		{"first half of a /23", "198.18.2.0/23", "198.18.2.1", "9.2.18.198.in-addr.arpa.", "NXDOMAIN [SOA 2.18.198.in-addr.arpa.]"},
		{"second half of a /23", "198.18.2.0/23", "198.18.2.1", "9.3.18.198.in-addr.arpa.", "NXDOMAIN [SOA 3.18.198.in-addr.arpa.]"},
		{"beside a /23", "198.18.2.0/23", "198.18.2.1", "9.4.18.198.in-addr.arpa.", "SERVFAIL"},
		{"above a public /23", "198.18.2.0/23", "198.18.2.1", "18.198.in-addr.arpa.", "SERVFAIL"},
		{"inside a /25", "198.18.2.128/25", "198.18.2.129", "200.2.18.198.in-addr.arpa.", "NXDOMAIN [SOA 2.18.198.in-addr.arpa.]"},
		{"gateway of a /25", "198.18.2.128/25", "198.18.2.129", "129.2.18.198.in-addr.arpa.", "NOERROR _gateway.lxd."},
		{"the other half of a /25", "198.18.2.128/25", "198.18.2.129", "100.2.18.198.in-addr.arpa.", "SERVFAIL"},
		{"apex of a /25", "198.18.2.128/25", "198.18.2.129", "2.18.198.in-addr.arpa.", "NOERROR [SOA 2.18.198.in-addr.arpa.]"},
		{"inside a /12", "172.16.0.0/12", "172.16.0.1", "9.9.31.172.in-addr.arpa.", "NXDOMAIN [SOA 31.172.in-addr.arpa.]"},
		{"empty non-terminal in a /16", "10.5.0.0/16", "10.5.0.1", "7.5.10.in-addr.arpa.", "NOERROR [SOA 5.10.in-addr.arpa.]"},
		{"address in a /16", "10.5.0.0/16", "10.5.0.1", "1.0.5.10.in-addr.arpa.", "NOERROR _gateway.lxd."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := lxdbr0()
			n.Subnet, n.Gateway = netip.MustParsePrefix(tt.subnet), netip.MustParseAddr(tt.gateway)
			s := newTestServer(t, Options{}, n)
			from := asker{network: "lxdbr0", addr: netip.AddrPortFrom(n.Gateway, 5353)}
			if got := oneLine(askAs(t, s, from, newQuery(tt.qname, codec.TypePTR))); got != tt.want {
				t.Errorf("%s: %s\nwant %s", tt.qname, got, tt.want)
			}
		})
	}
}

func TestTTLIsNeverLongerThanTheDrain(t *testing.T) {
	for drain, want := range map[time.Duration]uint32{
		time.Hour: 10, 10 * time.Second: 10, 3500 * time.Millisecond: 3, 999 * time.Millisecond: 0, 0: 0, -time.Second: 0,
	} {
		n := lxdbr0()
		n.Drain = drain
		s := newTestServer(t, Options{}, n)
		for _, m := range []*codec.Msg{ask(t, s, "cent01.lxd.", codec.TypeA), ask(t, s, "101.177.64.10.in-addr.arpa.", codec.TypePTR), ask(t, s, "cent01.", codec.TypeA)} {
			if got := m.Answer[0].Header().Ttl; got != want {
				t.Errorf("drain %s: TTL of %s is %d, want %d", drain, m.Answer[0].Header().Name, got, want)
			}
		}
		if soa := ask(t, s, "nobody.lxd.", codec.TypeA).Ns[0].(*codec.SOA); soa.Hdr.Ttl != want || soa.Minttl != want {
			t.Errorf("drain %s: negative TTL %d, minimum %d; want %d", drain, soa.Hdr.Ttl, soa.Minttl, want)
		}
	}
}

func TestNetworksThatShareADomain(t *testing.T) {
	second := lxcbr0()
	second.Domain = "lxd"
	s := newTestServer(t, Options{}, lxdbr0(), second)
	if got := oneLine(ask(t, s, "cent01.lxd.", codec.TypeA)); got != "NOERROR 10.64.177.101 10.0.3.101" {
		t.Errorf("asked on lxdbr0: %s, want its own address first", got)
	}
	from := asker{network: "lxcbr0", addr: netip.MustParseAddrPort("10.0.3.9:5000")}
	if got := oneLine(askAs(t, s, from, newQuery("cent01.lxd.", codec.TypeA))); got != "NOERROR 10.0.3.101 10.64.177.101" {
		t.Errorf("asked on lxcbr0: %s, want its own address first", got)
	}
	m := ask(t, s, "web.lxd.", codec.TypeA)
	if oneLine(m) != "NOERROR 10.0.3.7" || m.Answer[0].Header().Ttl != 3 {
		t.Errorf("want web's address with the shorter drain as TTL, have\n%s", m)
	}
}

func TestDomainBelowAnother(t *testing.T) {
	inner := lxcbr0()
	inner.Domain = "dev.lxd"
	s := newTestServer(t, Options{}, lxdbr0(), inner)
	if got := oneLine(ask(t, s, "web.dev.lxd.", codec.TypeA)); got != "NOERROR 10.0.3.7" {
		t.Errorf("web.dev.lxd: %s", got)
	}
}

func TestDomainThatIsSpecialIsTheNetworks(t *testing.T) {
	n := lxdbr0()
	n.Domain = "lxd.internal"
	s := newTestServer(t, Options{}, n)
	if got := oneLine(ask(t, s, "cent01.lxd.internal.", codec.TypeA)); got != "NOERROR 10.64.177.101" {
		t.Errorf("cent01.lxd.internal: %s", got)
	}
}

func TestNetworkWithoutDomain(t *testing.T) {
	n := lxdbr0()
	n.Domain = ""
	s := newTestServer(t, Options{}, n)
	if got := oneLine(ask(t, s, "cent01.", codec.TypeA)); got != "NOERROR 10.64.177.101" {
		t.Errorf("cent01: %s", got)
	}
	if got := oneLine(ask(t, s, "101.177.64.10.in-addr.arpa.", codec.TypePTR)); got != "NOERROR cent01." {
		t.Errorf("PTR: %s", got)
	}
}

func TestAGuestMayBeCalledGateway(t *testing.T) {
	b := newBook()
	b.set("lxdbr0", "gateway", "10.64.177.50")
	b.set("lxdbr0", "_gateway", "10.64.177.51")
	s := newTestServer(t, Options{Names: b})
	if got := oneLine(ask(t, s, "gateway.lxd.", codec.TypeA)); got != "NOERROR 10.64.177.50" {
		t.Errorf("gateway: %s, want the guest", got)
	}
	if got := oneLine(ask(t, s, "_gateway.lxd.", codec.TypeA)); got != "NOERROR 10.64.177.1" {
		t.Errorf("_gateway: %s, want the gateway whatever a guest is called", got)
	}
}

func TestSetNetworksIsInForceForTheNextQuery(t *testing.T) {
	s := newTestServer(t, Options{})
	n := lxdbr0()
	n.Domain = "berth"
	s.SetNetworks(ipam.Networks{n})
	if got := oneLine(ask(t, s, "cent01.berth.", codec.TypeA)); got != "NOERROR 10.64.177.101" {
		t.Errorf("new domain: %s", got)
	}
	if got := oneLine(ask(t, s, "cent01.lxd.", codec.TypeA)); got != "SERVFAIL" {
		t.Errorf("old domain: %s, want it gone upstream, where there is none", got)
	}
}

func FuzzParseReverse(f *testing.F) {
	f.Add("1.0.0.127.in-addr.arpa")
	f.Add("f.ip6.arpa")
	f.Add("in-addr.arpa")
	f.Fuzz(func(t *testing.T, name string) {
		r, ok := parseReverse(name)
		if ok && !r.below && reverseText(r.prefix) != strings.ToLower(name) {
			t.Errorf("%q is read as %s, which is %q", name, r.prefix, reverseText(r.prefix))
		}
	})
}
