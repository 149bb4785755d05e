package host_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

func TestApplyingTwiceSendsNoEvent(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	netnstest.Bridge(t, "old", "192.0.2.1/24")
	h, _ := newHost(t)
	nets := ipam.Networks{network("old", "10.64.177.1/24"), network("new", "10.64.178.1/24")}
	apply(t, h, nets...)

	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, group := range []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_NETCONF} {
		if err := conn.JoinGroup(group); err != nil {
			t.Fatal(err)
		}
	}
	for quiet := false; !quiet; { // what follows from the first Apply in the background
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Receive()
		quiet = errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !quiet {
			t.Fatal(err)
		}
	}
	if done := apply(t, h, nets...); done != nil {
		t.Errorf("did %q", done)
	}
	netnstest.Run(t, "ip", "link", "add", "marker", "type", "bridge") // events come in order: this one ends the wait
	t.Cleanup(func() { netnstest.Run(t, "ip", "link", "del", "marker") })
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for marker := linkIndex(t, "marker"); ; {
		messages, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			index := eventIndex(t, m)
			if index == marker && m.Header.Type == unix.RTM_NEWLINK {
				return
			}
			if index != marker {
				t.Errorf("event of type %d about interface %d before the marker's", m.Header.Type, index)
			}
		}
	}
}

const netconfIfindex = 1 // NETCONFA_IFINDEX of linux/netconf.h

// eventIndex is the interface that a link or netconf event is about, -1 for others.
func eventIndex(t *testing.T, m netlink.Message) int {
	t.Helper()
	switch m.Header.Type {
	case unix.RTM_NEWLINK:
		return int(binary.NativeEndian.Uint32(m.Data[4:]))
	case unix.RTM_NEWNETCONF:
		attrs, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			t.Fatal(err)
		}
		for attrs.Next() {
			if attrs.Type() == netconfIfindex {
				return int(attrs.Int32())
			}
		}
	}
	return -1
}

func linkIndex(t *testing.T, name string) int {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Index
}

func TestDriftIsNoticedAndMended(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	h, _ := newHost(t)
	nets := ipam.Networks{network("br0", "10.64.177.1/24")}
	apply(t, h, nets...)
	drift := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- h.Watch(t.Context(), drift) }()
	t.Cleanup(func() { // the context has ended by now
		if err := <-done; err != nil {
			t.Error("Watch:", err)
		}
	})
	for _, damage := range []struct{ name, command, cure string }{
		{"address gone", "ip addr del 10.64.177.1/24 dev br0", "add 10.64.177.1/24 to br0"},
		{"bridge gone", "ip link del br0", "add 10.64.177.1/24 to br0"},
		{"bridge made anew by another", "ip link del br0 && ip link add br0 type bridge", "bring br0 up"},
		{"link down", "ip link set br0 down", "bring br0 up"},
		{"forwarding off", "echo 0 > /proc/sys/net/ipv4/ip_forward", "set net.ipv4.ip_forward = 1 (was 0)"},
	} {
		netnstest.Run(t, "sh", "-c", damage.command)
		mended := time.After(2 * time.Second)
		for cured := false; !cured; { // a signal may be left over from the damage before
			select {
			case <-drift:
				cured = slices.Contains(apply(t, h, nets...), damage.cure)
			case <-mended:
				t.Fatalf("%s: not noticed within two seconds", damage.name)
			}
		}
	}
}

func TestAStormOfPortsIsNoDriftAndHidesNone(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	h, _ := newHost(t)
	nets := ipam.Networks{network("br0", "10.64.177.1/24")}
	apply(t, h, nets...)
	drift := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- h.Watch(t.Context(), drift) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error("Watch:", err)
		}
	})
	var batch string
	for i := range 60 {
		batch += fmt.Sprintf("link add p%d type veth peer name q%d\nlink set p%d master br0\nlink set p%d up\nlink del p%d\n", i, i, i, i, i)
	}
	ip := exec.Command("ip", "-batch", "-")
	in, err := ip.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ip.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = in.Write([]byte(batch))
	if err := errors.Join(err, in.Close(), ip.Wait()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-drift:
		t.Error("ports that come and go are called drift")
	default:
	}
	netnstest.Run(t, "ip", "link", "del", "br0")
	select {
	case <-drift:
	case <-time.After(2 * time.Second):
		t.Error("the bridge's end was not noticed after the storm")
	}
}
