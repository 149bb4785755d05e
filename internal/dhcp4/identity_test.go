package dhcp4

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

func TestIdentify(t *testing.T) {
	const port = 1
	tests := []struct {
		name   string
		guest  string
		nic    ipam.MAC
		frame  []byte
		others map[int]Source
		want   ipam.Holder
		pin    ipam.MAC
		err    error
	}{
		{"a guest on its own interface", "c1", mac(1), guest(1).discover(), nil, ipam.ByName("c1"), mac(1), nil},
		{"a guest that calls itself another's name", "c1", mac(1), guest(1, withText(optHostname, "c2")).discover(), nil, ipam.ByName("c1"), mac(1), nil},
		{"a second NIC", "c1:eth1", mac(1), guest(1).discover(), nil, ipam.ByName("c1:eth1"), mac(1), nil},
		{"a nested client", "c1", mac(1), guest(50).discover(), nil, ipam.Holder{Guest: "c1", MAC: mac(50)}, mac(50), nil},
		{"a nested client with a neighbour's hardware address", "c1", mac(1), guest(2).discover(), map[int]Source{2: {NIC: mac(2)}}, ipam.Holder{Guest: "c1", MAC: mac(2)}, ipam.MAC{}, nil},
		{"a relay in the guest", "c1", mac(1), client{mac: mac(50), via: mac(1)}.discover(withGiaddr("10.0.0.5")), nil, ipam.Holder{Guest: "c1", MAC: mac(50)}, mac(50), nil},
		{"no hardware address in the message", "c1", mac(1), guest(1, withChaddr(ipam.MAC{})).discover(), nil, ipam.ByName("c1"), mac(1), nil},
		{"interface not known, speaks for itself", "c1", ipam.MAC{}, guest(1).discover(), nil, ipam.ByName("c1"), mac(1), nil},
		{"interface not known, a relay", "c1", ipam.MAC{}, client{mac: mac(50), via: mac(1)}.discover(withGiaddr("10.0.0.5")), nil, ipam.Holder{Guest: "c1", MAC: mac(50)}, mac(50), nil},
		{"interface not known, a neighbour's hardware address", "c1", ipam.MAC{}, guest(2).discover(), map[int]Source{2: {NIC: mac(2)}}, ipam.Holder{Guest: "c1", MAC: mac(2)}, ipam.MAC{}, nil},
		{"nobody can name it", "", mac(1), guest(1, withText(optHostname, "c7")).discover(), nil, ipam.ByMAC(mac(1)), mac(1), nil},
		{"nobody can name it, and it uses a neighbour's", "", mac(1), guest(2).discover(), map[int]Source{2: {Guest: "c2", NIC: mac(2)}}, ipam.ByMAC(mac(2)), ipam.MAC{}, errImpostor},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ports := &plugs{sources: map[int]Source{port: {Guest: tt.guest, NIC: tt.nic, PortIndex: port}}}
			for i, s := range tt.others {
				ports.sources[i] = s
			}
			n := testNetwork()
			ids := identities{ports: ports}
			var q query
			if err := q.parse(tt.frame); err != nil {
				t.Fatal(err)
			}
			var c ipam.Client
			if err := ids.identify(&q, ports.sources[port], n, newBook(n), &c); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if c.Holder != tt.want || c.PinMAC != tt.pin {
				t.Errorf("%s with pins of %s; want %s with %s", c.Holder, c.PinMAC, tt.want, tt.pin)
			}
		})
	}
}

// trusting is a world where port 4 is one that nobody can name, and host names count.
func trusting(t *testing.T) *world {
	n := testNetwork()
	n.TrustHostname = true
	w := newWorld(t, n)
	w.plug(4, "", mac(4))
	w.plug(5, "", mac(5))
	return w
}

func TestTrustedHostnames(t *testing.T) {
	named := func(n byte, name string) client { return guest(n, withText(optHostname, name)) }
	tests := []struct {
		name string
		ask  func(w *world) got
		want string // yiaddr
	}{
		{"it has the pin of its name", func(w *world) got { return w.one(4, named(4, "vm1").discover()) }, "10.0.0.40"},
		{"case and domain do not count", func(w *world) got { return w.one(4, named(4, "VM1.example.org").discover()) }, "10.0.0.40"},
		{"the name of a guest that is plugged in does not count", func(w *world) got { return w.one(4, named(4, "c2").discover()) }, "10.0.0.100"},
		{"a name that is none does not count", func(w *world) got { return w.one(4, named(4, "vm1\x00:eth0").discover()) }, "10.0.0.100"},
		{"a second NIC can not be claimed", func(w *world) got { return w.one(4, named(4, "vm1:eth1").discover()) }, "10.0.0.100"},
		{"a guest that can be named is who it is", func(w *world) got { return w.one(1, named(1, "vm1").discover()) }, "10.0.0.100"},
		{"a nested client is no guest", func(w *world) got { return w.one(1, client{mac: mac(60)}.discover(withText(optHostname, "vm1"))) }, "10.0.0.100"},
		{"a renewal need not repeat it", func(w *world) got {
			w.one(4, named(4, "vm1").discover())
			return w.one(4, guest(4).rebooting("10.0.0.40"))
		}, "10.0.0.40"},
		{"a renewal after a restart of the server neither", func(w *world) got {
			w.book.lease(ipam.ByName("vm1"), "10.0.0.40")
			return w.one(4, guest(4).renewing("10.0.0.40"))
		}, "10.0.0.40"},
		{"who came first keeps it", func(w *world) got {
			w.one(4, named(4, "vm1").discover())
			return w.one(5, named(5, "vm1").discover())
		}, "10.0.0.100"},
		{"until it was silent for one and a half leases", func(w *world) got {
			w.one(4, named(4, "vm1").discover())
			time.Sleep(90*time.Minute + time.Second)
			return w.one(5, named(5, "vm1").discover())
		}, "10.0.0.40"},
		{"or its port is gone", func(w *world) got {
			w.one(4, named(4, "vm1").discover())
			w.RemovePort(4)
			synctest.Wait()
			return w.one(5, named(5, "vm1").discover())
		}, "10.0.0.40"},
		{"or it calls itself something else", func(w *world) got {
			w.one(4, named(4, "vm1").discover())
			w.one(4, named(4, "vm2").discover())
			return w.one(5, named(5, "vm1").discover())
		}, "10.0.0.40"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := trusting(t)
				w.book.pin(ipam.ByName("vm1"), "10.0.0.40")
				w.book.pin(ipam.ByName("c2"), "10.0.0.20")
				if g := tt.ask(w); g.DHCPv4 == nil || g.YourIPAddr.String() != tt.want {
					t.Errorf("got %s, want %s", g, tt.want)
				}
			})
		})
	}
}

func TestHostnamesDoNotCountWithoutTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.plug(4, "", mac(4))
		w.book.pin(ipam.ByName("vm1"), "10.0.0.40")
		if g := w.one(4, guest(4, withText(optHostname, "vm1")).discover()); g.YourIPAddr.String() != "10.0.0.100" {
			t.Errorf("got %s", g)
		}
	})
}

func TestPinsByHardwareAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.pin(ipam.ByMAC(mac(50)), "10.0.0.50") // a nested client's
		w.book.pin(ipam.ByMAC(mac(2)), "10.0.0.52")  // guest c2's own
		if got := w.dora(1, client{mac: mac(50)}); got != "10.0.0.50" {
			t.Errorf("the nested client has %s", got)
		}
		if got := w.dora(2, guest(2)); got != "10.0.0.52" {
			t.Errorf("c2 has %s", got)
		}
		if g := w.one(1, client{mac: mac(2)}.discover()); g.YourIPAddr.String() == "10.0.0.52" {
			t.Errorf("who uses c2's hardware address elsewhere: %s", g)
		}
		// c3 gives its own interface the hardware address of c2, which came first.
		w.plugs.set(3, "c3", mac(2))
		if g := w.one(3, guest(2).discover()); g.YourIPAddr.String() == "10.0.0.52" {
			t.Errorf("c3 with c2's hardware address: %s", g)
		}
		if g := w.one(2, guest(2).renewing("10.0.0.52")); g.String() != "ACK 10.0.0.52 to 10.0.0.52" {
			t.Errorf("c2: %s", g)
		}
		// When c2 is unplugged the address is free to be used.
		w.plugs.mu.Lock()
		delete(w.plugs.sources, 2)
		w.plugs.mu.Unlock()
		w.RemovePort(2)
		if g := w.one(3, guest(2).discover()); g.YourIPAddr.String() != "10.0.0.52" {
			t.Errorf("c3, after c2 is gone: %s", g)
		}
	})
}

func TestGuestThatAsksBeforeItIsKnownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.pin(ipam.ByName("c9"), "10.0.0.90")
		w.pipes[9] = newPipe()
		w.AddPort(9, "veth9")
		w.pipes[9].in <- guest(9).discover()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if all := w.replies(9); len(all) != 0 {
			t.Fatalf("answered nobody: %v", all)
		}
		w.plugs.set(9, "c9", mac(9))
		time.Sleep(sourceInterval)
		synctest.Wait()
		if all := w.replies(9); len(all) != 1 || all[0].String() != "OFFER 10.0.0.90 to 10.0.0.90" {
			t.Errorf("once it is known: %v", all)
		}
		// One that never is gets nothing, and is looked at again each time.
		w.pipes[10] = newPipe()
		w.AddPort(10, "veth10")
		w.pipes[10].in <- guest(10).discover()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if all := w.replies(10); len(all) != 0 {
			t.Errorf("nobody knows who it is: %v", all)
		}
	})
}

func TestServerStopsWhileAnswersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork()) // its cleanup waits for Run to return
		w.book.disk = make(chan struct{})
		for i := range 3 * maxWaiting {
			w.pipes[1].in <- client{mac: numbered(i)}.discover(withOption(optRapidCommit))
		}
		w.pipes[2].in <- guest(2).rebooting("192.168.1.1")
		w.pipes[2].in <- guest(2).discover() // waits after the NAK
		synctest.Wait()
	})
}

func TestSetNetworkIsInForceForTheNextPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(1, guest(1))
		n := testNetwork()
		n.LeaseTime, n.Domain = 5*time.Minute, "example"
		n.Options = []ipam.Option{{Code: 42, Data: []byte{10, 0, 0, 1}}}
		w.SetNetwork(n)
		g := w.one(1, guest(1, withOption(optParameterList, optDomain, 42)).renewing(a))
		if g.IPAddressLeaseTime(0) != 5*time.Minute || g.DomainName() != "example" || !g.Options.Has(dhcpv4.OptionNTPServers) {
			t.Errorf("got %s", g.Summary())
		}
	})
}
