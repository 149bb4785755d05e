package lab_test

import (
	"net/netip"
	"strings"
	"testing"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// TestIdentityIsThePort has containers that say nothing about themselves, or lie: each gets
// its own pin.
func TestIdentityIsThePort(t *testing.T) {
	const dropIn = "/etc/systemd/network/10-eth0.network.d/lab.conf"
	pins := map[string]string{"cent01": "10.64.177.101", "cent02": "10.64.177.102", "cent03": "10.64.177.103"}
	requireLXD(t)
	clone := inside(t, "cent02", "cat", "/etc/machine-id")
	own := inside(t, "cent03", "cat", "/etc/machine-id")
	if len(strings.TrimSpace(clone)) != 32 || clone == own {
		t.Fatalf("the containers' machine ids are %q and %q before they are made equal", clone, own)
	}
	for name, text := range map[string]string{
		"cent01": "[DHCPv4]\nSendHostname=no\n",
		// The client identifier is made of the machine id and this number.
		"cent02": "[DHCPv4]\nHostname=cent01\nIAID=7\n",
		"cent03": "[DHCPv4]\nHostname=cent02\nIAID=7\n",
	} {
		put(t, name, dropIn, text)
		t.Cleanup(func() { inside(t, name, "rm", dropIn) })
	}
	put(t, "cent03", "/etc/machine-id", clone)
	t.Cleanup(func() { put(t, "cent03", "/etc/machine-id", own) })

	var file strings.Builder
	for name, addr := range pins {
		file.WriteString(pinLine(name, addr))
	}
	s := serve(t, network, file.String())
	for name, addr := range pins {
		s.mustHave(name, addr)
		if have := networkdLease(t, name); have != addr {
			t.Errorf("networkd inside %s believes it has %q, want %s", name, have, addr)
		}
	}
	id := func(name string) string {
		out := inside(t, name, "sh", "-c", "grep ^CLIENTID= /run/systemd/netif/leases/*")
		return strings.TrimSpace(out)
	}
	if id("cent02") != id("cent03") {
		t.Errorf("the clones do not send one client identifier: %s, %s", id("cent02"), id("cent03"))
	}

	// A move tells the right one of the clones.
	s.must("pin", "cent03", "10.64.177.113", "--wait", "settled")
	s.mustHave("cent03", "10.64.177.113")
	s.mustHave("cent02", pins["cent02"])
}

func TestRestartedContainerIsTheSameGuest(t *testing.T) {
	const addr = "10.64.177.101"
	s := serve(t, network, pinLine("cent01", addr))
	s.mustHave("cent01", addr)
	before := s.look("cent01")
	dynamic := s.awaitState("cent02", control.Dynamic)

	netnstest.Run(t, "lxc", "stop", "--force", "cent01")
	s.awaitState("cent01", control.Stopped)
	if have := lookup(t, "cent01.lxd"); have != addr {
		t.Errorf("DNS answers %q while the container is stopped, want %s", have, addr)
	}
	netnstest.Run(t, "lxc", "start", "cent01")
	netnstest.Run(t, "lxc", "restart", "cent02")
	s.mustHave("cent01", addr)
	after := s.look("cent01")
	if after.Port == before.Port {
		t.Errorf("the port is %s as before: the restart proves nothing", after.Port)
	}
	if after.MAC != before.MAC {
		t.Errorf("hardware address %s, was %s", after.MAC, before.MAC)
	}
	s.await("cent02 to have its address again", func() bool {
		g := s.look("cent02")
		return g.State == control.Dynamic && g.Port != dynamic.Port
	})
	if have := s.look("cent02"); have.Configured[0] != dynamic.Configured[0] {
		t.Errorf("after its restart cent02 has %v, want %v as before", have.Configured, dynamic.Configured)
	}
	if have := s.must("ls"); strings.Count(have, "cent01") != 1 {
		t.Errorf("the guest is listed otherwise than once:\n%s", have)
	}
	// The new veth can be moved like the old one.
	s.must("pin", "cent01", "10.64.177.111", "--wait", "settled")
	s.mustHave("cent01", "10.64.177.111")
}

// TestContainerOfAProject has a container of the same name in two LXD projects: the one that is not in the
// default project is NAME.PROJECT.
func TestContainerOfAProject(t *testing.T) {
	const addr = "10.64.177.104"
	requireLXD(t)
	netnstest.Run(t, "lxc", "project", "create", "shop", "-c", "features.images=false", "-c", "features.profiles=false")
	t.Cleanup(func() { netnstest.Run(t, "lxc", "project", "delete", "shop") })
	netnstest.Run(t, "lxc", "launch", "deb", "cent01", "--project", "shop")
	t.Cleanup(func() { netnstest.Run(t, "lxc", "delete", "--force", "cent01", "--project", "shop") })
	s := serve(t, network, pinLine("cent01.shop", addr)+pinLine("cent01", "10.64.177.101"))
	netnstest.Run(t, "lxc", "restart", "--force", "cent01", "--project", "shop")

	g := s.awaitState("cent01.shop", control.Settled)
	if len(g.Configured) != 1 || g.Configured[0] != netip.MustParseAddr(addr) {
		t.Errorf("the container of the project has %v, want %s", g.Configured, addr)
	}
	if have := lookup(t, "cent01.shop.lxd"); have != addr {
		t.Errorf("DNS answers %q for it", have)
	}
	s.mustHave("cent01", "10.64.177.101")
	s.must("pin", "cent01.shop", "10.64.177.114", "--wait", "settled")
	if have := s.look("cent01.shop").Configured; len(have) != 1 || have[0].String() != "10.64.177.114" {
		t.Errorf("after the move it has %v", have)
	}
	s.mustHave("cent01", "10.64.177.101")
}
