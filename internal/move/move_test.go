package move

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/internal/netnstest"
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

func TestDrainEndsByTheKernelsTimer(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", `addr add 10.9.0.5/24 dev eth0
		route add default via 10.9.0.1 dev eth0`)
	do(t, request(t, g, "10.9.0.5", "10.9.0.77", 300*time.Millisecond))
	out := g.Run(t, "ip", "-4", "addr", "show", "to", "10.9.0.5/32")
	if !strings.Contains(out, "deprecated") || !strings.Contains(out, " eth0:old\n") {
		t.Errorf("the old address is not deprecated, or not labelled:\n%s", out)
	}
	eventually(t, "the old address goes", func() bool { return addrs(t, g) == "10.9.0.77/24" })
	g.Run(t, "ping", "-c1", "-W2", "10.9.0.1")
}

func TestMoveOfAGuestThatHasOtherAddresses(t *testing.T) {
	cases := []struct{ name, setup, from, to, addrs, routes string }{
		{
			name: "none at all", from: "", to: "10.9.0.77",
			addrs: "10.9.0.77/24",
			routes: `default via 10.9.0.1 dev eth0 proto static
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77`,
		},
		{
			name: "none, but a way out", from: "", to: "10.9.0.77",
			setup: `link add other type veth peer name another
				link set other up
				link set another up
				route add default dev other`,
			addrs: "10.9.0.77/24",
			routes: `default dev other scope link
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77`,
		},
		{
			name: "not the one it is to leave", from: "10.9.0.66", to: "10.9.0.77",
			setup: `addr add 10.9.0.5/24 dev eth0`,
			addrs: "10.9.0.5/24 10.9.0.77/24",
			routes: `default via 10.9.0.1 dev eth0 proto static
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.5`,
		},
		{
			name: "the new one as a further one, for a short time", from: "10.9.0.5", to: "10.9.0.77",
			setup: `addr add 10.9.0.5/24 brd + dev eth0
				addr add 10.9.0.77/24 brd + dev eth0 valid_lft 60 preferred_lft 60
				route add default via 10.9.0.1 dev eth0 src 10.9.0.5`,
			addrs: "10.9.0.77/24",
			routes: `default via 10.9.0.1 dev eth0 src 10.9.0.77
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77`,
		},
		{
			name: "the new one as the first", from: "10.9.0.5", to: "10.9.0.77",
			setup: `addr add 10.9.0.77/24 dev eth0
				addr add 10.9.0.5/24 dev eth0
				route add default via 10.9.0.1 dev eth0 src 10.9.0.5`,
			addrs: "10.9.0.77/24",
			routes: `default via 10.9.0.1 dev eth0 src 10.9.0.77
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77`,
		},
		{
			name: "a floating one of the same subnet", from: "10.9.0.5", to: "10.9.0.77",
			setup: `addr add 10.9.0.5/24 dev eth0
				addr add 10.9.0.6/24 dev eth0
				route add default via 10.9.0.1 dev eth0`,
			addrs: "10.9.0.6/24 10.9.0.77/24",
			routes: `default via 10.9.0.1 dev eth0 src 10.9.0.77
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.6`,
		},
		{
			name: "one of another subnet", from: "10.9.0.5", to: "10.9.0.77",
			setup: `addr add 192.0.2.9/28 dev eth0
				addr add 10.9.0.5/24 dev eth0
				route add default via 192.0.2.1 dev eth0`,
			addrs: "10.9.0.77/24 192.0.2.9/28",
			routes: `default via 192.0.2.1 dev eth0
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77
				192.0.2.0/28 dev eth0 proto kernel scope link src 192.0.2.9`,
		},
		{
			name: "to another subnet", from: "192.0.2.9", to: "10.9.0.77",
			setup: `addr add 192.0.2.9/28 dev eth0
				route add 192.0.2.1 dev eth0 proto dhcp src 192.0.2.9
				route add default via 192.0.2.1 dev eth0 proto dhcp src 192.0.2.9
				route add 203.0.113.0/24 via 192.0.2.2 dev eth0`,
			addrs: "10.9.0.77/24",
			routes: `10.9.0.1 dev eth0 proto dhcp scope link src 10.9.0.77
				10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.77
				203.0.113.0/24 via 10.9.0.1 dev eth0
				default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.77`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			newBridge(t)
			g := plug(t, "web", c.setup)
			do(t, request(t, g, c.from, c.to, 0))
			wantAddrs(t, g, c.addrs)
			wantRoutes(t, g, c.routes)
		})
	}
}

func TestLifetimes(t *testing.T) {
	cases := []struct{ name, setup, want string }{
		{"as long as the lease of the old one", "addr add 10.9.0.5/24 dev eth0 valid_lft 3600 preferred_lft 1800", "dynamic"},
		{"for ever", "addr add 10.9.0.5/24 dev eth0", "valid_lft forever"},
		{"the new one was there for ever", "addr add 10.9.0.5/24 dev eth0 valid_lft 60 preferred_lft 60\naddr add 10.9.0.77/24 dev eth0", "valid_lft forever"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			newBridge(t)
			g := plug(t, "web", c.setup)
			do(t, request(t, g, "10.9.0.5", "10.9.0.77", 0))
			out := g.Run(t, "ip", "-4", "addr", "show", "to", "10.9.0.77/32")
			if !strings.Contains(out, c.want) {
				t.Errorf("want %q in:\n%s", c.want, out)
			}
			if c.want == "dynamic" {
				m := regexp.MustCompile(`valid_lft (\d+)sec`).FindStringSubmatch(out)
				if left, err := strconv.Atoi(m[1]); err != nil || left < 3500 || left > 3600 {
					t.Errorf("has %v to live, want an hour:\n%s", m, out)
				}
			}
		})
	}
}

func TestMovingBackWhileTheOldAddressDrains(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", `addr add 10.9.0.5/24 dev eth0
		route add default via 10.9.0.1 dev eth0 src 10.9.0.5`)
	before := routes(t, g)
	for range 3 {
		do(t, request(t, g, "10.9.0.5", "10.9.0.77", time.Minute))
		wantAddrs(t, g, "10.9.0.5/32 10.9.0.77/24")
		do(t, request(t, g, "10.9.0.77", "10.9.0.5", time.Minute))
		wantAddrs(t, g, "10.9.0.5/24 10.9.0.77/32")
		wantRoutes(t, g, before)
	}
	if out := g.Run(t, "ip", "-4", "addr", "show", "to", "10.9.0.5/32"); strings.Contains(out, "deprecated") {
		t.Errorf("the address still is deprecated:\n%s", out)
	}
	do(t, request(t, g, "10.9.0.5", "10.9.0.77", 0))
	wantAddrs(t, g, "10.9.0.77/24")
}

// A thousand addresses are the guest's own business, and no reason to take long.
func TestMoveAmongAThousandAddresses(t *testing.T) {
	newBridge(t)
	var batch strings.Builder
	batch.WriteString("addr add 10.9.0.5/16 dev eth0\nroute add default via 10.9.0.1 dev eth0\n")
	for i := range 1000 {
		fmt.Fprintf(&batch, "addr add 10.9.%d.%d/16 dev eth0\n", 10+i/250, 1+i%250)
	}
	g := plug(t, "web", "")
	cmd := g.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := request(t, g, "10.9.0.5", "10.9.0.77", time.Minute)
	r.Bits = 16
	began := time.Now()
	do(t, r)
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	have := strings.Fields(addrs(t, g))
	if len(have) != 1002 || !slices.Contains(have, "10.9.0.77/16") || !slices.Contains(have, "10.9.0.5/32") {
		t.Errorf("has %d addresses", len(have))
	}
	if out := g.Run(t, "ip", "route", "get", "192.0.2.1"); !strings.Contains(out, "src 10.9.0.77") {
		t.Errorf("speaks with another address:\n%s", out)
	}
}

// The host talks to the guest at its new address at once, though its own memory says otherwise.
func TestStaleNeighboursOfTheHost(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", "addr add 10.9.0.5/24 dev eth0")
	former := plug(t, "former", "addr add 10.9.0.77/24 dev eth0")
	for _, a := range []string{"10.9.0.5", "10.9.0.77"} {
		netnstest.Run(t, "ping", "-c1", "-W2", a)
	}
	former.Run(t, "ip", "link", "set", "eth0", "down")
	do(t, request(t, g, "10.9.0.5", "10.9.0.77", 0))
	out := netnstest.Run(t, "ip", "neigh", "show", "dev", bridge)
	if mac := seen(t, g).MAC.String(); !strings.Contains(out, "10.9.0.77 lladdr "+mac) {
		t.Errorf("10.9.0.77 is not %s:\n%s", mac, out)
	}
	if strings.Contains(out, "10.9.0.5 lladdr") {
		t.Errorf("10.9.0.5 is remembered:\n%s", out)
	}
	netnstest.Run(t, "ping", "-c1", "-W1", "10.9.0.77")
}

// A neighbour that knows the address as another's learns from the announcement.
func TestAnnouncementReachesPeers(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", "addr add 10.9.0.5/24 dev eth0")
	peer := plug(t, "peer", "addr add 10.9.0.9/24 dev eth0")
	peer.Run(t, "ip", "neigh", "add", "10.9.0.77", "lladdr", "02:00:00:00:00:01", "nud", "reachable", "dev", "eth0")
	r := do(t, request(t, g, "10.9.0.5", "10.9.0.77", 0))[0]
	if have := steps(r); have != "entered added announced verified closed" {
		t.Errorf("steps: %s", have)
	}
	mac := seen(t, g).MAC.String()
	eventually(t, "the peer learns it", func() bool {
		return strings.Contains(peer.Run(t, "ip", "neigh", "show", "10.9.0.77"), mac)
	})
}
