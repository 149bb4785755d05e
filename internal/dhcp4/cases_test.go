package dhcp4

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

// The cases that interoperability suites for DHCPv4 servers are made of, each from the
// client's side: frames in, frames out.

// dora has a client take what it is offered, and returns the address.
func (w *world) dora(port int, c client) string {
	w.t.Helper()
	o := w.one(port, c.discover())
	if o.DHCPv4 == nil {
		w.t.Fatal("no OFFER")
	}
	a := w.one(port, c.selecting(o.YourIPAddr.String()))
	if a.DHCPv4 == nil || a.MessageType() != dhcpv4.MessageTypeAck || !a.YourIPAddr.Equal(o.YourIPAddr) {
		w.t.Fatalf("offered %s, then %s", o.YourIPAddr, a)
	}
	return a.YourIPAddr.String()
}

func TestCasePoolOfOneServesTheSecondAfterRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testNetwork()
		n.Range = ipam.Range{From: addr("10.0.0.100"), To: addr("10.0.0.100")}
		w := newWorld(t, n)
		w.dora(1, guest(1))
		if g := w.one(2, guest(2).discover()); g.DHCPv4 != nil {
			t.Fatalf("the second got %s", g)
		}
		if p := w.Problems(); len(p) != 1 || p[0].Text != "the range 10.0.0.100-10.0.0.100 of network br0 is full: no address for c2" || p[0].Hint == "" {
			t.Errorf("problems: %v", p)
		}
		w.ask(1, guest(1).release("10.0.0.100"))
		if got := w.dora(2, guest(2)); got != "10.0.0.100" {
			t.Errorf("the second got %s", got)
		}
		if p := w.Problems(); len(p) != 0 {
			t.Errorf("it is served, but: %v", p)
		}
	})
}

func TestCaseClientIdentifierAndNoHardwareAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		c := guest(1, withChaddr(ipam.MAC{}), withOption(optClientID, 0, 'x', 'y'))
		for _, g := range []got{w.one(1, c.discover()), w.one(1, c.selecting("10.0.0.100"))} {
			if g.YourIPAddr.String() != "10.0.0.100" || !bytes.Equal(g.GetOneOption(dhcpv4.OptionClientIdentifier), []byte{0, 'x', 'y'}) {
				t.Errorf("%s with option 61 %x", g, g.GetOneOption(dhcpv4.OptionClientIdentifier))
			}
			if g.dstMAC != mac(1) {
				t.Errorf("sent to %s, want where the frame came from", g.dstMAC)
			}
		}
		if r := w.book.get(ipam.ByName("c1")); r.addr != addr("10.0.0.100") {
			t.Errorf("c1 has %s", r.addr)
		}
	})
}

func TestCaseRequestToAnotherServerFreesTheOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		o := w.one(1, guest(1).discover(withAddr(optRequested, "10.0.0.120")))
		if g := w.one(1, guest(1).selecting("10.0.0.120", withAddr(optServerID, "10.0.0.2"))); g.DHCPv4 != nil {
			t.Fatalf("answered: %s", g)
		}
		if g := w.one(2, guest(2).discover(withAddr(optRequested, o.YourIPAddr.String()))); g.String() != "OFFER 10.0.0.120 to 10.0.0.120" {
			t.Errorf("another wished for it: %s", g)
		}
	})
}

func TestCaseInitReboot(t *testing.T) {
	const nakAll = "NAK 0.0.0.0 to 255.255.255.255 for all"
	tests := []struct {
		name          string
		authoritative bool
		known         bool
		asks          string
		want          string
	}{
		{"the right address", true, true, "10.0.0.150", "ACK 10.0.0.150 to 10.0.0.150"},
		{"a wrong one", true, true, "10.0.0.151", nakAll},
		{"one of another network", true, true, "192.168.7.7", nakAll},
		{"unknown client, authoritative", true, false, "10.0.0.150", "ACK 10.0.0.150 to 10.0.0.150"},
		{"unknown client, authoritative, outside the range", true, false, "10.0.0.7", nakAll},
		{"unknown client, authoritative, the gateway", true, false, "10.0.0.1", nakAll},
		{"unknown client, authoritative, broadcast", true, false, "10.0.0.255", nakAll},
		{"unknown client, authoritative, off-net", true, false, "192.168.7.7", nakAll},
		{"the right address, not authoritative", false, true, "10.0.0.150", "ACK 10.0.0.150 to 10.0.0.150"},
		{"a wrong one, not authoritative", false, true, "10.0.0.151", nakAll},
		{"unknown client, not authoritative", false, false, "10.0.0.150", "silence"},
		{"unknown client, not authoritative, off-net", false, false, "192.168.7.7", "silence"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := testNetwork()
				n.Authoritative = tt.authoritative
				w := newWorld(t, n)
				if tt.known {
					w.book.lease(ipam.ByName("c1"), "10.0.0.150")
				}
				if g := w.one(1, guest(1).rebooting(tt.asks)); g.String() != tt.want {
					t.Errorf("got %s, want %s", g, tt.want)
				}
			})
		})
	}
}

func TestCaseRequestThatNamesNoAddressIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.lease(ipam.ByName("c1"), "10.0.0.150")
		if all := w.ask(1, guest(1).broadcast(request)); len(all) != 0 || w.book.binds != 0 {
			t.Errorf("got %v, %d bindings", all, w.book.binds)
		}
	})
}

func TestCaseRenewAndRebindExtendTheLease(t *testing.T) {
	for name, ask := range map[string]func(client, string) []byte{
		"renew":  func(c client, a string) []byte { return c.renewing(a) },
		"rebind": func(c client, a string) []byte { return c.rebinding(a) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, testNetwork())
				a := w.dora(1, guest(1))
				before := w.book.get(ipam.ByName("c1")).expiry
				time.Sleep(30 * time.Minute)
				if g := w.one(1, ask(guest(1), a)); g.String() != "ACK "+a+" to "+a || g.dstMAC != mac(1) || g.ClientIPAddr.String() != a {
					t.Errorf("got %s with ciaddr %s", g, g.ClientIPAddr)
				}
				if after := w.book.get(ipam.ByName("c1")).expiry; after.Sub(before) != 30*time.Minute {
					t.Errorf("extended by %s, want 30m", after.Sub(before))
				}
			})
		})
	}
}

func TestCaseNAKFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.lease(ipam.ByName("c1"), "10.0.0.150")
		direct := w.one(1, guest(1).rebooting("10.0.0.151"))
		relayed := w.one(1, guest(1, withGiaddr("10.0.0.5")).rebooting("10.0.0.151", withOption(optRelay, 1, 1, 'p')))
		for _, g := range []got{direct, relayed} {
			if g.MessageType() != dhcpv4.MessageTypeNak || !g.ClientIPAddr.IsUnspecified() || !g.YourIPAddr.IsUnspecified() || !g.ServerIPAddr.IsUnspecified() {
				t.Errorf("%s: ciaddr %s, siaddr %s", g, g.ClientIPAddr, g.ServerIPAddr)
			}
			for _, code := range []byte{optLeaseTime, optT1, optT2, optMask, optRouter, optRequested, optMaxSize, optParameterList} {
				if g.Options.Has(dhcpv4.GenericOptionCode(code)) {
					t.Errorf("%s carries option %d (RFC 2131 table 3)", g, code)
				}
			}
			if g.ServerIdentifier().String() != "10.0.0.1" {
				t.Errorf("server identifier %s", g.ServerIdentifier())
			}
		}
		if direct.String() != "NAK 0.0.0.0 to 255.255.255.255 for all" || direct.IsBroadcast() {
			t.Errorf("direct: %s, flags %x", direct, direct.Flags)
		}
		if relayed.String() != "NAK 0.0.0.0 to 10.0.0.5" || relayed.dstPort != serverPort || !relayed.IsBroadcast() {
			t.Errorf("relayed: %s, port %d, flags %x (RFC 2131 §4.3.2)", relayed, relayed.dstPort, relayed.Flags)
		}
	})
}

func TestCaseDeclineQuarantinesTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(1, guest(1))
		if all := w.ask(1, guest(1).decline(a)); len(all) != 0 {
			t.Errorf("a DECLINE was answered: %v", all)
		}
		if other := w.dora(1, guest(1)); other == a {
			t.Error("offered again at once")
		}
		time.Sleep(time.Minute)
		if g := w.one(2, guest(2).discover(withAddr(optRequested, a))); g.YourIPAddr.String() == a {
			t.Error("offered to another within the probation")
		}
		time.Sleep(10 * time.Minute)
		if g := w.one(3, guest(3).discover(withAddr(optRequested, a))); g.YourIPAddr.String() != a {
			t.Errorf("after it: %s", g)
		}
	})
}

func TestCaseDeclineWithoutRightHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(1, guest(1))
		nested := client{mac: mac(77)}
		for name, f := range map[string]struct {
			port  int
			frame []byte
		}{
			"no server identifier":              {1, guest(1).broadcast(decline, withAddr(optRequested, a))},
			"no option 50":                      {1, guest(1).broadcast(decline, withAddr(optServerID, "10.0.0.1"))},
			"another server":                    {1, guest(1).decline(a, withAddr(optServerID, "10.0.0.2"))},
			"another port":                      {2, guest(2).decline(a)},
			"another port, the holder's chaddr": {2, guest(1).decline(a)},
			"another chaddr":                    {1, nested.decline(a)},
			"a nested client for its guest":     {1, client{mac: mac(1), via: mac(77)}.decline(a)},
			"the same as if by relay":           {1, client{mac: mac(1), via: mac(77)}.decline(a, withGiaddr("10.0.0.5"))},
		} {
			w.ask(f.port, f.frame)
			if len(w.book.quarantine) != 0 {
				t.Fatalf("%s: the address is out of use", name)
			}
		}
		if g := w.one(1, guest(1).renewing(a)); g.String() != "ACK "+a+" to "+a {
			t.Errorf("the holder: %s", g)
		}
	})
}

func TestCaseReleaseWithoutRightHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(1, guest(1))
		for name, f := range map[string]struct {
			port  int
			frame []byte
		}{
			"another port":                      {2, guest(2).release(a)},
			"another port, the holder's chaddr": {2, guest(1).release(a)},
			"another chaddr":                    {1, client{mac: mac(77)}.release(a)},
			"a nested client for its guest":     {1, client{mac: mac(1), via: mac(77)}.release(a)},
			"the same as if by relay":           {1, client{mac: mac(1), via: mac(77)}.release(a, withGiaddr("10.0.0.5"))},
			"another address":                   {1, guest(1).release("10.0.0.199")},
			"another server":                    {1, guest(1).release(a, withAddr(optServerID, "10.0.0.2"))},
			"no address":                        {1, guest(1).broadcast(release, withAddr(optServerID, "10.0.0.1"))},
		} {
			w.ask(f.port, f.frame)
			if w.book.get(ipam.ByName("c1")).idle {
				t.Fatalf("%s: released", name)
			}
		}
	})
}

func TestCaseReleaseThenDiscoverGivesTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(1, guest(1))
		w.ask(1, guest(1).release(a))
		if !w.book.get(ipam.ByName("c1")).idle {
			t.Fatal("not released")
		}
		if b := w.dora(2, guest(2)); b == a {
			t.Error("another got it though there are free ones")
		}
		if again := w.dora(1, guest(1)); again != a {
			t.Errorf("got %s, had %s", again, a)
		}
	})
}

func TestCaseInform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		wishes := withOption(optParameterList, optMask, optRouter, optDNS, optLeaseTime, optT1)
		direct := w.one(1, guest(1, wishes).unicast(inform, "10.0.0.9"))
		relayed := w.one(1, guest(1, wishes).unicast(inform, "10.0.0.9", withGiaddr("10.0.0.5")))
		for _, g := range []got{direct, relayed} {
			if g.MessageType() != dhcpv4.MessageTypeAck || !g.YourIPAddr.IsUnspecified() || g.ClientIPAddr.String() != "10.0.0.9" {
				t.Errorf("got %s, ciaddr %s", g, g.ClientIPAddr)
			}
			for _, code := range []byte{optLeaseTime, optT1, optT2} {
				if g.Options.Has(dhcpv4.GenericOptionCode(code)) {
					t.Errorf("%s carries option %d (RFC 2131 §4.3.5)", g, code)
				}
			}
			if g.Router()[0].String() != "10.0.0.1" || g.DNS()[0].String() != "10.0.0.1" {
				t.Errorf("%s lacks the parameters", g)
			}
		}
		if direct.String() != "ACK 0.0.0.0 to 10.0.0.9" || direct.dstMAC != mac(1) {
			t.Errorf("direct: %s", direct)
		}
		if relayed.String() != "ACK 0.0.0.0 to 10.0.0.5" || relayed.dstPort != serverPort {
			t.Errorf("relayed: %s port %d", relayed, relayed.dstPort)
		}
		if g := w.one(1, guest(1).unicast(inform, "10.0.0.9", withAddr(optServerID, "10.0.0.2"))); g.DHCPv4 != nil {
			t.Errorf("meant for another server: %s", g)
		}
		if w.book.binds != 0 {
			t.Error("an INFORM made a lease")
		}
	})
}

func TestCaseRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		info := []byte{1, 3, 'p', '0', '1', 5, 4, 10, 0, 0, 0, 11, 4, 10, 0, 0, 5}
		// The relay is guest 1; the client is known by its own hardware address behind it.
		c := client{mac: mac(50), via: mac(1), mods: []dhcpv4.Modifier{withGiaddr("192.168.1.1"), withOption(optRelay, info...)}}
		o := w.one(1, c.discover())
		if o.String() != "OFFER 10.0.0.100 to 192.168.1.1" || o.dstPort != serverPort || o.dstMAC != mac(1) {
			t.Fatalf("got %s at %s port %d", o, o.dstMAC, o.dstPort)
		}
		if o.ServerIdentifier().String() != "10.0.0.5" {
			t.Errorf("server identifier %s, want the relay's (RFC 5107 §4)", o.ServerIdentifier())
		}
		a := w.one(1, c.selecting("10.0.0.100", withAddr(optServerID, "10.0.0.5")))
		if a.String() != "ACK 10.0.0.100 to 192.168.1.1" {
			t.Fatalf("got %s", a)
		}
		if got := a.GetOneOption(dhcpv4.OptionRelayAgentInformation); !bytes.Equal(got, info) {
			t.Errorf("option 82 is %x, want it as it came", got)
		}
		if r := w.book.get(ipam.Holder{Guest: "c1", MAC: mac(50)}); r.addr != addr("10.0.0.100") {
			t.Errorf("stored for the client behind c1: %s", r.addr)
		}
		if g := w.one(1, guest(1).discover(withOption(optRelay, 1, 1, 'x'))); g.DHCPv4 != nil {
			t.Errorf("option 82 from a guest itself: %s (RFC 3046 §2.1)", g)
		}
		if g := w.one(1, c.discover(withOption(optRelay, 5, 4, 172, 16, 0, 0))); g.DHCPv4 != nil {
			t.Errorf("another's subnet: %s", g)
		}
	})
}

func TestCaseRelayOptionIsTheLast(t *testing.T) {
	var q query
	c := guest(1, withGiaddr("10.0.0.5"), withOption(optRelay, 1, 1, 'x'), withOption(optClientID, bytes.Repeat([]byte{7}, 200)...))
	if err := q.parse(c.discover()); err != nil {
		t.Fatal(err)
	}
	n := testNetwork()
	n.Options = []ipam.Option{{Code: 119, Data: bytes.Repeat([]byte{1}, 150)}, {Code: 252, Data: []byte("http://10.0.0.1/wpad.dat")}}
	var r reply
	r.compose(&q, n, &decision{reply: offer}, ipam.Entitlement{Addr: addr("10.0.0.100")}, time.Hour)
	b := make([]byte, ethernet)
	size := r.write(b, &q)
	codes, _ := walk(t, b[atOptions:size])
	if last := codes[len(codes)-1]; last != optRelay {
		t.Errorf("options %d, want 82 to be the last (RFC 3046 §2.1)", codes)
	}
	if size > minMaxSize-ipLen-udpLen {
		t.Errorf("%d bytes, the client takes %d", size, minMaxSize-ipLen-udpLen)
	}
}

func TestCaseReservations(t *testing.T) {
	tests := []struct {
		name string
		r    ipam.Range
		pin  string
	}{
		{"inside the range", testNetwork().Range, "10.0.0.120"},
		{"outside the range", testNetwork().Range, "10.0.0.20"},
		{"no range at all", ipam.Range{}, "10.0.0.20"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := testNetwork()
				n.Range = tt.r
				w := newWorld(t, n)
				w.book.pin(ipam.ByName("c1"), tt.pin)
				g := w.one(2, guest(2).discover(withAddr(optRequested, tt.pin)))
				if (g.DHCPv4 == nil) != tt.r.IsZero() || g.DHCPv4 != nil && g.YourIPAddr.String() == tt.pin {
					t.Errorf("an unknown client: %s", g)
				}
				if all := w.ask(2, guest(2).rebooting(tt.pin)); len(all) != 1 || all[0].MessageType() != dhcpv4.MessageTypeNak {
					t.Errorf("an unknown client that names it: %v", all)
				}
				if got := w.dora(1, guest(1)); got != tt.pin {
					t.Errorf("its guest has %s", got)
				}
				if p := w.Problems(); len(p) != 0 {
					t.Errorf("nothing is wrong, but: %v", p)
				}
			})
		})
	}
}

