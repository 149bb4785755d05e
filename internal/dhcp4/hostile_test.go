package dhcp4

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

// What a guest may try against its neighbours, the host and the operator's terminal.

// numbered is one of many hardware addresses.
func numbered(i int) ipam.MAC { return ipam.MAC{0x02, 1, byte(i >> 16), byte(i >> 8), byte(i), 9} }

func TestHostileFloodHurtsOnlyItsOwnPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.plugs.set(4, "c4", mac(4))
		w.pipes[4] = newPipe()
		w.pipes[4].in = make(chan []byte, 30_000)
		frame := guest(4).selecting("10.0.0.150", withAddr(optServerID, "10.0.0.2")) // costs work, has no answer
		for range 30_000 {
			w.pipes[4].in <- frame
		}
		w.AddPort(4, "veth4")
		synctest.Wait()
		if left := len(w.pipes[4].in); left < 20_000 {
			t.Errorf("%d of 30,000 were looked at in no time, at most a fifth of a second's worth may be", 30_000-left)
		}
		if g := w.one(2, guest(2).discover()); g.String() != "OFFER 10.0.0.100 to 10.0.0.100" {
			t.Errorf("the neighbour: %s", g)
		}
	})
}

func TestHostilePortThatFillsTheDiskQueueKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.disk = make(chan struct{})
		for i := range 500 {
			c := client{mac: numbered(i)}
			w.pipes[1].in <- c.discover(withOption(optRapidCommit))
		}
		synctest.Wait()
		if left := len(w.pipes[1].in); left < 500-maxWaiting-2 {
			t.Errorf("%d requests wait for the disk, at most %d may", 500-left, maxWaiting)
		}
		if g := w.one(2, guest(2).discover()); g.DHCPv4 == nil {
			t.Error("the neighbour gets no OFFER")
		}
		close(w.book.disk)
		synctest.Wait()
	})
}

func TestHostileManyHardwareAddressesLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork()) // a range of 100
		w.dora(1, guest(1))             // its own interface does not count
		served := map[string]bool{}
		for i := range 300 {
			if g := w.one(1, client{mac: numbered(i)}.discover(withOption(optRapidCommit))); g.DHCPv4 != nil {
				served[g.YourIPAddr.String()] = true
			}
		}
		if len(served) != 94 {
			t.Errorf("%d clients behind one port were served, want 100 less a sixteenth", len(served))
		}
		w.dora(2, guest(2))
		p := w.Problems()
		if len(p) != maxTroubled || !strings.Contains(p[0].Text, "port veth1") || !strings.Contains(p[0].Text, "94") || p[0].Code != ipam.CodeFull {
			t.Errorf("problems: %v", p)
		}
		// Those that have one keep it, and what runs out is had again.
		first := client{mac: numbered(0)}
		if g := w.one(1, first.renewing("10.0.0.101")); g.String() != "ACK 10.0.0.101 to 10.0.0.101" {
			t.Errorf("a client that has one: %s", g)
		}
		time.Sleep(time.Hour)
		if g := w.one(1, client{mac: numbered(999)}.discover()); g.DHCPv4 == nil {
			t.Error("an hour later, when the leases are over: no OFFER")
		}
		if p := w.Problems(); len(p) != 0 {
			t.Errorf("nobody asked for an hour, but: %v", p)
		}
	})
}

func TestHostileManyHardwareAddressesInALargeRangeAreWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testNetwork()
		n.Subnet = netip.MustParsePrefix("10.0.0.0/16")
		n.Range = ipam.Range{From: addr("10.0.1.0"), To: addr("10.0.15.255")}
		w := newWorld(t, n)
		const clients = 1000
		for i := range clients {
			w.dora(1, client{mac: numbered(i)})
		}
		if p := w.Problems(); len(p) != 0 {
			t.Errorf("problems: %v", p)
		}
		seen := map[netip.Addr]bool{}
		for i := range clients {
			seen[w.book.get(ipam.Holder{Guest: "c1", MAC: numbered(i)}).addr] = true
		}
		if len(seen) != clients {
			t.Errorf("%d addresses for %d clients", len(seen), clients)
		}
	})
}

func TestHostileLogIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		a := w.dora(1, guest(1))
		for range 500 {
			w.ask(1, guest(1).rebooting("192.168.1.1"))
			w.ask(1, guest(1).release(a))
			w.ask(1, guest(1).renewing(a))
		}
		if n := strings.Count(w.logs.String(), "level=INFO"); n < 50 || n > 150 {
			t.Errorf("%d lines of history", n)
		}
		before := strings.Count(w.logs.String(), "level=INFO")
		w.dora(2, guest(2))
		if strings.Count(w.logs.String(), "level=INFO") == before {
			t.Error("the neighbour's history is lost by it")
		}
	})
}

func TestHostileDeclinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		for range 60 {
			o := w.one(1, guest(1).discover())
			if o.DHCPv4 == nil {
				t.Fatal("no OFFER")
			}
			w.ask(1, guest(1).decline(o.YourIPAddr.String()))
		}
		if n := len(w.book.quarantine); n != 16 {
			t.Errorf("%d addresses are out of use, want 16", n)
		}
		if p := w.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "c1 declines") {
			t.Errorf("problems: %v", p)
		}
		time.Sleep(time.Minute)
		o := w.one(1, guest(1).discover())
		w.ask(1, guest(1).decline(o.YourIPAddr.String()))
		if n := len(w.book.quarantine); n != 17 {
			t.Errorf("a minute later %d, want 17", n)
		}
	})
}

func TestHostileIdentities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		victim := ipam.ByName("c2")
		w.book.pin(victim, "10.0.0.20")
		w.dora(2, guest(2))
		frames := map[string][]byte{
			"the victim's hardware address":              client{mac: mac(2)}.discover(),
			"the victim's chaddr from its own NIC":       client{mac: mac(2), via: mac(1)}.discover(),
			"the victim's name":                          guest(1, withText(optHostname, "c2")).discover(),
			"the victim's name in FQDN":                  guest(1, withOption(optFQDN, append([]byte{1, 0, 0}, "c2.lxd"...)...)).discover(),
			"the victim's client identifier":             guest(1, withOption(optClientID, 1, 2, 0, 0, 0, 0, 2)).discover(),
			"the victim's address as a wish":             guest(1).discover(withAddr(optRequested, "10.0.0.20")),
			"the victim's address rebooting":             guest(1).rebooting("10.0.0.20"),
			"the victim's address renewing":              guest(1).renewing("10.0.0.20"),
			"the victim's address and chaddr renewing":   client{mac: mac(2), via: mac(1)}.renewing("10.0.0.20"),
			"a relay that speaks for the victim":         client{mac: mac(2), via: mac(1)}.discover(withGiaddr("10.0.0.5")),
			"a relay that is the gateway":                client{mac: mac(2), via: mac(1)}.discover(withGiaddr("10.0.0.1")),
			"a relay that is the victim":                 client{mac: mac(2), via: mac(1)}.discover(withGiaddr("10.0.0.20")),
			"selecting the victim's address":             guest(1).selecting("10.0.0.20"),
			"rapid commit with the victim's address":     guest(1).discover(withOption(optRapidCommit), withAddr(optRequested, "10.0.0.20")),
			"releasing for the victim":                   client{mac: mac(2), via: mac(1)}.release("10.0.0.20"),
			"declining for the victim":                   client{mac: mac(2), via: mac(1)}.decline("10.0.0.20"),
			"informing as the victim":                    client{mac: mac(2), via: mac(1)}.unicast(inform, "10.0.0.20"),
			"with a source address that is the victim's": guest(1).frame("10.0.0.20", "255.255.255.255", everyMAC, guest(1).message(discover)),
		}
		for name, f := range frames {
			for _, g := range w.ask(1, f) { // w.ask fails the test when anything comes out of another port
				if g.YourIPAddr.String() == "10.0.0.20" {
					t.Errorf("%s: %s", name, g)
				}
			}
			time.Sleep(nakMemory)
			synctest.Wait()
			w.replies(1)
		}
		if r := w.book.get(victim); r.addr != addr("10.0.0.20") || r.idle || len(w.book.quarantine) > 0 {
			t.Errorf("the victim's lease became %+v, quarantine %v", r, w.book.quarantine)
		}
		if g := w.one(2, guest(2).renewing("10.0.0.20")); g.String() != "ACK 10.0.0.20 to 10.0.0.20" {
			t.Errorf("the victim: %s", g)
		}
	})
}

func TestHostileNamesReachNoTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		evil := "\x1b]0;owned\x07\n\r\x00\u202eroot"
		c := guest(1, withText(optHostname, evil), withText(optVendor, evil), withText(optClientID, evil), withText(optFQDN, "\x01\x00\x00"+evil), withText(optText, evil), withText(77, evil))
		a := w.dora(1, c)
		w.ask(1, c.decline(a))
		w.ask(1, c.rebooting("10.0.0.7"))
		for _, bad := range []string{"\x1b", "owned", "\u202e", "\x07"} {
			if strings.Contains(w.logs.String(), bad) {
				t.Errorf("the log shows %q", bad)
			}
		}
		g := w.one(2, guest(2, withText(optHostname, evil)).discover(withOption(optRapidCommit)))
		if h := g.HostName(); h != "c2" {
			t.Errorf("it was told to be called %q", h)
		}
	})
}

func TestHostileMessagesGetNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		change := func(at int, v ...byte) []byte {
			f := guest(1).discover()
			copy(f[headersLen+at:], v)
			return f
		}
		frames := map[string][]byte{
			"nothing":                    {},
			"an Ethernet header":         guest(1).discover()[:14],
			"half a message":             guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, guest(1).message(discover)[:120]),
			"a reply":                    change(0, 2),
			"255 hops":                   change(3, 255),
			"overload in a circle":       guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, overloaded([]byte{53, 1, 1, 52, 1, 4, 255}, nil, nil)),
			"truncated options":          guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, raw(53, 1, 1, 61, 200, 1)),
			"an identifier of 1,000":     guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, raw(append([]byte{53, 1, 1}, bytes.Repeat(append([]byte{61, 250}, make([]byte, 250)...), 4)...)...)),
			"for another host":           guest(1).frame("10.0.0.9", "10.0.0.10", mac(9), guest(1).message(discover)),
			"broadcast to a unicast MAC": guest(1).frame("0.0.0.0", "255.255.255.255", mac(9), guest(1).message(discover)),
			"relay information":          guest(1).discover(withOption(optRelay, 1, 1, 'x')),
			"relay of another network":   guest(1).discover(withGiaddr("203.0.113.1")),
			"chaddr of everyone":         guest(1).discover(withChaddr(everyMAC)),
		}
		for name, f := range frames {
			if all := w.ask(1, f); len(all) != 0 {
				t.Errorf("%s: %v", name, all)
			}
		}
		if g := w.one(1, guest(1).discover()); g.DHCPv4 == nil {
			t.Error("and after all that a good one is not answered")
		}
	})
}

func TestHostileLifetimeOfThirtyYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		g := w.one(1, guest(1).discover(withOption(optRapidCommit), withOption(optLeaseTime, 0xff, 0xff, 0xff, 0xfe)))
		if g.IPAddressLeaseTime(0) != time.Hour || w.book.get(ipam.ByName("c1")).leaseTime != time.Hour {
			t.Errorf("lease time %s", g.IPAddressLeaseTime(0))
		}
	})
}

func TestHostileClonesWithOneClientIdentifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		same := withOption(optClientID, 0xff, 1, 1, 1, 1, 0, 2, 0, 0, 0xab, 0x11, 9, 9)
		a, b := w.dora(1, guest(1, same)), w.dora(2, guest(2, same))
		if a == b {
			t.Fatalf("both have %s", a)
		}
		if g := w.one(1, guest(1, same).rebinding(a)); g.String() != "ACK "+a+" to "+a {
			t.Errorf("the first, after the second came: %s", g)
		}
	})
}

func TestDiskThatFailsGivesNoACKButAProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.bindErr = errDisk
		if all := w.ask(1, guest(1).discover(), guest(1).selecting("10.0.0.100")); len(all) != 1 || all[0].MessageType() != dhcpv4.MessageTypeOffer {
			t.Errorf("got %v", all)
		}
		for range 3 { // also while it is offered one
			w.ask(1, guest(1).discover())
			if p := w.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "c1") || !strings.Contains(p[0].Text, errDisk.Error()) || p[0].Hint == "" {
				t.Errorf("problems: %v", p)
			}
		}
		if n := strings.Count(w.logs.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings for one trouble", n)
		}
		w.book.mu.Lock()
		w.book.bindErr = &ipam.Problem{Code: ipam.CodeFull, Text: "the disk of /var/lib/berth is full", Hint: "df -h /var/lib/berth"}
		w.book.mu.Unlock()
		w.ask(1, guest(1).selecting("10.0.0.100"))
		if p := w.Problems(); len(p) != 1 || p[0].Text != "DHCP does not answer c1: the disk of /var/lib/berth is full" || p[0].Hint != "df -h /var/lib/berth" {
			t.Errorf("problems: %v", p)
		}
		w.book.mu.Lock()
		w.book.bindErr = nil
		w.book.mu.Unlock()
		w.one(1, guest(1).selecting("10.0.0.100"))
		if p := w.Problems(); len(p) != 0 {
			t.Errorf("it is served, but: %v", p)
		}
	})
}

func TestProblemsOfTheBridgeAndOfPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.pipes[9] = newPipe()
		w.gone.Store(true)
		w.AddPort(9, "veth9")
		var texts []string
		for _, p := range w.Problems() {
			texts = append(texts, p.Text)
			if p.Hint == "" || p.Code == "" {
				t.Errorf("%q has no hint or no code", p.Text)
			}
		}
		if want := []string{"DHCP on port veth9: no such device", "there is no bridge br0 to serve DHCP on"}; !slices.Equal(texts, want) {
			t.Errorf("problems %q, want %q", texts, want)
		}
		w.gone.Store(false)
		time.Sleep(lookInterval)
		synctest.Wait()
		if p := w.Problems(); len(p) != 0 {
			t.Errorf("mended, but: %v", p)
		}
	})
}

func TestPort67IsTakenAgainWhenTheOtherServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		index, taken := 1000, true
		w.Server.mu.Lock()
		w.bridgeOf = func(string) (int, ipam.MAC, error) { return index, bridgeMAC, nil }
		w.listen = func(string) (io.Closer, error) {
			if taken {
				return nil, takenProblem("br0", []owner{{pid: 7, comm: "dnsmasq"}}, nil)
			}
			return nopCloser{}, nil
		}
		index = 1001 // the bridge was made anew, and dnsmasq was faster
		w.Server.mu.Unlock()
		w.SetNetwork(w.net)
		if p := w.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "dnsmasq (process 7)") {
			t.Fatalf("problems: %v", p)
		}
		if g := w.one(1, guest(1).discover()); g.DHCPv4 == nil {
			t.Error("guests are not served meanwhile")
		}
		w.Server.mu.Lock()
		taken = false
		w.Server.mu.Unlock()
		time.Sleep(lookInterval)
		synctest.Wait()
		if p := w.Problems(); len(p) != 0 {
			t.Errorf("it is ours again, but: %v", p)
		}
		if n := strings.Count(w.logs.String(), "not ours"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

func TestTakenProblemSaysWhoAndWhatToType(t *testing.T) {
	tests := []struct {
		owners     []owner
		text, hint string
	}{
		{nil, "UDP port 67 on br0 is taken by another program", "find it with: ss -ulnp 'sport = 67'"},
		{[]owner{{pid: 12, comm: "dnsmasq", unit: "lxc-net.service"}}, "UDP port 67 on br0 is taken by dnsmasq (process 12)", "stop it: systemctl disable --now lxc-net.service"},
		{[]owner{{pid: 12, comm: "kea-dhcp4"}, {pid: 13, comm: "dnsmasq"}}, "UDP port 67 on br0 is taken by kea-dhcp4 (process 12), or dnsmasq (process 13)", "see which serves br0: ss -ulnp"},
		{[]owner{{pid: 12, comm: "berth"}}, "UDP port 67 on br0 is taken by berth (process 12)", "berth status"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.owners), func(t *testing.T) {
			p := takenProblem("br0", tt.owners, nil)
			if p.Text != tt.text || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("%q, hint %q", p.Text, p.Hint)
			}
		})
	}
}
