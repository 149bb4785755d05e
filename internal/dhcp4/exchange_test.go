package dhcp4

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

func TestClientBehindARouterIsReachedThroughIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.lease(ipam.Holder{Guest: "c1", MAC: mac(50)}, "10.0.0.150")
		routed := client{mac: mac(50), via: mac(1)}
		if g := w.one(1, routed.renewing("10.0.0.150")); g.String() != "ACK 10.0.0.150 to 10.0.0.150" || g.dstMAC != mac(1) {
			t.Errorf("got %s at %s, want it at the router", g, g.dstMAC)
		}
	})
}

func TestClaimByRelayThatIsNotGrantedIsRefusedThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		c := client{mac: mac(50), via: mac(1)}
		if g := w.one(1, c.rebooting("10.0.0.7", withGiaddr("10.0.0.5"))); g.String() != "NAK 0.0.0.0 to 10.0.0.5" || g.dstPort != serverPort {
			t.Errorf("got %s port %d", g, g.dstPort)
		}
	})
}

func TestRapidCommitAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		g := w.one(1, guest(1).discover(withOption(optRapidCommit)))
		if g.String() != "ACK 10.0.0.50 to 10.0.0.50" || g.IPAddressRenewalTime(0) != settlingT1 {
			t.Errorf("got %s, T1 %s: the client settles", g, g.IPAddressRenewalTime(0))
		}
	})
}

func TestACKCarriesTheNameThatTheLeaseMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		if g := w.one(1, guest(1, withOption(optParameterList, optHostname)).discover(withOption(optRapidCommit))); g.HostName() != "c1" {
			t.Errorf("named %q", g.HostName())
		}
	})
}

func TestStoringKeepsNoOfferWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.disk = make(chan struct{})
		w.ask(1, client{mac: mac(50)}.discover(withOption(optRapidCommit)))
		if g := w.one(1, guest(1).discover()); g.DHCPv4 == nil {
			t.Error("no OFFER while another client's lease is stored")
		}
		close(w.book.disk)
		synctest.Wait()
		w.replies(1)
	})
}

func TestAddressThatChangesBetweenDecisionAndStoring(t *testing.T) {
	book := newBook(testNetwork())
	book.lease(ipam.ByName("c1"), oldAddr)
	p, out := bare(book)
	x := new(exchange)
	n := copy(x.in[:], guest(1).renewing(oldAddr))
	if !p.decide(context.Background(), x, n) {
		t.Fatal("nothing to do")
	}
	book.pin(ipam.ByName("c1"), newAddr)
	p.finish(context.Background(), x)
	if out.frames != 0 || len(p.troubles.problems(now)) != 0 {
		t.Errorf("%d replies, problems %v; the client asks again", out.frames, p.troubles.problems(now))
	}
}

func TestAddressKeptOutsideTheSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testNetwork())
		w.book.lease(ipam.ByName("c1"), "192.168.1.5")
		if g := w.one(1, guest(1).discover()); g.DHCPv4 != nil {
			t.Errorf("got %s", g)
		}
		if p := w.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "outside 10.0.0.0/24") || p[0].Hint == "" {
			t.Errorf("problems: %v", p)
		}
	})
}

func TestRenewalNamingOldAgainKeepsTheShortTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := settling(t)
		for range 3 {
			if g := w.one(1, guest(1).rebinding(oldAddr)); g.IPAddressRenewalTime(0) != settlingT1 || g.IPAddressRebindingTime(0) != 2*settlingT1 {
				t.Errorf("T1 %s, T2 %s: it does not believe NEW yet", g.IPAddressRenewalTime(0), g.IPAddressRebindingTime(0))
			}
		}
	})
}

// TestReplyOfEveryLength goes through the lengths at which options move to other fields, or find no room.
func TestReplyOfEveryLength(t *testing.T) {
	n := testNetwork()
	for size := range 460 {
		n.Options = []ipam.Option{{Code: 224, Data: bytes.Repeat([]byte{1}, size+1)}, {Code: 225, Data: bytes.Repeat([]byte{2}, 20)}, {Code: 226, Data: bytes.Repeat([]byte{3}, 50)}}
		m, dropped := composed(t, guest(1).discover(withOption(optParameterList, 224, 225, 226)), n, decision{reply: offer}, offered)
		var back message
		if err := back.parse(m); err != nil {
			t.Fatalf("%d bytes: %v", size+1, err)
		}
		lost := 0
		for _, o := range n.Options {
			if got, _ := back.option(o.Code); !bytes.Equal(got, o.Data) {
				lost++
			}
		}
		if lost != dropped {
			t.Fatalf("%d bytes: %d options are lost, %d are known to be", size+1, lost, dropped)
		}
	}
}

func TestChecksumOfZeroIsSentAsOnes(t *testing.T) {
	b := make([]byte, frameSize)
	to := address{mac(1), addr("10.0.0.150"), clientPort}
	seal(b, minMessage, bridgeMAC, addr("10.0.0.1"), to)
	copy(b[headersLen+200:], b[40:42]) // what was missing to all ones
	b = seal(b, minMessage, bridgeMAC, addr("10.0.0.1"), to)
	if b[40] != 0xff || b[41] != 0xff {
		t.Errorf("checksum %x, want ffff (RFC 768)", b[40:42])
	}
	if err := checkFrame(b); err != nil {
		t.Error(err)
	}
	if _, err := dhcpv4.FromBytes(b[headersLen:]); err == nil {
		t.Error("it is no message, and must not look like one")
	}
}

func TestPortThatCanNotBeReadIsTold(t *testing.T) {
	p, _ := bare(newBook(testNetwork()))
	dead := &broken{}
	p.read(t.Context(), dead)
	if p.deaf.Load() == nil || !dead.closed {
		t.Error("nobody knows that it is not heard, or it was left open")
	}
}

// broken is a tap that fails.
type broken struct {
	sink
	closed bool
}

func (b *broken) Close() error { b.closed = true; return nil }
