package move

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
)

// What the host's firewall remembers of an address ends with it, and nothing else does.
func TestTrackedConnectionsOfTheOldAddressAreForgotten(t *testing.T) {
	newBridge(t)
	netnstest.Require(t, "nft")
	netnstest.Run(t, "nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in ct state new accept")
	t.Cleanup(func() { netnstest.Run(t, "nft", "delete table ip t") })
	g := plug(t, "web", "addr add 10.9.0.5/24 dev eth0\naddr add 10.9.0.6/24 dev eth0")
	for _, from := range []net.IP{net.IPv4(10, 9, 0, 5), net.IPv4(10, 9, 0, 6)} {
		err := g.Do(func() error {
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: from, Port: 5000}, &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 9})
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("x"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := func(a string) int {
		inside, err := openTalk(unix.NETLINK_NETFILTER)
		if err != nil {
			t.Fatal(err)
		}
		defer inside.close()
		return len(tracked(inside, []netip.Addr{addr(a)}))
	}
	eventually(t, "both are tracked", func() bool { return lines("10.9.0.5") == 1 && lines("10.9.0.6") == 1 })
	do(t, request(t, g, "10.9.0.5", "10.9.0.77", 0))
	eventually(t, "the old one is forgotten", func() bool { return lines("10.9.0.5") == 0 })
	if lines("10.9.0.6") != 1 {
		t.Error("the other one is forgotten too")
	}
}
