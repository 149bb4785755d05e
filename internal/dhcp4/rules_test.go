package dhcp4

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

// The ten rules for what a server says to a client whose address was changed under it. Each
// was found with real clients; the names say which client suffers otherwise.

// settling is a world where guest c1 was bound to OLD and then pinned to NEW.
func settling(t *testing.T) *world {
	w := newWorld(t, testNetwork())
	w.book.lease(ipam.ByName("c1"), oldAddr)
	w.book.pin(ipam.ByName("c1"), newAddr)
	return w
}

const oldAddr, newAddr = "10.0.0.150", "10.0.0.50"

func TestRule1SelectingGoesByOption50AndIgnoresStaleCiaddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		// NetworkManager after a NAK: DISCOVER and REQUEST both with ciaddr = OLD.
		nm := guest(1, withCiaddr(oldAddr))
		if g := w.one(1, nm.discover()); g.String() != "OFFER 10.0.0.50 to 10.0.0.50" {
			t.Errorf("DISCOVER: %s", g)
		}
		g := w.one(1, nm.selecting(newAddr))
		if g.String() != "ACK 10.0.0.50 to 10.0.0.50" {
			t.Errorf("REQUEST: %s", g)
		}
		if !g.ClientIPAddr.IsUnspecified() {
			t.Errorf("the ACK carries the stale ciaddr %s", g.ClientIPAddr)
		}
	})
}

func TestRule2RenewalNamingOldGetsACKWithNewAtCiaddr(t *testing.T) {
	for name, ask := range map[string]func(client) []byte{
		"RENEWING":  func(c client) []byte { return c.renewing(oldAddr) },
		"REBINDING": func(c client) []byte { return c.rebinding(oldAddr) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := settling(t)
			g := w.one(1, ask(guest(1)))
			if g.String() != "ACK 10.0.0.50 to 10.0.0.150" || g.dstMAC != mac(1) {
				t.Errorf("%s: %s at %s", name, g, g.dstMAC)
			}
			if r := w.book.get(ipam.ByName("c1")); r.acked != addr(newAddr) {
				t.Errorf("%s: stored as acknowledged: %s", name, r.acked)
			}
		})
	}
}

func TestRule2DhcpcdGetsNAKInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		for _, g := range w.ask(1, guest(1, withOption(optNonce, 1)).renewing(oldAddr)) {
			if g.MessageType() != dhcpv4.MessageTypeNak {
				t.Errorf("got %s, want a NAK", g)
			}
		}
		if w.book.binds != 0 {
			t.Error("the refused request was stored")
		}
	})
}

func TestRule3InitRebootNamingOldGetsBroadcastNAK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		if g := w.one(1, guest(1).rebooting(oldAddr)); g.String() != "NAK 0.0.0.0 to 255.255.255.255 for all" {
			t.Errorf("got %s", g)
		}
	})
}

func TestRule4NAKToRenewalIsBroadcastAndUnicast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		all := w.ask(1, guest(1, withOption(optNonce, 1)).renewing(oldAddr))
		if len(all) != 2 || all[0].String() != "NAK 0.0.0.0 to 255.255.255.255 for all" || all[1].String() != "NAK 0.0.0.0 to 10.0.0.150" {
			t.Fatalf("got %v", all)
		}
		if all[1].dstMAC != mac(1) {
			t.Errorf("the second copy went to %s", all[1].dstMAC)
		}
	})
}

func TestRule5OfferAfterNAKWaits50ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		w.ask(1, guest(1).rebooting(oldAddr))
		if all := w.ask(1, guest(1).discover()); len(all) != 0 {
			t.Fatalf("answered at once: %v", all)
		}
		time.Sleep(49 * time.Millisecond)
		synctest.Wait()
		if all := w.replies(1); len(all) != 0 {
			t.Fatalf("answered after 49 ms: %v", all)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if all := w.replies(1); len(all) != 1 || all[0].String() != "OFFER 10.0.0.50 to 10.0.0.50" {
			t.Fatalf("after 50 ms: %v", all)
		}
		// The neighbour is not kept waiting, nor is this client later.
		if g := w.one(2, guest(2).discover()); g.DHCPv4 == nil {
			t.Error("another client had to wait")
		}
		time.Sleep(nakMemory)
		if g := w.one(1, guest(1).discover()); g.DHCPv4 == nil {
			t.Error("the NAK was remembered for too long")
		}
	})
}

func TestRule6ACKToUdhcpcWaits5ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		udhcpc := guest(1, withText(optVendor, "udhcp 1.35.0"))
		g := w.one(1, udhcpc.discover())
		if g.DHCPv4 == nil {
			t.Fatal("no OFFER at once")
		}
		if all := w.ask(1, udhcpc.selecting(g.YourIPAddr.String())); len(all) != 0 {
			t.Fatalf("answered at once: %v", all)
		}
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		if all := w.replies(1); len(all) != 1 || all[0].MessageType() != dhcpv4.MessageTypeAck {
			t.Fatalf("after 5 ms: %v", all)
		}
	})
}

