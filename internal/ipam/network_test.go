package ipam_test

import (
	"net/netip"
	"testing"

	"berth/internal/ipam"
)

func TestHostsAndBroadcastOfSmallSubnets(t *testing.T) {
	tests := []struct{ subnet, hosts, broadcast string }{
		{"10.0.0.0/24", "10.0.0.1-10.0.0.254", "10.0.0.255"},
		{"10.0.0.4/30", "10.0.0.5-10.0.0.6", "10.0.0.7"},
		{"10.0.0.4/31", "10.0.0.4-10.0.0.5", "invalid IP"}, // RFC 3021: both are hosts
		{"0.0.0.0/0", "0.0.0.1-255.255.255.254", "255.255.255.255"},
	}
	for _, tt := range tests {
		n := &ipam.Network{Subnet: netip.MustParsePrefix(tt.subnet)}
		if got := n.Hosts().String(); got != tt.hosts {
			t.Errorf("%s: hosts %s, want %s", tt.subnet, got, tt.hosts)
		}
		if got := n.Broadcast().String(); got != tt.broadcast {
			t.Errorf("%s: broadcast %s, want %s", tt.subnet, got, tt.broadcast)
		}
	}
}

func TestRange(t *testing.T) {
	r := ipam.Range{From: netip.MustParseAddr("10.0.0.250"), To: netip.MustParseAddr("10.0.1.4")}
	if r.Size() != 11 || r.At(6) != netip.MustParseAddr("10.0.1.0") {
		t.Errorf("size %d, seventh %s; want 11 and 10.0.1.0", r.Size(), r.At(6))
	}
	if !r.Contains(r.From) || !r.Contains(r.To) || r.Contains(netip.MustParseAddr("10.0.1.5")) {
		t.Error("the ends belong to the range, what follows does not")
	}
	var none ipam.Range
	if none.Size() != 0 || none.Contains(r.From) || none.String() != "none" {
		t.Error("the zero range holds nothing")
	}
}

func TestMACText(t *testing.T) {
	m, err := ipam.ParseMAC("00-16-3E-1-2-3")
	if err != nil || m.String() != "00:16:3e:01:02:03" {
		t.Fatalf("ParseMAC = %s, %v", m, err)
	}
	for _, bad := range []string{"", "00:16:3e:01:02", "00:16:3e:01:02:03:04", "00:16:3e:01:02:zz", "00:16:3e:01:02:333"} {
		if _, err := ipam.ParseMAC(bad); err == nil {
			t.Errorf("ParseMAC(%q) accepts it", bad)
		}
	}
}
