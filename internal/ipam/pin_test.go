package ipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"berth/internal/ipam"
)

func network() *ipam.Network {
	return &ipam.Network{
		Name:    "lxdbr0",
		Gateway: netip.MustParseAddr("10.64.177.1"),
		Subnet:  netip.MustParsePrefix("10.64.177.0/24"),
	}
}

func pin(holder, addr string, line int) ipam.Pin {
	return ipam.Pin{Holder: ipam.ByName(holder), Addr: netip.MustParseAddr(addr), Source: ipam.Source{File: "pins", Line: line}}
}

func nobody(string, netip.Addr) ipam.Holder { return ipam.Holder{} }

func TestResolvePins(t *testing.T) {
	held := func(holder, addr string) func(string, netip.Addr) ipam.Holder {
		return func(_ string, a netip.Addr) ipam.Holder {
			if a == netip.MustParseAddr(addr) {
				return ipam.ByName(holder)
			}
			return ipam.Holder{}
		}
	}
	tests := []struct {
		name     string
		wished   []ipam.Pin
		holds    func(string, netip.Addr) ipam.Holder
		want     string // "holder=addr …" in order of address
		problems []string
	}{
		{name: "all good, ordered by address", wished: []ipam.Pin{pin("b", "10.64.177.9", 1), pin("a", "10.64.177.8", 2)}, want: "a=10.64.177.8 b=10.64.177.9"},
		{name: "outside every subnet is refused alone", wished: []ipam.Pin{pin("a", "10.9.9.9", 1), pin("b", "10.64.177.9", 2)}, want: "b=10.64.177.9", problems: []string{"pins:1: 10.9.9.9 is outside every network"}},
		{name: "the gateway", wished: []ipam.Pin{pin("a", "10.64.177.1", 3)}, problems: []string{"pins:3: 10.64.177.1 is the gateway"}},
		{name: "the network address", wished: []ipam.Pin{pin("a", "10.64.177.0", 3)}, problems: []string{"is the network address"}},
		{name: "the broadcast address", wished: []ipam.Pin{pin("a", "10.64.177.255", 3)}, problems: []string{"is the broadcast address"}},
		{name: "two owners, nobody holds it: the first keeps it", wished: []ipam.Pin{pin("a", "10.64.177.8", 1), pin("b", "10.64.177.8", 2)}, want: "a=10.64.177.8", problems: []string{"pins:2: 10.64.177.8 is pinned to both a and b; a keeps it (pins:1)"}},
		{name: "two owners: the present holder keeps it", wished: []ipam.Pin{pin("a", "10.64.177.8", 1), pin("b", "10.64.177.8", 2)}, holds: held("b", "10.64.177.8"), want: "b=10.64.177.8", problems: []string{"pins:1: 10.64.177.8 is pinned to both b and a; b keeps it (pins:2)"}},
		{name: "one holder twice: the last line wins", wished: []ipam.Pin{pin("a", "10.64.177.8", 1), pin("a", "10.64.177.9", 2)}, want: "a=10.64.177.9", problems: []string{"pins:1: a is pinned twice"}},
		{name: "a line that lost does not hold its address", wished: []ipam.Pin{pin("a", "10.64.177.8", 1), pin("a", "10.64.177.9", 2), pin("b", "10.64.177.8", 3)}, want: "b=10.64.177.8 a=10.64.177.9", problems: []string{"a is pinned twice"}},
		{name: "a swap is no conflict", wished: []ipam.Pin{pin("a", "10.64.177.9", 1), pin("b", "10.64.177.8", 2)}, holds: held("a", "10.64.177.8"), want: "b=10.64.177.8 a=10.64.177.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			holds := tt.holds
			if holds == nil {
				holds = nobody
			}
			got, problems := ipam.ResolvePins(tt.wished, ipam.Networks{network()}, holds)
			var words []string
			for _, p := range got {
				words = append(words, p.Holder.String()+"="+p.Addr.String())
			}
			if have := strings.Join(words, " "); have != tt.want {
				t.Errorf("effective pins %q, want %q", have, tt.want)
			}
			if len(problems) != len(tt.problems) {
				t.Fatalf("problems %v, want %v", problems, tt.problems)
			}
			for i, p := range problems {
				if !strings.Contains(p.Error(), tt.problems[i]) {
					t.Errorf("problem %q, want it to say %q", p, tt.problems[i])
				}
				if p.Hint == "" {
					t.Errorf("problem %q has no hint", p)
				}
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	good := []string{"cent01", "Web-1", "web.proj", "cent01:eth1", "1st", "a_b", strings.Repeat("a", 63)}
	bad := []string{"", "-a", "a-", "a..b", "a b", "a\x1b[31m", "ä", ":eth0", "a:", "a:../../x", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "a", "a\n"}
	for _, n := range good {
		if err := ipam.CheckName(n); err != nil {
			t.Errorf("CheckName(%q) = %v, want none", n, err)
		}
	}
	for _, n := range bad {
		if ipam.CheckName(n) == nil {
			t.Errorf("CheckName(%q) accepts it", n)
		}
	}
}

func TestDNSNameOfASecondNIC(t *testing.T) {
	if got := ipam.DNSName("Cent01:eth1"); got != "eth1.cent01" {
		t.Errorf("DNSName = %q, want eth1.cent01", got)
	}
}