func TestRule7OldIsAnsweredByClientEvenWhenAnotherHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		w.book.lease(ipam.ByName("c2"), oldAddr)
		for range 3 { // NetworkManager names OLD again at T2, after an ACK with NEW
			if g := w.one(1, guest(1).rebinding(oldAddr)); g.String() != "ACK 10.0.0.50 to 10.0.0.150" {
				t.Fatalf("got %s", g)
			}
		}
		if g := w.one(2, guest(2).renewing(oldAddr)); g.String() != "ACK 10.0.0.150 to 10.0.0.150" {
			t.Errorf("the new holder: %s", g)
		}
	})
}

func TestRule8ReleaseNeverFreesAPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.pin(ipam.ByName("c1"), "10.0.0.110") // inside the range
		w.one(1, guest(1).rebooting("10.0.0.110"))
		if all := w.ask(1, guest(1).release("10.0.0.110")); len(all) != 0 {
			t.Errorf("a RELEASE was answered: %v", all)
		}
		if g := w.one(2, guest(2).discover(withAddr(optRequested, "10.0.0.110"))); g.YourIPAddr.String() == "10.0.0.110" {
			t.Error("another was offered it")
		}
		if g := w.one(1, guest(1).discover()); g.YourIPAddr.String() != "10.0.0.110" {
			t.Errorf("its guest was offered %s", g)
		}
	})
}

func TestRule9RenewalTimesAlwaysAndShortWhileSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testNetwork()
		n.LeaseTime = 10 * time.Minute
		w := newWorld(t, n)
		w.book.lease(ipam.ByName("c1"), oldAddr)
		check := func(g got, t1, t2 time.Duration) {
			t.Helper()
			if g.DHCPv4 == nil || g.IPAddressRenewalTime(0) != t1 || g.IPAddressRebindingTime(0) != t2 {
				t.Errorf("%s: T1 %s, T2 %s; want %s, %s", g, g.IPAddressRenewalTime(0), g.IPAddressRebindingTime(0), t1, t2)
			}
		}
		normal, late := 5*time.Minute, 8*time.Minute+45*time.Second
		onlyMask := withOption(optParameterList, optMask)
		check(w.one(1, guest(1, onlyMask).discover()), normal, late)
		check(w.one(1, guest(1, onlyMask).renewing(oldAddr)), normal, late)
		w.book.pin(ipam.ByName("c1"), newAddr)
		check(w.one(1, guest(1).renewing(oldAddr)), time.Minute, 2*time.Minute)
		check(w.one(1, guest(1).renewing(newAddr)), normal, late)
		// The same when it comes to its new address by a DISCOVER.
		w.book.pin(ipam.ByName("c1"), "10.0.0.51")
		check(w.one(1, guest(1).discover()), normal, late)
		check(w.one(1, guest(1).selecting("10.0.0.51")), time.Minute, 2*time.Minute)
		check(w.one(1, guest(1).renewing("10.0.0.51")), normal, late)
	})
}

func TestRule10ClientIdentifierEchoedAndNonceGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		id := []byte{0xff, 1, 2, 3, 4, 0, 1, 0, 0, 9}
		c := guest(1, withOption(optClientID, id...), withOption(optNonce, 1))
		o := w.one(1, c.discover())
		a := w.one(1, c.selecting(o.YourIPAddr.String()))
		again := w.one(1, c.renewing(o.YourIPAddr.String()))
		refused := w.one(1, c.rebooting("10.0.0.7"))
		for _, g := range []got{o, a, refused} {
			if got := g.GetOneOption(dhcpv4.OptionClientIdentifier); !bytes.Equal(got, id) {
				t.Errorf("%s: option 61 is %x (RFC 6842 §3)", g, got)
			}
		}
		auth := a.GetOneOption(dhcpv4.OptionAuthentication)
		if len(auth) != 28 || !bytes.Equal(auth[:3], []byte{3, 1, 0}) || auth[11] != 1 {
			t.Fatalf("option 90 is %x, want protocol 3, algorithm 1, RDM 0, type 1 and a key (RFC 6704 §3.1.2)", auth)
		}
		next := again.GetOneOption(dhcpv4.OptionAuthentication)
		if !bytes.Equal(auth[12:], next[12:]) || bytes.Compare(auth[3:11], next[3:11]) > 0 {
			t.Errorf("the key changed, or the counter fell: %x then %x", auth, next)
		}
		if bytes.Equal(auth[12:], make([]byte, 16)) || hmac.Equal(auth[12:], md5.New().Sum(nil)) {
			t.Error("the key can be guessed")
		}
		if o.Options.Has(dhcpv4.OptionAuthentication) || refused.Options.Has(dhcpv4.OptionAuthentication) {
			t.Error("only the ACK may carry the key")
		}
		if g := w.one(2, guest(2, withOption(optNonce, 1)).rebooting("10.0.0.120")); bytes.Equal(auth[12:], g.GetOneOption(dhcpv4.OptionAuthentication)[12:]) {
			t.Error("two guests have the same key")
		}
		if g := w.one(3, guest(3).rebooting("10.0.0.130")); g.Options.Has(dhcpv4.OptionClientIdentifier) || g.Options.Has(dhcpv4.OptionAuthentication) {
			t.Error("an option was invented that the client did not send")
		}
	})
}
