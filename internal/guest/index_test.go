package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"testing"
	"time"

	"berth/internal/netnstest"
)

func TestPlainNamespaceIsKnownByItsFile(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "early", "02:00:00:00:00:01")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "early")
	netnstest.AddGuest(t, "br0", "late", "02:00:00:00:00:02")
	awaitNames(t, x, "early", "late")

	g, ok := x.ByName("br0", "late")
	if !ok {
		t.Fatal("not found by name")
	}
	want := Guest{
		Name: "late", MAC: mustMAC(t, "02:00:00:00:00:02"), NIC: "eth0", NICIndex: g.NICIndex,
		Port: "vlate", PortIndex: indexOf(t, "vlate"), Bridge: "br0", Runtime: RuntimeNetns,
		Namespace: Namespace{Inode: g.Namespace.Inode, Path: "/run/netns/late"},
	}
	if g != want {
		t.Errorf("have %+v\nwant %+v", g, want)
	}
	if again, ok := x.ByPort(want.PortIndex); !ok || again != g {
		t.Errorf("by port: %+v, %v", again, ok)
	}
	netnstest.Run(t, "ip", "link", "del", "vearly")
	awaitNames(t, x, "late")
}

func TestSecondInterfaceIsNamedAfterItself(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.Bridge(t, "br1", "")
	web := netnstest.AddGuest(t, "br0", "web", "")
	web.Plug(t, "br0", "vweb1", "eth1", "")
	web.Plug(t, "br1", "vweb2", "eth2", "")
	x := newTestIndex(t, nil, "br0", "br1")
	awaitNames(t, x, "web", "web:eth1", "web")
	if g, _ := x.ByName("br0", "web"); g.Port != "vweb" {
		t.Errorf("the first interface is on port %s, want vweb", g.Port)
	}
	if g, _ := x.ByName("br1", "web"); g.Port != "vweb2" {
		t.Errorf("the one on the other bridge is on port %s, want vweb2", g.Port)
	}
	// Names inside belong to the guest; one that is no name is not taken over.
	web.Run(t, "ip", "link", "set", "eth1", "down")
	web.Run(t, "ip", "link", "set", "eth1", "name", "e+h")
	if _, err := x.Refresh(t.Context(), indexOf(t, "vweb1")); err != nil {
		t.Fatal(err)
	}
	awaitNames(t, x, "web", "", "web")
	if len(x.Warnings()) != 1 {
		t.Errorf("warnings: %v", x.Warnings())
	}
}

func TestPortsThatNobodyCanName(t *testing.T) {
	netnstest.Require(t, "ip")
	netnstest.RequireRealRoot(t) // for /dev/net/tun
	netnstest.Bridge(t, "br0", "")
	netnstest.Run(t, "ip", "tuntap", "add", "tap0", "mode", "tap")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "tap0").Run() })
	netnstest.Run(t, "ip", "link", "set", "tap0", "master", "br0")
	netnstest.Run(t, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "near").Run() })
	netnstest.Run(t, "ip", "link", "set", "near", "master", "br0")
	x := newTestIndex(t, nil, "br0")
	for _, port := range []string{"tap0", "near"} {
		index := indexOf(t, port)
		g, err := x.Resolve(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Guest{Port: port, PortIndex: index, Bridge: "br0"}); g != want {
			t.Errorf("have %+v\nwant %+v", g, want)
		}
	}
	if _, err := x.Resolve(t.Context(), 1); err != ErrNoPort {
		t.Errorf("the loopback: %v", err)
	}
}

func TestPeerMovedInsideLater(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	x := newTestIndex(t, nil, "br0")
	netnstest.Run(t, "ip", "netns", "add", "web")
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", "web").Run() })
	netnstest.Run(t, "ip", "link", "add", "vweb", "type", "veth", "peer", "name", "tmp0")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "vweb").Run() })
	netnstest.Run(t, "ip", "link", "set", "vweb", "master", "br0")
	awaitNames(t, x, "")
	netnstest.Run(t, "ip", "link", "set", "tmp0", "netns", "web")
	awaitNames(t, x, "web")
}