func TestCaseReservationOfAnAddressThatAnotherHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(2, guest(2))
		w.book.pin(ipam.ByName("c1"), a)
		if got := w.dora(1, guest(1)); got != a {
			t.Errorf("the pinned guest has %s, want %s", got, a)
		}
		g := w.one(2, guest(2).renewing(a))
		if g.DHCPv4 == nil || g.MessageType() != dhcpv4.MessageTypeAck || g.YourIPAddr.String() == a {
			t.Fatalf("the former holder: %s", g)
		}
		b := g.YourIPAddr.String()
		if g := w.one(2, guest(2).renewing(b)); g.String() != "ACK "+b+" to "+b {
			t.Errorf("then: %s", g)
		}
	})
}

func TestCaseReservationMovesWhileBound(t *testing.T) {
	for name, ask := range map[string]func(client, string) []byte{
		"renew":  func(c client, a string) []byte { return c.renewing(a) },
		"rebind": func(c client, a string) []byte { return c.rebinding(a) },
	} {
		for _, dhcpcd := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, testNetwork())
				w.book.pin(ipam.ByName("c1"), "10.0.0.20")
				c := guest(1)
				if dhcpcd {
					c = c.with(withOption(optNonce, 1))
				}
				w.dora(1, c)
				w.book.pin(ipam.ByName("c1"), "10.0.0.21")
				all := w.ask(1, ask(c, "10.0.0.20"))
				if !dhcpcd {
					if len(all) != 1 || all[0].String() != "ACK 10.0.0.21 to 10.0.0.20" {
						t.Errorf("%s: %v", name, all)
					}
					return
				}
				if len(all) != 2 || all[0].MessageType() != dhcpv4.MessageTypeNak {
					t.Errorf("%s: %v", name, all)
				}
				w.pipes[1].in <- c.discover()
				time.Sleep(nakPause)
				synctest.Wait()
				if got := w.replies(1); len(got) != 1 || got[0].String() != "OFFER 10.0.0.21 to 10.0.0.21" {
					t.Errorf("%s, NAK, then: %v", name, got)
				}
			})
		}
	}
}

func TestCaseSwapOfTwoReservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		one, two := ipam.ByName("c1"), ipam.ByName("c2")
		w.book.pin(one, "10.0.0.20")
		w.book.pin(two, "10.0.0.21")
		w.dora(1, guest(1))
		w.dora(2, guest(2))
		w.book.mu.Lock()
		w.book.pins = map[ipam.Holder]netip.Addr{one: addr("10.0.0.21"), two: addr("10.0.0.20")}
		w.book.mu.Unlock()
		for range 2 { // the second time each names what the other has
			if g := w.one(1, guest(1).renewing("10.0.0.20")); g.String() != "ACK 10.0.0.21 to 10.0.0.20" {
				t.Errorf("c1: %s", g)
			}
			if g := w.one(2, guest(2).renewing("10.0.0.21")); g.String() != "ACK 10.0.0.20 to 10.0.0.21" {
				t.Errorf("c2: %s", g)
			}
		}
		if g := w.one(1, guest(1).renewing("10.0.0.21")); g.String() != "ACK 10.0.0.21 to 10.0.0.21" {
			t.Errorf("c1 has settled: %s", g)
		}
	})
}

func TestCaseRapidCommitIsStoredBeforeTheACK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.disk = make(chan struct{})
		if all := w.ask(1, guest(1).discover(withOption(optRapidCommit))); len(all) != 0 {
			t.Fatalf("answered before it was stored: %v", all)
		}
		close(w.book.disk)
		synctest.Wait()
		all := w.replies(1)
		if len(all) != 1 || all[0].String() != "ACK 10.0.0.100 to 10.0.0.100" || !all[0].Options.Has(dhcpv4.GenericOptionCode(optRapidCommit)) {
			t.Fatalf("got %v", all)
		}
		if r := w.book.get(ipam.ByName("c1")); r.acked != addr("10.0.0.100") {
			t.Errorf("stored: %s", r.acked)
		}
	})
}

func TestCaseBroadcastFlagIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		c := guest(1, func(d *dhcpv4.DHCPv4) { d.SetBroadcast() })
		if g := w.one(1, c.discover()); g.String() != "OFFER 10.0.0.100 to 255.255.255.255 for all" || !g.IsBroadcast() {
			t.Errorf("got %s", g)
		}
		if g := w.one(1, c.selecting("10.0.0.100")); g.String() != "ACK 10.0.0.100 to 255.255.255.255 for all" {
			t.Errorf("got %s", g)
		}
		// RFC 2131 §4.1: ciaddr goes before the flag.
		if g := w.one(1, c.renewing("10.0.0.100")); g.String() != "ACK 10.0.0.100 to 10.0.0.100" {
			t.Errorf("got %s", g)
		}
	})
}
