package move

import (
	"testing"
	"time"
)

// Each DHCP client leaves its own kind of addresses and routes; a move changes nothing but the address in them.
func TestMoveKeepsTheStyleOfTheClient(t *testing.T) {
	cases := []struct{ name, setup, addrs, routes, drained string }{
		{
			name: "systemd-networkd",
			setup: `addr add 10.9.0.5/24 brd 10.9.0.255 dev eth0 metric 1024 valid_lft 600 preferred_lft 600
				route add default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.5 metric 1024
				route add 10.9.0.1 dev eth0 proto dhcp scope link src 10.9.0.5 metric 1024`,
			routes: `default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.77 metric 1024
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77 metric 1024
				10.9.0.1 dev eth0 proto dhcp scope link src 10.9.0.77 metric 1024`,
		},
		{
			name: "NetworkManager",
			setup: `addr add 10.9.0.5/24 brd 10.9.0.255 dev eth0 noprefixroute valid_lft 600 preferred_lft 600
				route add 10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.5 metric 100
				route add default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.5 metric 100`,
			routes: `default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.77 metric 100
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77 metric 100`,
		},
		{
			name: "dhcpcd",
			setup: `addr add 10.9.0.5/24 brd 10.9.0.255 dev eth0 noprefixroute valid_lft 600 preferred_lft 600
				route add 10.9.0.0/24 dev eth0 proto dhcp scope link src 10.9.0.5 metric 1002
				route add default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.5 metric 1002`,
			routes: `default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.77 metric 1002
				10.9.0.0/24 dev eth0 proto dhcp scope link src 10.9.0.77 metric 1002`,
		},
		{
			name: "udhcpc and dhclient",
			setup: `addr add 10.9.0.5/24 brd 10.9.0.255 dev eth0
				route add default via 10.9.0.1 dev eth0`,
			routes: `default via 10.9.0.1 dev eth0
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77`,
		},
		{
			name: "an administrator, with policy routing and many paths",
			setup: `addr add 10.9.0.5/24 dev eth0 label eth0:web
				route add default via 10.9.0.1 dev eth0 onlink mtu 1400 src 10.9.0.5
				route add 192.0.2.0/24 src 10.9.0.5 nexthop via 10.9.0.1 dev eth0 weight 2 nexthop via 10.9.0.2 dev eth0 weight 1
				route add default via 10.9.0.1 dev eth0 table 100 src 10.9.0.5
				nexthop add id 7 via 10.9.0.1 dev eth0
				route add 198.51.100.0/24 nhid 7 src 10.9.0.5
				link add other type veth peer name another
				link set another up
				link set other up
				route add 203.0.113.0/24 dev other src 10.9.0.5`,
			routes: `default via 10.9.0.1 dev eth0 src 10.9.0.77 onlink mtu 1400
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77
				192.0.2.0/24 src 10.9.0.77
				nexthop via 10.9.0.1 dev eth0 weight 2
				nexthop via 10.9.0.2 dev eth0 weight 1
				default via 10.9.0.1 dev eth0 table 100 src 10.9.0.77
				198.51.100.0/24 nhid 7 via 10.9.0.1 dev eth0 src 10.9.0.77
				203.0.113.0/24 dev other scope link src 10.9.0.77`,
		},
		{
			name: "a link that is the default route",
			setup: `addr add 10.9.0.5/24 dev eth0
				route add default dev eth0`,
			routes: `default dev eth0 scope link
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77`,
		},
	}
	for _, c := range cases {
		for _, drain := range []time.Duration{0, 30 * time.Second} {
			t.Run(c.name+" drain "+drain.String(), func(t *testing.T) {
				newBridge(t)
				g := plug(t, "web", c.setup)
				g.Run(t, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries")
				r := do(t, request(t, g, "10.9.0.5", "10.9.0.77", drain))[0]
				want := "10.9.0.77/24"
				if drain > 0 {
					want = "10.9.0.5/32 " + want
				}
				wantAddrs(t, g, want)
				wantRoutes(t, g, c.routes)
				if r.Lost != 0 {
					t.Errorf("without an address for %v", r.Lost)
				}
				g.Run(t, "ping", "-c1", "-W2", "10.9.0.1")
			})
		}
	}
}