func TestPortsFollowTheirBridge(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.Bridge(t, "br1", "")
	netnstest.AddGuest(t, "br0", "web", "")
	x := newTestIndex(t, nil, "br0", "br1")
	awaitNames(t, x, "web")
	events, stop := x.Watch()
	defer stop()
	netnstest.Run(t, "ip", "link", "set", "vweb", "master", "br1")
	await(t, x, "web on br1", func([]Guest) bool { _, ok := x.ByName("br1", "web"); return ok })
	if _, ok := x.ByName("br0", "web"); ok {
		t.Error("still on br0")
	}
	if e := <-events; e.Kind != Removed || e.Guest.Bridge != "br0" {
		t.Errorf("first event %+v", e)
	}
	netnstest.Run(t, "ip", "link", "set", "vweb", "nomaster")
	awaitNames(t, x)

	// The bridge goes and comes back with another ifindex.
	netnstest.Run(t, "ip", "link", "del", "br0")
	netnstest.Bridge(t, "br0", "")
	netnstest.Run(t, "ip", "link", "set", "vweb", "master", "br0")
	awaitNames(t, x, "web")
	x.SetBridges("br1")
	awaitNames(t, x)
}

func TestHardwareAddressChangedInside(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	web := netnstest.AddGuest(t, "br0", "web", "02:00:00:00:00:01")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	web.Run(t, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
	g, err := x.Refresh(t.Context(), indexOf(t, "vweb"))
	if err != nil {
		t.Fatal(err)
	}
	if g.MAC != mustMAC(t, "02:00:00:00:00:99") {
		t.Errorf("have %s", g.MAC)
	}
}

func TestHardwareAddressOfAnotherGuest(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.Bridge(t, "br1", "")
	netnstest.AddGuest(t, "br0", "web", "02:00:00:00:00:01")
	netnstest.AddGuest(t, "br0", "shop", "02:00:00:00:00:02")
	netnstest.AddGuest(t, "br0", "twin", "02:00:00:00:00:02")
	netnstest.AddGuest(t, "br1", "far", "02:00:00:00:00:03")
	x := newTestIndex(t, nil, "br0", "br1")
	awaitNames(t, x, "shop", "twin", "web", "far")
	cases := []struct {
		mac, port string
		want      bool
	}{
		{"02:00:00:00:00:01", "vweb", false},
		{"02:00:00:00:00:01", "vshop", true},
		{"02:00:00:00:00:02", "vweb", true},
		{"02:00:00:00:00:02", "vshop", true}, // the twin has it too
		{"02:00:00:00:00:03", "vweb", false}, // on another bridge
		{"02:00:00:00:00:09", "vweb", false},
	}
	for _, c := range cases {
		if have := x.ElsewhereMAC(mustMAC(t, c.mac), indexOf(t, c.port)); have != c.want {
			t.Errorf("%s on another port than %s: %v", c.mac, c.port, have)
		}
	}
	if x.ElsewhereMAC(mustMAC(t, "02:00:00:00:00:01"), 1) {
		t.Error("asked for no port of ours")
	}
}

func TestStateIsRightAfterEventsWereLost(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	log := &overflowLog{t: t, seen: make(chan struct{}, 1)}
	x := newTestIndex(t, func(x *Index) { x.buffer = 1; x.log = log.logger() }, "br0")
	cyclePorts(t, 600)
	netnstest.AddGuest(t, "br0", "web", "")
	awaitNames(t, x, "web")
	select {
	case <-log.seen:
	case <-time.After(10 * time.Second):
		t.Error("no event was lost: the test shows nothing")
	}
}

func TestResolveFindsAtOnceWhatNoEventTold(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	x := newTestIndex(t, nil, "br0")
	for i := range 20 {
		name := fmt.Sprintf("g%d", i)
		netnstest.AddGuest(t, "br0", name, "")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		g, err := x.Resolve(ctx, indexOf(t, "v"+name))
		cancel()
		if err != nil || g.Name != name {
			t.Fatalf("%s: %+v, %v", name, g, err)
		}
	}
}

func TestBrokenSubscriptionIsRenewed(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	x := NewIndex(slog.New(slog.NewTextHandler(testWriter{t}, nil)))
	x.SetBridges("br0")
	conn, err := x.subscribe()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { x.listen(ctx, conn) })
	group.Go(func() { x.work(ctx) })
	defer group.Wait()
	defer cancel()
	netnstest.AddGuest(t, "br0", "web", "")
	awaitNames(t, x, "web")
	netnstest.Run(t, "ip", "link", "del", "vweb")
	awaitNames(t, x)
}

func TestFloodOfLooksIsAnsweredFromMemory(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "web", "")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	index := indexOf(t, "vweb")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5000 {
				g, err := x.Refresh(t.Context(), index)
				if err != nil || g.Name != "web" {
					t.Errorf("%+v, %v", g, err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := testing.AllocsPerRun(1000, func() { _, _ = x.Resolve(t.Context(), index) }); n > 0 {
		t.Errorf("Resolve of a known guest allocates %v times", n)
	}
}

func TestResolveGivesUpWithItsContext(t *testing.T) {
	x := NewIndex(slog.New(slog.DiscardHandler)) // not running: nobody answers
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Resolve(ctx, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
}
