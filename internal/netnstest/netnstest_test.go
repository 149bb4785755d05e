package netnstest_test

import (
	"strings"
	"testing"

	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

func TestGuestsOfABridgeReachEachOther(t *testing.T) {
	netnstest.Require(t, "ip", "ping", "nsenter")
	netnstest.Bridge(t, "br0", "10.9.0.1/24")
	a := netnstest.AddGuest(t, "br0", "a", "02:00:00:00:00:0a")
	b := netnstest.AddGuest(t, "br0", "b", "")
	a.Run(t, "ip", "addr", "add", "10.9.0.10/24", "dev", "eth0")
	b.Run(t, "ip", "addr", "add", "10.9.0.11/24", "dev", "eth0")
	b.Run(t, "ping", "-c1", "-W2", "10.9.0.10")
	if out := a.Run(t, "ip", "link", "show", "eth0"); !strings.Contains(out, "02:00:00:00:00:0a") {
		t.Errorf("hardware address not set:\n%s", out)
	}
}

func TestNothingOfTheMachineIsVisible(t *testing.T) {
	netnstest.Require(t, "ip")
	if out := netnstest.Run(t, "ip", "-br", "link"); strings.Count(out, "\n") != 1 {
		t.Errorf("want only the loopback, have:\n%s", out)
	}
}
